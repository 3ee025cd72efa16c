"""muP, the maximal update parametrisation: one learning rate for every width of a transformer.

With m = width / base width, for an optimizer of Adam's kind:

    what                                         std at the start      rate      in the forward
    hidden matrices (attention, MLP, experts)    sigma / sqrt(m)       eta / m
      those that end a residual branch           / sqrt(2 layers)                * residual
    embeddings, output head                      sigma                 eta       * embedding
    biases, norms                                0 and 1               eta
    logits                                                                       / m
    attention logits                                                             / d_head

The multipliers are the fields of transformers' Granite models (``embedding_multiplier``,
``residual_multiplier``, ``attention_multiplier``, ``logits_scaling``). The base width travels in
the config, so that nothing here falls back to the standard parametrisation without a word.

Source: Yang et al. 2022, arXiv 2203.03466, as Shen et al. 2024, arXiv 2408.13359, use it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from parsimony.core.errors import InputError

EMBEDDING, RESIDUAL = 12.0, 0.22
MULTIPLIERS = (
    "embedding_multiplier",
    "residual_multiplier",
    "attention_multiplier",
    "logits_scaling",
)

# Modules whose output is added to the residual stream: attention, MLP, experts, state spaces.
_RESIDUAL_OUTPUTS = {"o_proj", "down_proj", "output_linear", "out_proj"}


def configure(
    config: Any, base_width: int, *, embedding: float = EMBEDDING, residual: float = RESIDUAL
) -> Any:
    """A copy of a Granite config with muP's multipliers and its base width.

    Args:
        config: ``GraniteConfig`` or another with the four multipliers.
        base_width: ``hidden_size`` of the model whose rate carries over; 256 in the released one.
        embedding: what the embeddings' output is multiplied by.
        residual: what each residual branch is multiplied by.

    Raises:
        InputError: a config without the multipliers, values that are not positive.
    """
    missing = [name for name in MULTIPLIERS if not hasattr(config, name)]
    if missing:
        raise InputError(
            f"muP needs a model with the multipliers of Granite's, and {type(config).__name__} "
            f"has no {', '.join(missing)}",
            hint="Use GraniteConfig or one of its family",
        )
    for what, value in (("base_width", base_width), ("embedding", embedding),
                        ("residual", residual)):  # fmt: skip
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{what} must be a positive number", got=value)
    new = copy.deepcopy(config)
    new.mup_base_width = base_width
    new.embedding_multiplier, new.residual_multiplier = float(embedding), float(residual)
    new.attention_multiplier, new.logits_scaling = 1 / _head(new), new.hidden_size / base_width
    return new


def width_multiplier(model: nn.Module) -> float:
    """m of a model whose config ``configure`` made.

    Raises:
        InputError: the config has no base width, or other multipliers than its width asks for.
    """
    config: Any = model.config
    base = getattr(config, "mup_base_width", None)
    if base is None:
        raise InputError(
            "the model has no base width: it would train in the standard parametrisation",
            hint="Build it from configure(config, base_width)",
        )
    m = float(config.hidden_size / base)
    for name, wanted in (("logits_scaling", m), ("attention_multiplier", 1 / _head(config))):
        if not math.isclose(getattr(config, name), wanted):
            raise InputError(
                f"{name} must be {wanted:g} at width {config.hidden_size} and base width {base}",
                got=getattr(config, name),
                hint="Call configure again after a change of width or heads",
            )
    return m


def initialise(model: nn.Module, sigma: float | None = None) -> None:
    """Draw the weights of muP's start, in place, from torch's random state.

    Args:
        model: of a config that ``configure`` made.
        sigma: standard deviation at the base width; ``None`` for ``initializer_range``.

    Raises:
        InputError: as ``width_multiplier``; sigma is not positive.
    """
    m, config = width_multiplier(model), model.config
    sigma = float(config.initializer_range if sigma is None else sigma)  # type: ignore[union-attr,arg-type]
    if not (math.isfinite(sigma) and sigma > 0):
        raise InputError("sigma must be a positive number", got=sigma)
    branches = math.sqrt(2 * config.num_hidden_layers)  # type: ignore[union-attr,operator]
    for name, kind, parameter in _kinds(model):
        if kind == "vector":
            continue
        std = sigma / math.sqrt(m) if kind == "hidden" else sigma
        if _RESIDUAL_OUTPUTS & set(name.split(".")):
            std /= branches
        nn.init.normal_(parameter, std=std)


def parameter_groups(
    model: nn.Module, learning_rate: float, weight_decay: float = 0.1
) -> list[dict[str, Any]]:
    """The three groups for torch's AdamW: normal, no decay, and muP at ``learning_rate`` / m.

    Args:
        model: of a config that ``configure`` made.
        learning_rate: eta, of every width.
        weight_decay: of embeddings and matrices. torch multiplies it by the group's rate.

    Returns:
        Groups named ``"normal"``, ``"no decay"`` and ``"mup"`` with ``mup_width``, m; those
        without a parameter are left out. Schedules keep their ratios.

    Raises:
        InputError: as ``width_multiplier``; a rate that is not positive.
    """
    m = width_multiplier(model)
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise InputError("the learning rate must be a positive number", got=learning_rate)
    groups = {
        "width-free": ("normal", learning_rate, weight_decay),
        "vector": ("no decay", learning_rate, 0.0),
        "hidden": ("mup", learning_rate / m, weight_decay),
    }
    found = []
    for wanted, (name, rate, decay) in groups.items():
        some = [p for _, kind, p in _kinds(model) if kind == wanted and p.requires_grad]
        if some:
            found.append({"params": some, "name": name, "lr": rate, "weight_decay": decay,
                          "mup_width": m})  # fmt: skip
    return found


def _kinds(model: nn.Module) -> Iterator[tuple[str, str, nn.Parameter]]:
    """(name, ``"vector"``, ``"hidden"`` or ``"width-free"``, parameter) of each."""
    embeddings = {id(p) for module in model.modules() if isinstance(module, nn.Embedding)
                  for p in module.parameters()}  # fmt: skip
    head = model.get_output_embeddings()  # type: ignore[operator]
    embeddings |= set() if head is None else {id(head.weight)}
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            yield name, "vector", parameter
        else:
            yield name, "width-free" if id(parameter) in embeddings else "hidden", parameter


def _head(config: Any) -> float:
    given = getattr(config, "head_dim", None)
    return float(given or config.hidden_size // config.num_attention_heads)


@dataclass(frozen=True)
class CoordinateCheck:
    """Mean absolute activation after some steps, at several widths.

    Attributes:
        widths: in the order of the sizes.
        sizes: by layer, one figure per width.
    """

    widths: tuple[int, ...]
    sizes: Mapping[str, tuple[float, ...]]

    @property
    def spread(self) -> dict[str, float]:
        """Largest over smallest figure of each layer."""
        return {name: max(values) / min(values) for name, values in self.sizes.items()}

    @property
    def exponents(self) -> dict[str, float]:
        """Slope of ln activation on ln width, by least squares: 0 is flat, 1 is linear growth."""
        import numpy as np

        x = np.log(self.widths)
        return {n: float(np.polyfit(x, np.log(v), 1)[0]) for n, v in self.sizes.items()}

    def flat(self, within: float = 2.0) -> bool:
        """Whether no layer's activations differ by more than this factor."""
        return max(self.spread.values()) <= within


