"""LaMDA: freeze the input projection, soon the output projection, and train the r x r map between.

Azizi, Kundu, Pedram 2024 (arXiv 2406.12832): W is split along its leading singular directions,
y = W_res x + B S A x with A (r, in) the right singular vectors, frozen; B (out, r) the left ones,
frozen column by column over the first share eta of training (section 3); S (r, r) trains to the
end. LaMDA++ gives each layer its rank by the normalised spectrum of its weight.

What is ours: W_res is never formed. The rows of A are orthonormal, so W_res x = W x - P A x with
P = W A^T, which any base (quantized ones too) gives, and which makes the start exact for the A
that is stored, rounded or not. Freezing is a mask after the optimizer step, so that neither
momentum nor weight decay moves a frozen column. The discretisation of LaMDA++ below is ours, the
paper gives the idea. Not Google's dialogue model of the same name.

It adapts dense layers only: the paper defines nothing for convolutions and embeddings.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pandas as pd
import peft
import torch
from torch import nn
from torch.nn import functional
from transformers import TrainerCallback
from transformers.trainer_callback import ExportableState

from parsimony.adapt.method import Facts, LowRank
from parsimony.core.errors import InputError, nearest
from parsimony.core.peft_border import (
    AdapterConfig,
    AdapterLayer,
    AdapterTuner,
    BufferDict,
    by_pattern,
    register,
    weight_shape,
)

INITS = ("spectral", "lora")
LDA_INITS = ("singular", "identity")


@dataclass
class LamdaConfig(AdapterConfig):
    """LaMDA on the target layers.

    Attributes:
        r: rank, 1 to the smaller side of each layer.
        rank_pattern: ranks of single layers, by the ending of their name or a pattern.
        init: ``"spectral"`` (singular vectors of the base weight) or ``"lora"`` (A random, B
            zero, as the authors' script does).
        lda_init: S of the spectral start: ``"singular"`` (singular values on the diagonal) or
            ``"identity"`` (the values are B's).
        alpha: numerator of the scale alpha / r of ``init="lora"``; spectral starts have scale 1.
        freeze: eta, share of all optimizer steps after which the whole of B is frozen, in [0, 1];
            zero freezes it from the start. ``GradualFreezing`` carries it out.
        svd_iterations: power iterations of a randomised decomposition; ``None`` for the exact one.
    """

    kind: ClassVar[str] = "LAMDA"

    r: int = 32
    rank_pattern: dict[str, int] = field(default_factory=dict)
    init: str = "spectral"
    lda_init: str = "singular"
    alpha: float = 16.0
    freeze: float = 0.3
    svd_iterations: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value, known in (
            ("init", self.init, INITS),
            ("lda_init", self.lda_init, LDA_INITS),
        ):
            if value not in known:
                raise InputError(
                    f"{name} must be {' or '.join(known)}", got=value, hint=nearest(value, known)
                )
        if not 0 <= self.freeze <= 1:
            raise InputError(
                "freeze is the share of the steps that B trains, 0 to 1", got=self.freeze
            )

    def rank(self, path: str) -> int:
        """The rank of the layer called ``path``."""
        return by_pattern(self.rank_pattern, path, self.r)


class LamdaLayer(AdapterLayer):
    """A dense layer with LaMDA beside it: A (r, in), S (r, r), B (out, r)."""

    adapter_layer_names = ("lamda_A", "lamda_S", "lamda_B")
    frozen_names = ("lamda_A",)

    other_param_names = (*AdapterLayer.other_param_names, "lamda_P")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # P = W A^T (out, r) of every spectral start: follows from what is saved, so it is not.
        self.lamda_P = BufferDict(persistent=False)
        self.register_load_state_dict_post_hook(lambda layer, _: layer._set_starts())

    @classmethod
    def check(cls, config: LamdaConfig, path: str, layer: nn.Module) -> None:
        rank, most = config.rank(path), min(weight_shape(layer))
        if not 1 <= rank <= most:
            raise InputError(
                f"the rank of {path} must be 1 to {most}, the smaller side of its weight", got=rank,
                hint="Lower r, or give this layer its own in rank_pattern",
            )  # fmt: skip
        if 4 * rank > most:
            warnings.warn(
                f"r={rank} on {path}: r x r is no longer small beside {weight_shape(layer)}",
                stacklevel=2,
            )
        weight = layer.weight
        if weight.is_floating_point() and not weight.is_meta and not torch.isfinite(weight).all():
            raise InputError(
                f"the weight of {path} must be finite to be decomposed",
                hint="Repair the checkpoint, or leave the layer out of target_modules",
            )

    def create(self, adapter: str, config: LamdaConfig) -> dict[str, torch.Tensor]:
        outputs, inputs = self.shape
        r = config.rank(self.path)
        if config.init == "lora":
            bound_a, bound_s = inputs**-0.5, r**-0.5  # Kaiming uniform with a = sqrt(5)
            return {
                "lamda_A": torch.empty(r, inputs).uniform_(-bound_a, bound_a),
                "lamda_S": torch.empty(r, r).uniform_(-bound_s, bound_s),
                "lamda_B": torch.zeros(outputs, r),
            }
        left, values, right = _decompose(self.base_weight().float(), r, config.svd_iterations)
        scaled = config.lda_init == "singular"
        return {
            "lamda_A": right,
            "lamda_S": torch.diag(values) if scaled else torch.eye(r),
            "lamda_B": left if scaled else left * values,
        }

    def update_layer(self, adapter: str, config: LamdaConfig) -> None:
        super().update_layer(adapter, config)
        if config.init == "lora":
            return
        b = self.lamda_B[adapter]
        self.lamda_P[adapter] = torch.zeros_like(self.base_weight()[:, : b.shape[1]]).float()
        if not self.lamda_A[adapter].is_meta:
            # A may just have been rounded to the base's dtype: B S = W A^T of that very A.
            self._set_starts()
            values = self.lamda_S[adapter].detach().float().diagonal()
            exact = torch.where(
                values <= 1e-6 * values.max(), b.float(), self.lamda_P[adapter] / values
            )
            self.lamda_B[adapter] = nn.Parameter(exact, requires_grad=b.requires_grad)

    @torch.no_grad()
    def _set_starts(self) -> None:
        for adapter in self.lamda_P:
            a = self.lamda_A[adapter]
            wide = torch.promote_types(a.dtype, torch.float32)
            self.lamda_P[adapter] = self.base_weight().to(wide) @ a.to(wide).T

    def scale(self, config: LamdaConfig) -> float:
        return config.alpha / config.rank(self.path) if config.init == "lora" else 1.0

    def delta(self, adapter: str) -> torch.Tensor:
        a, s, b = (getattr(self, name)[adapter] for name in self.adapter_layer_names)
        inner = b @ s
        if adapter in self.lamda_P:
            inner = inner - self.lamda_P[adapter].to(b.dtype)
        return inner @ a.to(b.dtype)

    def adapt(self, adapter: str, x: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        a, s, b = (getattr(self, name)[adapter] for name in self.adapter_layer_names)
        inner = functional.linear(self._cast(adapter, x), a).to(b.dtype)
        # Dropout after A: before it, backward would keep the whole input.
        update = functional.linear(
            functional.linear(self.adapter_dropout[adapter](inner), s.to(b.dtype)), b
        )
        if adapter in self.lamda_P:
            update = update - functional.linear(inner, self.lamda_P[adapter].to(b.dtype))
        return output + (self.scaling[adapter] * update).to(output.dtype)


def _decompose(
    weight: torch.Tensor, r: int, iterations: int | None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Leading left vectors (out, r), singular values (r), right vectors as rows (r, in)."""
    if iterations is None or weight.is_meta:
        left, values, right = torch.linalg.svd(weight, full_matrices=False)
        return left[:, :r], values[:r], right[:r]
    left, values, right = torch.svd_lowrank(weight, q=r, niter=iterations)
    return left, values, right.T


@register(LamdaConfig)
class LamdaModel(AdapterTuner):
    """peft's tuner of ``LamdaConfig``."""

    tuner_layer_cls = LamdaLayer


def frozen_columns(step: int, total: int, freeze: float, r: int) -> int:
    """Leading columns of B that do not move in the update after ``step`` updates.

    f(t) = min(r, floor(r t / t_i)) with t_i = freeze * total; column j belongs to the j-th largest
    singular value.
    """
    until = freeze * total
    # The small term: 0.3 * 1000 must not fall short of 300 by rounding.
    return r if until <= 0 else min(r, int(r * step / until + 1e-9))


class GradualFreezing(TrainerCallback, ExportableState):
    """Freezes B column by column, counted in optimizer steps; add it to any ``Trainer``.

    A frozen column keeps its bits: what momentum and weight decay do to it is undone after each
    step. When all are frozen, B stops requiring a gradient and its optimizer state is freed.

    Raises:
        InputError: training begins on a model without LaMDA layers.
    """

    def __init__(self) -> None:
        self.total: int | None = None
        self._kept: dict[nn.Parameter, torch.Tensor] = {}
        self._layers: list[LamdaLayer] = []

    def state(self) -> dict[str, Any]:
        return {"args": {}, "attributes": {"total": self.total}}

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, **_: Any
    ) -> None:
        self._layers = [m for m in model.modules() if isinstance(m, LamdaLayer)]
        if not self._layers:
            raise InputError(
                "gradual freezing needs a model with LaMDA layers", got=type(model).__name__,
                hint="Wrap it with peft.get_peft_model(model, LamdaConfig(...)) first",
            )  # fmt: skip
        if self.total not in (None, state.max_steps):
            etas = sorted({c.freeze for layer in self._layers for c in layer.settings.values()})
            old, new = ([eta * total for eta in etas] for total in (self.total, state.max_steps))
            warnings.warn(
                f"the schedule of freezing jumps: B was to be frozen by step {old}, now by {new}, "
                f"since the total went from {self.total} to {state.max_steps} steps",
                stacklevel=2,
            )
        self.total = state.max_steps

    def on_step_begin(
        self, args: Any, state: Any, control: Any, optimizer: Any = None, **_: Any
    ) -> None:
        assert self.total is not None
        for layer in self._layers:
            for adapter in layer.active_adapters:
                if adapter not in layer.settings:
                    continue
                b = layer.lamda_B[adapter]
                freeze = layer.settings[adapter].freeze
                count = frozen_columns(state.global_step, self.total, freeze, b.shape[1])
                if count == b.shape[1]:
                    self._kept.pop(b, None)
                    b.requires_grad, b.grad = False, None
                    if optimizer is not None:
                        optimizer.state.pop(b, None)
                elif count != len(self._kept.get(b, b.new_empty(0, 0)).T):
                    self._kept[b] = b[:, :count].detach().clone()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        for b, kept in self._kept.items():
            if b.grad is not None:
                b.grad[:, : kept.shape[1]] = 0

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        with torch.no_grad():
            for b, kept in self._kept.items():
                b[:, : kept.shape[1]] = kept


def allocate_ranks(
    weights: Mapping[str, torch.Tensor],
    mean_rank: float,
    *,
    least: int = 8,
    most: int | None = None,
    multiple: int = 8,
) -> pd.DataFrame:
    """LaMDA++: ranks by the normalised spectrum; flat spectra get more.

    E(k) is the share of the squared singular values that the first k hold. One threshold on E for
    all layers, found by bisection, gives the largest ranks whose mean keeps to ``mean_rank``; what
    is left goes, a ``multiple`` at a time, to the layer with the least E.

    Args:
        weights: dense weights by layer.
        mean_rank: the budget.
        least: smallest rank of a layer.
        most: largest rank; the layer's smaller side where that is less.
        multiple: ranks are multiples of it, ``least`` and ``most`` apart.

    Returns:
        One row per layer: ``layer``, ``rank``, ``energy``. ``dict(zip(table.layer, table.rank))``
        is a ``rank_pattern``.

    Raises:
        InputError: a budget below ``least``; a weight that is not finite.
    """
    energies: dict[str, torch.Tensor] = {}
    for name, weight in weights.items():
        if not torch.isfinite(weight).all():
            raise InputError(f"the weight of {name} must be finite to be decomposed")
        squares = torch.linalg.svdvals(weight.double()).square()
        energies[name] = squares.cumsum(0) / squares.sum()
    if mean_rank < least:
        raise InputError(
            "the mean rank must be at least the least rank", got=mean_rank,
            hint=f"Raise the budget, or lower least={least}",
        )  # fmt: skip
    limits = {name: min(most or len(e), len(e)) for name, e in energies.items()}

    def ranks(threshold: float) -> dict[str, int]:
        found = {}
        for name, energy in energies.items():
            needed = int(torch.searchsorted(energy, threshold)) + 1
            found[name] = min(max(least, -(-needed // multiple) * multiple), limits[name])
        return found

    budget = int(mean_rank * len(energies))
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(ranks(middle).values()) <= budget else (low, middle)
    chosen = ranks(low)

    def energy_of(name: str) -> float:
        return float(energies[name][chosen[name] - 1])

    while True:
        left = budget - sum(chosen.values())
        steps = {n: min(multiple, limits[n] - r) for n, r in chosen.items()}
        open_layers = [n for n, step in steps.items() if 0 < step <= left]
        if not open_layers:
            break
        neediest = min(open_layers, key=lambda n: (energy_of(n), n))
        chosen[neediest] += steps[neediest]
    rows = [(name, rank, energy_of(name)) for name, rank in chosen.items()]
    return pd.DataFrame(rows, columns=["layer", "rank", "energy"])


class Lamda(LowRank):
    """Found by ``parsimony adapt``; B counts as trained, as it is at the start."""

    name = "lamda"
    source = "arXiv 2406.12832"
    starts_from_base = True

    def rate_scale(self, parameter: str) -> float:
        # S holds singular values, of the size of ten, B entries of the size of 1 / sqrt(out).
        return 10.0 if ".lamda_S." in parameter else 1.0

    def callbacks(self, model: nn.Module, steps: int) -> list[TrainerCallback]:
        return [GradualFreezing()]

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return LamdaConfig(
            task_type=facts.task_type, r=size, dropout=dropout, target_modules=facts.targets()
        )
