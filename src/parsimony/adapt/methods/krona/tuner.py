"""peft's tuner of KronA: configuration, choice of the factors, layer."""

from __future__ import annotations

import functools
import math
import warnings
from dataclasses import dataclass, field
from typing import ClassVar

import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from parsimony.core.errors import InputError
from parsimony.core.peft_border import (
    AdapterConfig,
    AdapterLayer,
    AdapterTuner,
    by_pattern,
    register,
    weight_shape,
)

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
"""``target_modules`` of the paper in diffusers' UNets and transformers."""

# Without a budget, factors may have this many times the least possible number of parameters:
# room for a square A, which gives the product full rank on a square weight.
_NEAR = 1.25


@dataclass
class KronaConfig(AdapterConfig):
    """KronA on the target layers.

    Attributes:
        a1: rows of A, a divisor of the layer's outputs; ``None`` to choose (see ``factors``).
        a2: columns of A, a divisor of the layer's inputs; ``None`` to choose.
        factor_pattern: (a1, a2) of single layers, by the ending of their name or a pattern.
        scale: factor on the product.
        shuffled: output index p a1 + q instead of q b1 + p, for A[q, i] and B[p, j]: the order of
            the layer that the authors released, in which the update is no Kronecker product.
    """

    kind: ClassVar[str] = "KRONA"

    a1: int | None = None
    a2: int | None = None
    factor_pattern: dict[str, tuple[int, int]] = field(default_factory=dict)
    scale: float = 1.0
    shuffled: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        asked = {"a1": self.a1, "a2": self.a2}
        for pattern, pair in self.factor_pattern.items():
            if len(pair) != 2:
                raise InputError("factor_pattern gives a pair (a1, a2)", got={pattern: pair})
            asked |= {f"a1 of '{pattern}'": pair[0], f"a2 of '{pattern}'": pair[1]}
        for name, value in asked.items():
            if value is not None and (not isinstance(value, int) or value < 1):
                raise InputError(
                    f"{name} must be a whole number of at least 1", got=value,
                    hint="a1 and a2 are the sizes of A, not a rank and an alpha",
                )  # fmt: skip

    def asked(self, path: str) -> tuple[int | None, int | None]:
        """(a1, a2) as given for the layer called ``path``; ``None`` where the rule chooses."""
        a1, a2 = by_pattern(self.factor_pattern, path, (self.a1, self.a2))
        return a1, a2


def factors(
    outputs: int,
    inputs: int,
    parameters: int | None = None,
    *,
    a1: int | None = None,
    a2: int | None = None,
) -> tuple[int, int]:
    """Sizes (a1, a2) of A for a weight of shape (outputs, inputs).

    Of all divisors with at most ``parameters`` values in A and B: those of the largest rank
    min(a1, a2) min(b1, b2) that the product can have, of these the most values, of these the
    fewest multiplications, of these the smallest a1. The number of values is
    a1 a2 + outputs inputs / (a1 a2).

    Args:
        outputs: of the layer.
        inputs: of the layer.
        parameters: at most so many values; ``None`` for a quarter more than the least possible.
        a1: given rather than chosen.
        a2: given rather than chosen.

    Raises:
        InputError: an a1 or a2 that does not divide; no divisors give so few values, with the
            least that can be had.
    """
    if (a1 and outputs % a1) or (a2 and inputs % a2):
        raise InputError(
            f"a1 must divide the {outputs} outputs and a2 the {inputs} inputs", got=(a1, a2)
        )
    return _factors(outputs, inputs, parameters, a1, a2)