def coordinate_check(
    make: Callable[[int], tuple[nn.Module, torch.optim.Optimizer]],
    widths: Sequence[int],
    batch: Mapping[str, torch.Tensor],
    steps: int = 5,
) -> CoordinateCheck:
    """Train each width a few steps on one batch and look at the activations that result.

    Under muP they keep their size; in the standard parametrisation they grow with the width.

    Args:
        make: width -> (model, optimizer); a model takes ``batch`` and gives ``loss``, ``logits``.
        widths: at least two.
        batch: with labels.
        steps: of the optimizer.

    Returns:
        Figures of the outputs of all linear layers and embeddings but the head, and the logits.

    Raises:
        InputError: fewer than two widths; activations that are 0 or not finite.
    """
    if len(set(widths)) < 2:
        raise InputError("a coordinate check needs at least two widths", got=tuple(widths))
    found: dict[str, list[float]] = {}
    for width in widths:
        model, optimizer = make(width)
        model.train()
        for _ in range(steps):
            optimizer.zero_grad()
            model(**batch).loss.backward()
            optimizer.step()
        for name, size in _activations(model, batch).items():
            if not (math.isfinite(size) and size > 0):
                raise InputError(
                    f"activations of '{name}' at width {width} after {steps} steps must be finite "
                    "and not all 0",
                    got=size,
                    hint="Lower the learning rate",
                )
            found.setdefault(name, []).append(size)
    return CoordinateCheck(tuple(widths), {name: tuple(v) for name, v in found.items()})


def _activations(model: nn.Module, batch: Mapping[str, torch.Tensor]) -> dict[str, float]:
    found: dict[str, float] = {}
    head = model.get_output_embeddings()  # type: ignore[operator]

    def hook(name: str) -> Callable[..., None]:
        def keep(module: nn.Module, given: object, output: torch.Tensor) -> None:
            found[name] = float(output.detach().abs().mean())

        return keep

    handles = [
        module.register_forward_hook(hook(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Embedding) and module is not head
    ]
    try:
        with torch.no_grad():
            found["logits"] = float(model(**batch).logits.abs().mean())
    finally:
        for handle in handles:
            handle.remove()
    return found
