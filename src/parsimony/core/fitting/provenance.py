"""The setting in which constants were measured: constants of two settings are never mixed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from parsimony.core.errors import InputError, nearest


@dataclass(frozen=True)
class Provenance:
    """What the constants of a law depend on; ``None`` where it was not said.

    Attributes:
        tokenizer: a loss per token means nothing without it.
        context: length of a training sequence.
        schedule: of the learning rate, such as ``"cosine to 1e-5"``.
        batch_unit: ``tokens`` or ``sequences``.
        size: which parameters N counts, such as ``"without embeddings"``.
        data: the corpus.
    """

    tokenizer: str | None = None
    context: str | None = None
    schedule: str | None = None
    batch_unit: str | None = None
    size: str | None = None
    data: str | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """From the form of ``as_dict``.

        Raises:
            InputError: an unknown key.
        """
        known = [field.name for field in fields(cls)]
        for name in values:
            if name not in known:
                raise InputError(f"unknown provenance '{name}'", hint=nearest(name, known))
        return cls(**{k: None if v is None else str(v) for k, v in values.items()})

    def with_(self, other: Provenance) -> Provenance:
        """Both, where they agree or one does not say.

        Raises:
            InputError: they differ.
        """
        mine, others = asdict(self), asdict(other)
        for name, value in others.items():
            if None not in (value, mine[name]) and value != mine[name]:
                raise InputError(
                    f"constants of different settings must not be mixed: {name} is "
                    f"'{mine[name]}' in one and '{value}' in the other",
                    hint="Fit both in one setting",
                )
        return Provenance(**{k: v if v is not None else others[k] for k, v in mine.items()})

    def as_dict(self) -> dict[str, str]:
        """What is known."""
        return {name: value for name, value in asdict(self).items() if value is not None}
