"""KronA: add to each weight the Kronecker product of two small trained matrices.

Marjit et al. 2024, DiffuseKronA (arXiv 2402.17412, section 3): W + scale A (x) B with A (a1, a2),
B (b1, b2), a1 b1 = outputs, a2 b2 = inputs, A ~ N(0, 1/a1^2) and B = 0 at the start. The paper
adapts the attention maps of a diffusion UNet (``ATTENTION``); before it, Edalati et al. 2022
(2212.10650) adapted language models. The forward never forms the product.

What is ours: factors are chosen by rule where none are given; the released layer of the paper
orders the outputs otherwise than a Kronecker product does, which its checkpoints need and
``shuffled`` keeps; export to LoKr, which other software reads.

It adapts dense layers only. diffusers' ``load_lora_weights`` cannot read a KronA adapter: load it
with ``peft.PeftModel.from_pretrained(pipeline.unet, folder)``.
"""

from __future__ import annotations

import functools
import math
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pandas as pd
import peft
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from parsimony.adapt.method import Facts, LowRank
from parsimony.core.errors import ArtifactError, InputError
from parsimony.core.peft_border import (
    AdapterConfig,
    AdapterLayer,
    AdapterTuner,
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
        for pattern, pair in self.factor_pattern.items():
            if re.fullmatch(rf"(.*\.)?({pattern})", path):
                return pair[0], pair[1]
        return self.a1, self.a2


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
    values = {pair: _values(outputs, inputs, pair) for pair in pairs}
    least = min(values.values())
    most = _NEAR * least if parameters is None else parameters
    if least > most:
        raise InputError(
            f"a Kronecker product on {outputs} x {inputs} takes at least {least} parameters",
            got=parameters,
        )

    def worth(pair: tuple[int, int]) -> tuple[int, int, int, int]:
        rows, columns = pair
        rank = min(pair) * min(outputs // rows, inputs // columns)
        return rank, values[pair], -min(_costs(outputs, inputs, pair)), -rows

    return max((pair for pair in pairs if values[pair] <= most), key=worth)


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]


def _values(outputs: int, inputs: int, pair: tuple[int, int]) -> int:
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
        # As products of two matrices: batched ones round by where their operands lie in memory.
        if a_first <= b_first:
            found = functional.linear(functional.linear(table.mT, a).mT, b)  # (..., q, p)
        else:
            found = functional.linear(functional.linear(table, b).mT, a).mT
        return (found.mT if self.settings[adapter].shuffled else found).flatten(-2)


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


def export_lycoris(
    model: nn.Module, file: Path, *, prefix: str = "lora_unet", adapter: str = "default"
) -> None:
    """Write a KronA adapter as LoKr with full factors under the keys of kohya and LyCORIS.

    Args:
        model: adapted with KronA.
        file: safetensors, written anew.
        prefix: ``"lora_unet"``, or ``"lora_te"`` for a text encoder.
        adapter: which.

    Raises:
        InputError: no such adapter; one whose update is no Kronecker product.
    """
    tensors = {}
    for path, (a, b) in _products(model, adapter).items():
        name = f"{prefix}_{path.replace('.', '_')}"
        # Read with full factors, but ignored: the scale is in w1.
        tensors[f"{name}.alpha"] = torch.tensor(1.0)
        tensors[f"{name}.lokr_w1"], tensors[f"{name}.lokr_w2"] = a, b
    save_file(tensors, file)


def export_lokr(model: nn.Module, folder: Path, *, adapter: str = "default") -> None:
    """Write a KronA adapter in peft's own form as LoKr.

    peft's LoKr splits outputs and inputs alike, so A must be square and as large in every layer.

    Args:
        model: adapted with KronA.
        folder: gets ``adapter_config.json`` and ``adapter_model.safetensors``.
        adapter: which.

    Raises:
        InputError: no such adapter; other factors; an update that is no Kronecker product.
    """
    products = _products(model, adapter)
    sizes = {size for a, _ in products.values() for size in a.shape}
    if len(sizes) > 1:
        raise InputError(
            "peft's LoKr takes one size for the rows and columns of every A", got=sorted(sizes),
            hint="Use export_lycoris, or train with a1 = a2 in every layer",
        )  # fmt: skip
    rank = max(size for _, b in products.values() for size in b.shape)  # none is split further
    config = peft.LoKrConfig(
        r=rank, alpha=rank, decompose_factor=sizes.pop(), target_modules=list(products)
    )
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(folder))
    tensors = {}
    for path, (a, b) in products.items():
        tensors[f"base_model.model.{path}.lokr_w1"] = a
        tensors[f"base_model.model.{path}.lokr_w2"] = b
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})


