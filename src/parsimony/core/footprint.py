"""What a thing costs: predicted before anything is spent, measured after."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal

from parsimony.core.errors import InputError

Provenance = Literal["measured", "sampled", "estimated", "computed", "published"]


@dataclass(frozen=True)
class Figure:
    """One number with where it came from; or no number, with the reason.

    Attributes:
        value: the number in the unit of its field, or ``None`` when unknown. Never 0 for unknown.
        provenance: how it was obtained; ``None`` when unknown.
        note: the counting rule, or the reason why it is unknown (then required).
    """

    value: float | None
    provenance: Provenance | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if self.value is None and not self.note:
            raise InputError("an unknown figure needs its reason", got=self)
        if self.value is not None and self.provenance is None:
            raise InputError("a known figure needs its provenance", got=self)

    @classmethod
    def unknown(cls, reason: str) -> Figure:
        """A figure nobody knows, and why."""
        return cls(None, None, reason)

    @property
    def known(self) -> bool:
        return self.value is not None

    def as_dict(self) -> dict[str, object]:
        return {"value": self.value, "provenance": self.provenance, "note": self.note}


def _unknown() -> Figure:
    return Figure.unknown("not asked for")


@dataclass(frozen=True)
class Footprint:
    """Costs of one model, method or run.

    Attributes:
        parameters: all parameters, trainable or not.
        trainable: parameters that receive gradients, task head included.
        head: the part of ``trainable`` that belongs to the task head.
        stored_bytes: bytes the artifact takes on disk (tensor data, without file headers).
        flops: floating-point operations, a multiply-add counted as two.
        peak_memory: bytes; resident set of the process on CPU, allocated bytes on CUDA.
        seconds: wall time.
        energy: watt-hours.
    """

    parameters: Figure = field(default_factory=_unknown)
    trainable: Figure = field(default_factory=_unknown)
    head: Figure = field(default_factory=_unknown)
    stored_bytes: Figure = field(default_factory=_unknown)
    flops: Figure = field(default_factory=_unknown)
    peak_memory: Figure = field(default_factory=_unknown)
    seconds: Figure = field(default_factory=_unknown)
    energy: Figure = field(default_factory=_unknown)

    def as_dict(self) -> dict[str, dict[str, object]]:
        return {f.name: getattr(self, f.name).as_dict() for f in fields(self)}

    @classmethod
    def from_dict(cls, data: dict[str, dict[str, object]]) -> Footprint:
        """Inverse of ``as_dict``; unknown keys are refused by the constructor."""
        return cls(**{key: Figure(**value) for key, value in data.items()})  # type: ignore[arg-type]
