"""Compacter: bottleneck adapters whose weights are sums of Kronecker products with shared rules.

Karimi Mahabadi, Henderson, Ruder 2021 (arXiv 2106.04647): both projections of an adapter are
parameterised hypercomplex multiplications (PHM), H = sum_i A_i (x) B_i, with the n rules A_i,
n x n each, shared by the whole model and B_i = s_i t_i^T of low rank (section 3). The model's
normalisation layers train too. PHM-adapter: rules of its own in every layer and full B_i. With
one rule, equal to 1, it is the low-rank adapter.

What is ours: H is not formed where B_i has low rank; the rules are folded into the factor on the
bottleneck's side, which leaves two matrix products. A factorised rule l_i r_i^T starts at the
deviation of the plain rule (the authors' code draws each factor with it, so that the products
nearly vanish), and so does a rule that does not learn at 1 / sqrt(n), which keeps the scale of B.

It cannot be merged into the base weights: there is a non-linearity inside.
"""

from __future__ import annotations

import functools
import math
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import peft
import torch
from torch import nn
from transformers import TrainerCallback
from transformers.activations import ACT2FN

from parsimony.adapt.method import Facts
from parsimony.adapt.methods.bottleneck import (
    ADAPTERHUB,
    OnSublayers,
    SublayerConfig,
    SublayerLayer,
    SublayerModel,
    takes_adapterhub_names,
)
from parsimony.adapt.methods.bottleneck.placement import width_of
from parsimony.core.errors import InputError
from parsimony.core.peft_border import register


def phm_weight(rule: torch.Tensor, blocks: torch.Tensor) -> torch.Tensor:
    """H = sum_i A_i (x) B_i, A_i first.

    Args:
        rule: A; shape (n, n, n).
        blocks: B; shape (n, p / n, q / n).

    Returns:
        Shape (p, q).
    """
    return torch.einsum("iac,ibe->abce", rule, blocks).flatten(2).flatten(0, 1)


def phm(
    x: torch.Tensor, rule: torch.Tensor, left: torch.Tensor, right: torch.Tensor
) -> torch.Tensor:
    """x H for B_i = s_i t_i, without forming H.

    y[c, e] = sum_{i, r} t_i[r, e] sum_a A_i[a, c] sum_b x[a, b] s_i[b, r], where a row of x or y
    is read as n pieces a or c. The sum over a is folded into s or t, whichever is smaller.

    Args:
        x: shape (..., p).
        rule: A; shape (n, n, n).
        left: s; shape (n, p / n, r).
        right: t; shape (n, r, q / n).

    Returns:
        Shape (..., q).
    """
    n, p_n, r = left.shape
    rows = x.shape[:-1]
    if p_n >= right.shape[2]:
        inner = x.reshape(*rows, n, p_n) @ left.transpose(0, 1).reshape(p_n, n * r)
        outer = torch.einsum("iac,ire->airce", rule, right).flatten(3).flatten(0, 2)
        return inner.flatten(-2) @ outer
    inner = torch.einsum("iac,ibr->abcir", rule, left).flatten(2).flatten(0, 1)
    return ((x @ inner).view(*rows, n, n * r) @ right.flatten(0, 1)).flatten(-2)


