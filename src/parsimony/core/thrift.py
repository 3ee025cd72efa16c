"""How a training saves memory: the form of the frozen weights, and what is done in its stead.

Two savings change no result: accumulation runs the rows of a step in smaller parts, checkpointing
computes activations again instead of keeping them (Chen et al. 2016, arXiv 1604.06174). A reduced
base stores the frozen weights in fewer bits: bfloat16, bitsandbytes' 8-bit rows (Dettmers et al.
2022, arXiv 2208.07339) or its 4-bit NormalFloat with doubly quantized scales, which is QLoRA
(Dettmers et al. 2023, arXiv 2305.14314). What trains stays in float32.
"""

from __future__ import annotations

from dataclasses import dataclass

from parsimony.core.errors import InputError, nearest

BASES = ("fp32", "bf16", "8bit", "4bit")
"""Forms of the frozen weights, from most to fewest bits."""


@dataclass(frozen=True)
class Thrift:
    """What one training does to need less memory.

    Attributes:
        base: one of ``BASES``. Under ``"8bit"`` and ``"4bit"`` the linear layers are quantized
            and everything else that is frozen is in bfloat16.
        checkpointing: activations inside a block are computed again in the backward pass.
        accumulation: parts that the rows of a step are split into.
    """

    base: str = "fp32"
    checkpointing: bool = False
    accumulation: int = 1

    def __str__(self) -> str:
        """What is not plain, for people: ``"4bit checkpointing accumulation=4"``."""
        words = [self.base] if self.base != "fp32" else []
        words += ["checkpointing"] if self.checkpointing else []
        words += [f"accumulation={self.accumulation}"] if self.accumulation > 1 else []
        return " ".join(words)


PLAIN = Thrift()


@dataclass(frozen=True)
class Allowed:
    """What a user lets a run do to need less memory.

    Attributes:
        bases: from most to fewest bits.
        checkpointing: without, with.
        accumulation: divisors of the batch, ascending.
    """

    bases: tuple[str, ...] = (PLAIN.base,)
    checkpointing: tuple[bool, ...] = (PLAIN.checkpointing,)
    accumulation: tuple[int, ...] = (PLAIN.accumulation,)

    @property
    def plain(self) -> Thrift:
        """The least that is allowed."""
        return Thrift(self.bases[0], self.checkpointing[0], self.accumulation[0])


def allowed(base: str, checkpointing: bool | None, accumulation: int | None, batch: int) -> Allowed:
    """What the user's settings leave open; ``"auto"`` and ``None`` leave all of it.

    Raises:
        InputError: an unknown base, or an accumulation that does not divide the batch.
    """
    if base not in ("auto", *BASES):
        raise InputError(
            f"--base is auto, {', '.join(BASES)}", got=base, hint=nearest(base, ("auto", *BASES))
        )
    if accumulation is not None and (accumulation < 1 or batch % accumulation):
        raise InputError(
            f"--accumulation must divide the batch of {batch} rows", got=accumulation,
            hint="Change one of the two",
        )  # fmt: skip
    return Allowed(
        bases=BASES if base == "auto" else (base,),
        checkpointing=(False, True) if checkpointing is None else (checkpointing,),
        accumulation=tuple(parts for parts in range(1, batch + 1) if batch % parts == 0)
        if accumulation is None
        else (accumulation,),
    )
