"""Energy of a piece of work: one meter per file of ``meters``, all with ``start`` and ``stop``.

Every reading says how it was obtained (measured, sampled, estimated, or none with the reason).
Idle power is reported beside the gross figure and never subtracted from it.
"""

from parsimony.core.energy.meter import EnergyMeter, best, find, idle_watts, known, synchronise
from parsimony.core.energy.reading import Quality, Reading

__all__ = [
    "EnergyMeter",
    "Quality",
    "Reading",
    "best",
    "find",
    "idle_watts",
    "known",
    "synchronise",
]