@takes_adapterhub_names(
    {
        **ADAPTERHUB,
        "phm_dim": "n",
        "phm_rank": "rank",
        "shared_phm_rule": "shared_rule",
        "factorized_phm_W": "factorized",
        "factorized_phm_rule": "factorized_rule",
        "shared_W_phm": "shared_weights",
        "learn_phm": "learn_rule",
        "phm_bias": "adapter_bias",
        "phm_init_range": "rule_std",
    },
    fixed={
        "phm_layer": True,
        "phm_c_init": "normal",
        "hypercomplex_nonlinearity": "glorot-uniform",
    },
)
@dataclass
class CompacterConfig(SublayerConfig):
    """Compacter; Compacter++ is ``placement="ffn"``.

    PHM-adapter: ``n=12, shared_rule=False, factorized=False``. Low-rank adapter: ``n=1,
    learn_rule=False``.

    Attributes:
        n: number and size of the rules; divides model width and bottleneck width.
        rank: of each B_i, 1 to the bottleneck width / n.
        shared_rule: one A for the whole model; otherwise one per projection.
        factorized: B_i has rank ``rank``; otherwise it is full.
        factorized_rule: A_i is an outer product.
        shared_weights: one B per side for the whole model.
        learn_rule: A trains.
        adapter_bias: both projections have a bias.
        rule_std: deviation of A at the start; ``None``: 1e-4 shared, 1e-2 otherwise, and
            1 / sqrt(n) where it does not learn (the single rule of ``n=1`` is then 1).
        exact_identity: the model starts unchanged; as published it starts changed by about 1e-8
            of the hidden states.
    """

    kind: ClassVar[str] = "COMPACTER"

    reduction: int = 32
    train_norms: bool = True
    n: int = 4
    rank: int = 1
    shared_rule: bool = True
    factorized: bool = True
    factorized_rule: bool = False
    shared_weights: bool = False
    learn_rule: bool = True
    adapter_bias: bool = True
    rule_std: float | None = None
    exact_identity: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("n", "rank"):
            if getattr(self, field) < 1:
                raise InputError(f"{field} must be at least 1", got=getattr(self, field))
        if self.rule_std is not None and not 0 < self.rule_std < math.inf:
            raise InputError("rule_std must be positive and finite", got=self.rule_std)

    def draw_rule(self) -> dict[str, torch.Tensor]:
        """Initial A, shape (n, n, n), or its factors, (n, n, 1) and (n, 1, n)."""
        n = self.n
        std = self.rule_std or (
            n**-0.5 if not self.learn_rule else 1e-4 if self.shared_rule else 1e-2
        )
        if self.factorized_rule:
            left, right = torch.randn(n, n, 1), torch.randn(n, 1, n)
            return {"rule_left": std**0.5 * left, "rule_right": std**0.5 * right}
        if n == 1 and not self.learn_rule and self.rule_std is None:
            return {"rule": torch.ones(1, 1, 1)}
        return {"rule": std * torch.randn(n, n, n)}

    def draw_weight(self, p: int, q: int, zero: bool) -> dict[str, torch.Tensor]:
        """Initial B of a projection from width p to q, or its factors; zero as asked for.

        Xavier-uniform with gain sqrt(2) for every i, as the authors' code has it.
        """
        n, r = self.n, self.rank
        shapes = {"weight": (p // n, q // n)}
        if self.factorized:
            shapes = {"left": (p // n, r), "right": (r, q // n)}
        values = {}
        for name, (rows, columns) in shapes.items():
            bound = math.sqrt(2) * math.sqrt(6 / (rows + columns))
            values[name] = torch.empty(n, rows, columns).uniform_(-bound, bound)
        if zero:
            values[name].zero_()
        return values


SIDES = ("down", "up")
RULE = ("rule", "rule_left", "rule_right")
WEIGHT = ("weight", "left", "right")


class CompacterLayer(SublayerLayer):
    """output + phm_up(act(phm_down(h)))."""

    adapter_layer_names = tuple(
        f"compacter_{side}_{part}" for side in SIDES for part in (*RULE, *WEIGHT, "bias")
    )

    @classmethod
    def check(cls, config: CompacterConfig, path: str, layer: nn.Module) -> None:
        super().check(config, path, layer)
        d, k = _widths(config, path, layer)
        n = config.n
        for what, width in (("model", d), ("bottleneck", k)):
            if width % n:
                raise InputError(
                    f"n must divide the {what} width {width} at {path}", got=n, hint=_remedy(d, n)
                )
        if config.factorized and config.rank > k // n:
            raise InputError(
                f"rank must be at most {k // n} at {path}, the bottleneck width / n",
                got=config.rank,
                hint="Lower rank, n or reduction",
            )

    def update_layer(self, adapter: str, config: CompacterConfig) -> None:
        if not config.learn_rule:
            self.frozen_peft_weight_names[adapter] = tuple(
                f"compacter_{side}_{part}" for side in SIDES for part in RULE
            )
        super().update_layer(adapter, config)

    def create(self, adapter: str, config: CompacterConfig) -> dict[str, Any]:
        d, k = self.sizes(config)
        values: dict[str, torch.Tensor] = {}
        for side, p, q in (("down", d, k), ("up", k, d)):
            parts = {} if config.shared_rule else config.draw_rule()
            if not config.shared_weights:
                parts |= config.draw_weight(p, q, side == "up" and config.exact_identity)
            if config.adapter_bias:
                parts["bias"] = torch.zeros(q)
            values |= {f"compacter_{side}_{part}": value for part, value in parts.items()}
        return values

    def branch(self, adapter: str, h: torch.Tensor) -> torch.Tensor:
        act = _activation(self.settings[adapter].activation or "gelu_new")
        return self.project("up", adapter, act(self.project("down", adapter, h)))

    def project(self, side: str, adapter: str, x: torch.Tensor) -> torch.Tensor:
        """One projection of the adapter, ``"down"`` or ``"up"``."""
        rule, weight, left, right, bias = self._parts(side, adapter, x.dtype)
        y = x @ phm_weight(rule, weight) if weight is not None else phm(x, rule, left, right)
        return y if bias is None else y + bias

    def matrix(self, side: str, adapter: str) -> torch.Tensor:
        """H of one projection, explicitly; shape (d, k) for ``"down"``, (k, d) for ``"up"``."""
        rule, weight, left, right, _ = self._parts(side, adapter, None)
        return phm_weight(rule, left @ right if weight is None else weight)

    def _parts(self, side: str, adapter: str, dtype: torch.dtype | None) -> tuple[Any, ...]:
        """A, B, s, t and the bias, each from this layer, from what all share, or ``None``."""

        def find(part: str) -> torch.Tensor | None:
            own = getattr(self, f"compacter_{side}_{part}")
            name = f"compacter_{part}" if part in RULE else f"compacter_{side}_{part}"
            for store in (own, self.shared.get(name, {})):
                if adapter in store:
                    value: torch.Tensor = store[adapter]
                    return value if dtype is None else value.to(dtype)
            return None

        rule, left, right = (find(part) for part in RULE)
        if rule is None and left is not None and right is not None:
            rule = left @ right
        return rule, *(find(part) for part in (*WEIGHT, "bias"))


@register(CompacterConfig)
class CompacterModel(SublayerModel):
    """Puts Compacter into a model, and keeps what its layers share."""

    tuner_layer_cls = CompacterLayer
    shared_names = (
        *(f"compacter_{part}" for part in RULE),
        *(f"compacter_{side}_{part}" for side in SIDES for part in WEIGHT),
    )

    def frozen_shared(self, config: CompacterConfig) -> tuple[str, ...]:
        return () if config.learn_rule else tuple(f"compacter_{part}" for part in RULE)

    def create_shared(
        self, config: CompacterConfig, targets: dict[str, nn.Module]
    ) -> dict[str, torch.Tensor]:
        widths = {_widths(config, path, layer) for path, layer in targets.items()}
        values: dict[str, torch.Tensor] = {}
        if config.shared_rule:
            values |= {f"compacter_{part}": value for part, value in config.draw_rule().items()}
        if config.shared_weights:
            if len(widths) > 1:
                raise InputError(
                    "shared_weights needs sub-layers of one width", got=sorted(widths),
                    hint="Set shared_weights=False, or name layers of one width",
                )  # fmt: skip
            d, k = min(widths)
            for side, p, q in (("down", d, k), ("up", k, d)):
                drawn = config.draw_weight(p, q, side == "up" and config.exact_identity)
                values |= {f"compacter_{side}_{part}": value for part, value in drawn.items()}
        _warn_of_large_rules(config, [_widths(config, p, layer) for p, layer in targets.items()])
        device = next(next(iter(targets.values())).parameters()).device
        return {name: value.to(device) for name, value in values.items()}


class LowRateWarning(TrainerCallback):
    """Warns where Compacter is trained at a dense adapter's learning rate and hardly moves."""

    def on_train_begin(
        self,
        args: Any,
        state: Any,
        control: Any,
        model: Any = None,
        optimizer: Any = None,
        **_: Any,
    ) -> None:
        ours = {id(p) for name, p in model.named_parameters() if ".compacter_" in name}
        rates = [
            group.get("initial_lr", group["lr"])
            for group in optimizer.param_groups
            if ours & {id(p) for p in group["params"]}
        ]
        if rates and max(rates) <= 3e-4:
            warnings.warn(
                f"Compacter hardly moves at a learning rate of {max(rates):g}; published: 3e-3",
                stacklevel=2,
            )


class Compacter(OnSublayers):
    """Adapters after attention and feed-forward, with the normalisation layers."""

    name = "compacter"
    source = "arXiv 2106.04647"
    learning_rates = (1e-3, 1e-2)  # the paper trains at 3e-3
    divisors: ClassVar[tuple[int, ...]] = (4, 2, 1)  # the paper's n first
    flags: ClassVar[dict[str, Any]] = {}  # what a variant switches

    def refusal(self, facts: Facts) -> str | None:
        if not facts.norms:
            return "the model has no normalisation layers to train"
        return super().refusal(facts)

    def division(self, facts: Facts) -> int:
        """The first n that divides the model width."""
        return next(n for n in self.divisors if facts.width % n == 0)

    def sizes(self, facts: Facts) -> list[int]:
        return [k for k in super().sizes(facts) if k % self.division(facts) == 0]

    def callbacks(self, model: nn.Module, steps: int) -> list[TrainerCallback]:
        return [LowRateWarning()]

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return CompacterConfig(
            task_type=facts.task_type,
            n=self.division(facts),
            width=size,
            dropout=dropout,
            **self.flags,
        )


class PhmAdapter(Compacter):
    """Rules of its own in every projection, full B."""

    name = "phm-adapter"
    changes_at_start = True  # by up to 1e-2 of the hidden states: its rules start larger
    divisors = (12, 8, 4, 2, 1)
    flags: ClassVar[dict[str, Any]] = {"shared_rule": False, "factorized": False}


@functools.cache
def _activation(name: str) -> nn.Module:
    found: nn.Module = ACT2FN[name]
    return found


def _widths(config: CompacterConfig, path: str, layer: nn.Module) -> tuple[int, int]:
    d = width_of(path, layer, config.order)
    return d, config.bottleneck(path, d)


def _remedy(d: int, n: int) -> str:
    """Reductions of width d whose bottleneck n divides."""
    if d % n:
        return f"Choose n among {[m for m in range(1, 17) if d % m == 0]}"
    fitting = [r for r in range(1, d + 1) if d // r and (d // r) % n == 0 and d % r == 0]
    return f"Reductions that fit: {fitting}"


def _warn_of_large_rules(config: CompacterConfig, widths: list[tuple[int, int]]) -> None:
    if not config.learn_rule:
        return
    n, rank = config.n, config.rank
    rules = n**3 if config.shared_rule else 2 * n**3 * len(widths)
    weights = [2 * rank * (d + k) if config.factorized else 2 * d * k // n for d, k in widths]
    biases = sum(d + k for d, k in widths) if config.adapter_bias else 0
    rest = (max(weights, default=0) if config.shared_weights else sum(weights)) + biases
    if not config.factorized_rule and rules > rest:
        warnings.warn(
            f"n={n}: the rules have {rules} parameters, all the rest of the adapters {rest}; "
            "a smaller n saves more",
            stacklevel=2,
        )
