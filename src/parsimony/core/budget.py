"""What may be spent, in one line of text."""

from __future__ import annotations

from dataclasses import dataclass, fields
from decimal import Decimal

from parsimony.core import units
from parsimony.core.errors import InputError, nearest

_DIMENSION: dict[str, units.Dimension] = {
    "trainable": "share",
    "memory": "bytes",
    "size": "share",
    "time": "seconds",
    "energy": "watt-hours",
    "latency": "seconds",
}


@dataclass(frozen=True)
class Budget:
    """Upper limits; ``None`` means not limited.

    Attributes:
        trainable: trainable parameters as a share of all parameters, in (0, 1].
        memory: peak memory while training, in bytes.
        size: stored bytes as a share of the original, in (0, 1].
        time: wall time, in seconds.
        energy: watt-hours.
        latency: seconds per request.
    """

    trainable: float | None = None
    memory: float | None = None
    size: float | None = None
    time: float | None = None
    energy: float | None = None
    latency: float | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Parse ``"trainable=0.5%, memory=8GiB, time=30min"``.

        Raises:
            InputError: an unknown or repeated key, a missing value, a bad unit, a share above 100%.
        """
        found: dict[str, float] = {}
        for item in (part.strip() for part in text.split(",")):
            if not item:
                continue
            key, equals, value = (part.strip() for part in item.partition("="))
            if key not in _DIMENSION:
                raise InputError(
                    f"unknown budget key '{key}'", got=text, hint=nearest(key, _DIMENSION)
                )
            if not equals or not value:
                raise InputError(f"budget key '{key}' needs a value", got=item, hint=_EXAMPLE)
            if key in found:
                raise InputError(f"budget key '{key}' is given twice", got=text)
            found[key] = units.parse(value, _DIMENSION[key])
            if _DIMENSION[key] == "share" and found[key] > 1:
                raise InputError(f"budget key '{key}' is a share of at most 100%", got=item)
        return cls(**found)

    def __str__(self) -> str:
        """The text ``parse`` reads back to an equal budget."""
        parts = []
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                parts.append(f"{field.name}={_write(value, _DIMENSION[field.name])}")
        return ", ".join(parts)


_EXAMPLE = 'For example: "trainable=0.5%, memory=8GiB, time=30min"'


def _write(value: float, dimension: units.Dimension) -> str:
    """The shortest text in the canonical unit that reads back to exactly ``value``."""
    if dimension == "share":
        return f"{Decimal(repr(value)).scaleb(2).normalize():f}%"
    unit = {"bytes": "B", "seconds": "s", "watt-hours": "Wh"}[dimension]
    return f"{int(value) if value == int(value) else value!r}{unit}"