def _products(model: nn.Module, adapter: str) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """(scale A, B) of every layer, by path."""
    found = {}
    for layer in model.modules():
        if isinstance(layer, KronaLayer) and adapter in layer.settings:
            if layer.settings[adapter].shuffled:
                raise InputError(
                    f"the update of '{adapter}' must be a Kronecker product to be LoKr",
                    hint="It keeps the order of the authors' checkpoint; merge it instead",
                )
            a, b = layer.krona_A[adapter].detach(), layer.krona_B[adapter].detach()
            found[layer.path] = ((layer.scaling[adapter] * a).contiguous(), b.contiguous())
    if not found:
        raise InputError("the model has no KronA adapter of that name", got=adapter)
    return found


_OFFICIAL = (
    # diffusers 0.21: attention processors of the UNet, patched maps of the text encoder
    (re.compile(r"(.+)\.processor\.to_(q|k|v)_lora\.(down|up)\.weight"), r"\1.to_\2"),
    (re.compile(r"(.+)\.processor\.to_(out)_lora\.(down|up)\.weight"), r"\1.to_out.0"),
    (re.compile(r"(.+)\.(\w+)\.lora_linear_layer\.(down|up)\.weight"), r"\1.\2"),
)


def load_official(model: nn.Module, file: Path, *, part: str = "unet") -> peft.PeftModel:
    """Put a checkpoint of the authors' code (IBM/DiffuseKronA) on a model.

    Its ``down`` is A transposed, its ``up`` is B, and its outputs are ordered otherwise than in a
    Kronecker product, so the adapter is ``shuffled``: it merges, but does not export to LoKr.

    Args:
        model: the UNet, or the text encoder, that the checkpoint was trained on; changed in place.
        file: safetensors.
        part: beginning of its keys: ``"unet"`` or ``"text_encoder"``.

    Raises:
        ArtifactError: keys that are not of that code, or of which one half is missing.
        InputError: a layer that the model lacks or that does not fit the factors.
    """
    pairs: dict[str, dict[str, torch.Tensor]] = {}
    for key, value in load_file(file).items():
        if not key.startswith(f"{part}."):
            continue
        for pattern, target in _OFFICIAL:
            match = pattern.fullmatch(key.removeprefix(f"{part}."))
            if match:
                pairs.setdefault(match.expand(target), {})[match[3]] = value
                break
        else:
            raise ArtifactError(f"{file} must hold KronA weights of the authors' code", got=key)
    halves = sorted(path for path, pair in pairs.items() if len(pair) < 2)
    if halves or not pairs:
        raise ArtifactError(
            f"{file} must hold 'down' and 'up' of every map under '{part}.'", got=halves
        )
    layers = dict(model.named_modules())
    for path, pair in pairs.items():
        (a2, a1), (b1, b2) = pair["down"].shape, pair["up"].shape
        if path not in layers or weight_shape(layers[path]) != (a1 * b1, a2 * b2):
            raise InputError(
                f"the model must have a layer {path} with {a1 * b1} outputs and {a2 * b2} inputs",
                got=layers.get(path), hint=f"Give the model that {file} was trained on",
            )  # fmt: skip
    config = KronaConfig(
        target_modules=list(pairs),
        factor_pattern={re.escape(p): tuple(pair["down"].T.shape) for p, pair in pairs.items()},
        shuffled=True,
    )
    adapted = peft.get_peft_model(model, config)
    for layer in adapted.modules():
        if isinstance(layer, KronaLayer):
            layer.krona_A["default"].data.copy_(pairs[layer.path]["down"].T)
            layer.krona_B["default"].data.copy_(pairs[layer.path]["up"])
    return adapted


class Krona(LowRank):
    """Size r: in every layer at most the parameters that LoRA of rank r has."""

    name = "krona"
    source = "arXiv 2402.17412"
    # The paper recommends 5e-4 for its largest model, its released scripts take 1e-3, and both are
    # for a1 = 4; A is drawn smaller where a1 is larger, and wants more.
    learning_rates = (5e-4, 1e-2)

    def sizes(self, facts: Facts) -> list[int]:
        shapes = facts.targeted(facts.targets()).values()
        found: dict[int, int] = {}  # ranks between two divisors give the same adapter
        for rank in super().sizes(facts):
            count = sum(_values(o, i, factors(o, i, rank * (o + i))) for i, o in shapes)
            if count > max(found, default=0):
                found[count] = rank
        return list(found.values())

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        targets = facts.targets()
        chosen = {
            re.escape(name): factors(outputs, inputs, size * (outputs + inputs))
            for name, (inputs, outputs) in facts.targeted(targets).items()
        }
        return KronaConfig(
            task_type=facts.task_type,
            factor_pattern=chosen,
            dropout=dropout,
            target_modules=targets,
        )