@functools.cache
def _factors(
    outputs: int, inputs: int, parameters: int | None, a1: int | None, a2: int | None
) -> tuple[int, int]:
    pairs = [
        (rows, columns)
        for rows in ([a1] if a1 else _divisors(outputs))
        for columns in ([a2] if a2 else _divisors(inputs))
    ]
    counts = {pair: values(outputs, inputs, pair) for pair in pairs}
    least = min(counts.values())
    most = _NEAR * least if parameters is None else parameters
    if least > most:
        raise InputError(
            f"a Kronecker product on {outputs} x {inputs} takes at least {least} parameters",
            got=parameters,
        )

    def worth(pair: tuple[int, int]) -> tuple[int, int, int, int]:
        rows, columns = pair
        rank = min(pair) * min(outputs // rows, inputs // columns)
        return rank, counts[pair], -min(_costs(outputs, inputs, pair)), -rows

    return max((pair for pair in pairs if counts[pair] <= most), key=worth)


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def values(outputs: int, inputs: int, pair: tuple[int, int]) -> int:
    """Parameters of A and B for ``pair`` = (a1, a2)."""
    return math.prod(pair) + outputs * inputs // math.prod(pair)


def _costs(outputs: int, inputs: int, pair: tuple[int, int]) -> tuple[int, int]:
    """Multiply-adds per input vector when A comes first, and when B does."""
    a1, a2 = pair
    b1, b2 = outputs // a1, inputs // a2
    return a1 * inputs + a1 * b1 * b2, a2 * b1 * b2 + a2 * outputs


class KronaLayer(AdapterLayer):
    """A dense layer with A (a1, a2) and B (b1, b2) beside it."""

    adapter_layer_names = ("krona_A", "krona_B")

    def create(self, adapter: str, config: KronaConfig) -> dict[str, torch.Tensor]:
        outputs, inputs = self.shape
        a1, a2 = _resolved(config, self.path, outputs, inputs)
        return {
            "krona_A": torch.randn(a1, a2) / a1,
            "krona_B": torch.zeros(outputs // a1, inputs // a2),
        }

    def scale(self, config: KronaConfig) -> float:
        return config.scale

    def delta(self, adapter: str) -> torch.Tensor:
        product = torch.kron(self.krona_A[adapter], self.krona_B[adapter])
        if not self.settings[adapter].shuffled:
            return product
        a1 = len(self.krona_A[adapter])
        return product.unflatten(0, (a1, -1)).transpose(0, 1).flatten(0, 1)

    def update(self, adapter: str, x: torch.Tensor) -> torch.Tensor:
        """Y[q, p] = sum over i, j of A[q, i] X[i, j] B[p, j], x read as X (a2, b2)."""
        a, b = self.krona_A[adapter], self.krona_B[adapter]
        table = x.unflatten(-1, (a.shape[1], b.shape[1]))
        outputs, inputs = self.shape
        a_first, b_first = _costs(outputs, inputs, a.shape)
        if a_first <= b_first:
            found = _product(_product(table.mT, a).mT, b)  # (..., q, p)
        else:
            found = _product(_product(table, b).mT, a).mT
        return (found.mT if self.settings[adapter].shuffled else found).flatten(-2)


def _product(table: torch.Tensor, matrix: torch.Tensor) -> torch.Tensor:
    """table (..., n) times the transpose of matrix (m, n).

    As one product of two matrices: torch makes one of a batch, or does not, by which operand wants
    a gradient, and the two round differently, so that a frozen copy would not give the same bits.
    """
    *outer, inner = table.shape
    rows = table.reshape(math.prod(outer), inner)
    return functional.linear(rows, matrix).view(*outer, len(matrix))


def _resolved(config: KronaConfig, path: str, outputs: int, inputs: int) -> tuple[int, int]:
    a1, a2 = config.asked(path)
    return factors(outputs, inputs, a1=a1, a2=a2)


@register(KronaConfig)
class KronaModel(AdapterTuner):
    """peft's tuner of ``KronaConfig``."""

    tuner_layer_cls = KronaLayer

    def check_together(self, config: KronaConfig, targets: dict[str, nn.Module]) -> None:
        """Every a1 must divide the outputs and every a2 the inputs; all that do not are named.

        Raises:
            InputError: with those layers and the divisors that all targets have in common.
        """
        shapes = {path: weight_shape(layer) for path, layer in targets.items()}
        wrong, whole = [], []
        for path, (outputs, inputs) in shapes.items():
            a1, a2 = config.asked(path)
            if (a1 and outputs % a1) or (a2 and inputs % a2):
                wrong.append(f"{path} ({outputs} x {inputs}, a1={a1}, a2={a2})")
            elif math.prod(_resolved(config, path, outputs, inputs)) in (1, outputs * inputs):
                whole.append(path)
        if wrong:
            common = [math.gcd(*sizes) for sizes in zip(*shapes.values(), strict=True)]
            raise InputError(
                f"a1 must divide the outputs and a2 the inputs of {', '.join(wrong)}",
                hint=f"Over all targets a1 can be one of {_divisors(common[0])} and a2 one of "
                f"{_divisors(common[1])}; they are the sizes of A, not a rank and an alpha. Or "
                "use factor_pattern, or leave both at None",
            )
        if whole:
            warnings.warn(
                f"KronA on {', '.join(whole)} trains as many values as the weight has: one of its "
                "factors is a single number",
                stacklevel=2,
            )


def summary(model: nn.Module) -> pd.DataFrame:
    """What KronA trains in an adapted model, beside LoRA of rank 4.

    Returns:
        One row per shape and adapter: ``adapter``, ``outputs``, ``inputs``, ``maps``, ``a1``,
        ``a2``, ``parameters`` and ``lora_4`` (both over all ``maps``), ``bytes`` (saved in fp32,
        keys left out).
    """
    columns = ["adapter", "outputs", "inputs", "a1", "a2", "maps"]
    rows = [
        (adapter, *layer.shape, *a.shape, 1)
        for layer in model.modules()
        if isinstance(layer, KronaLayer)
        for adapter, a in layer.krona_A.items()
    ]
    table = pd.DataFrame(rows, columns=columns).groupby(columns[:-1], as_index=False).sum()
    product = table.a1 * table.a2
    table["parameters"] = table.maps * (product + table.outputs * table.inputs // product)
    table["lora_4"] = table.maps * 4 * (table.outputs + table.inputs)
    return table.assign(bytes=4 * table.parameters)
