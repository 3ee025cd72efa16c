"""What is done to a model, in order, read from the user's words."""

from __future__ import annotations

from dataclasses import dataclass

from parsimony.compress.pruner import Target, pruner
from parsimony.core.errors import InputError


@dataclass(frozen=True)
class Pruning:
    """A way to prune, and how much.

    Attributes:
        method: one of ``compress.pruner.pruners()``.
        target: how much goes.
    """

    method: str
    target: Target

    @classmethod
    def parse(cls, text: str) -> Pruning:
        """Read ``wanda:2:4``, ``magnitude:0.5`` or ``magnitude:50%:model``.

        Raises:
            InputError: an unknown method, or no share or pattern after it.
        """
        name, colon, rest = text.strip().partition(":")
        way = pruner(name)
        if not colon:
            raise InputError(
                "a pruning names how much goes", got=text, hint=f"Such as {name}:50% or {name}:2:4"
            )
        return cls(name, Target.parse(rest, way.scope))

    def __str__(self) -> str:
        pattern = self.target.pattern
        share = f"{pattern[0]}:{pattern[1]}" if pattern else f"{self.target.sparsity:.4g}"
        return f"{self.method}:{share}"
