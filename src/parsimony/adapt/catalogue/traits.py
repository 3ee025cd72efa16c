"""What a method can do, found by trying it on a tiny model; nothing here is typed in.

A tiny BERT classifier is tried first and a tiny Llama where the method refuses that. What cannot be
found out stays unknown, with the reason. A trait is one function below under ``@trait``.
"""

from __future__ import annotations

import copy
import functools
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import peft
import torch
import transformers
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode
from transformers.pytorch_utils import Conv1D

from parsimony.adapt.catalogue import Entry, configured, wrap
from parsimony.adapt.method import Facts, method
from parsimony.core import peft_border, pretrained
from parsimony.core.errors import InputError
from parsimony.core.quantized import quantized

_SIZE, _ROWS, _TOKENS = 4, 2, 8  # the size of ours is the nearest one to the first
_TOLERANCE = 1e-4  # of merged outputs in fp32, relative to the largest
_SETTINGS: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}


@dataclass(frozen=True)
class Verdict:
    """Attributes:
    value: has it, has it not, or ``None``: unknown.
    reason: what was seen; never empty where the value is not ``True``.
    """

    value: bool | None
    reason: str = ""


class Trial:
    """A method on a tiny model.

    Raises:
        Exception: the method refuses both tiny models.
    """

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        encoder = transformers.BertConfig(**_SETTINGS, hidden_dropout_prob=0.0)
        encoder.attention_probs_dropout_prob = 0.0
        decoder = transformers.LlamaConfig(**_SETTINGS, num_key_value_heads=2)
        try:
            self._use(encoder, "text-classification")
        except Exception:
            self._use(decoder, "causal-lm")

    def _use(self, config: Any, task: str) -> None:
        self.task, self.facts = task, Facts.of(config, task)
        self.batch = {"input_ids": torch.arange(1, 1 + _ROWS * _TOKENS).view(_ROWS, _TOKENS)}
        ours = self.entry.method
        known = method(ours).sizes(self.facts) if ours else [_SIZE]
        self.size = min(known, key=lambda size: abs(size - _SIZE))
        self.run(self.adapted())

    def base(self) -> nn.Module:
        """The same weights each time."""
        torch.manual_seed(0)
        return pretrained.build(copy.deepcopy(self.facts.config), self.task).eval()

    def adapted(self, build: Callable[[], nn.Module] | None = None) -> nn.Module:
        """The model with an adapter that does something."""
        model = wrap(self.entry, build or self.base, self.facts, self.size).eval()
        stir(model, 1)
        return model

    def second(self, model: nn.Module) -> None:
        """Add a second adapter, with values of its own."""
        if not isinstance(model, peft.PeftModel):
            raise TypeError("the result is a model, not an adapter")
        model.add_adapter("second", configured(self.entry, self.facts, self.size, _targets(model)))
        model.set_adapter("second")
        stir(model, 2)
        model.eval()

    def run(self, model: nn.Module, **extra: Any) -> torch.Tensor:
        """Its outputs."""
        with torch.no_grad():
            found: torch.Tensor = model(**self.batch, **extra).logits
        return found


def _targets(model: peft.PeftModel) -> Any:
    return getattr(model.peft_config["default"], "target_modules", None)


def stir(model: nn.Module, seed: int) -> None:
    """Move everything that trains, so that an adapter that starts at zero shows."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.is_floating_point():
            moved = 0.02 * torch.randn(parameter.shape, generator=generator)
            parameter.data += moved.to(parameter.dtype)


TRAITS: dict[str, Callable[[Trial], Verdict]] = {}


def trait(name: str) -> Callable[[Callable[[Trial], Verdict]], Callable[[Trial], Verdict]]:
    """Register how the trait ``name`` is tried."""

    def decorate(test: Callable[[Trial], Verdict]) -> Callable[[Trial], Verdict]:
        TRAITS[name] = test
        return test

    return decorate


@functools.cache
def probe(entry: Entry, name: str) -> Verdict:
    """Whether a method has a trait; a failing trial is an answer, its reason the message."""
    if not (entry.method or entry.peft):
        return Verdict(None, "not available here, so it cannot be tried")
    with torch.random.fork_rng(devices=[]):
        try:
            trial = Trial(entry)
        except Exception as error:
            return Verdict(None, f"cannot be tried on the tiny models: {_first_line(error)}")
        try:
            return TRAITS[name](trial)
        except _UnmeasuredError as error:
            return Verdict(None, str(error))
        except Exception as error:
            return Verdict(False, _first_line(error))


@trait("mergeable")
def _mergeable(trial: Trial) -> Verdict:
    """Folded into the base, the outputs stay."""
    model = trial.adapted()
    before = trial.run(model)
    if isinstance(model, peft.PeftModel):
        try:
            peft_border.refuse_unmergeable(model, trial.entry.name)
        except (InputError, TypeError):
            return Verdict(False, "what it does cannot be folded into the base weights")
    moved = (trial.run(_merged(model)) - before).abs().max() / before.abs().max()
    if moved > _TOLERANCE:
        return Verdict(False, f"merging moves the outputs by {float(moved):.1%}")
    return Verdict(True)


@trait("no-latency")
def _no_latency(trial: Trial) -> Verdict:
    """Served, it computes nothing that the base does not: as it is, or once merged."""
    base = _work(trial, trial.base())
    unmerged = _work(trial, trial.adapted())
    if all(mine <= theirs for mine, theirs in zip(unmerged, base, strict=True)):
        return Verdict(True, "adds none, merged or not")
    cost = f"{unmerged[0] - base[0]} operators more than the base's {base[0]}"
    if not _mergeable(trial).value:
        return Verdict(False, f"cannot be merged and adds {cost}")
    merged = _work(trial, _merged(trial.adapted()))
    if all(mine <= theirs for mine, theirs in zip(merged, base, strict=True)):
        return Verdict(True, f"none once merged; unmerged {cost}")
    return Verdict(False, f"merged {merged[0] - base[0]}, unmerged {cost}")


@trait("several-adapters")
def _several(trial: Trial) -> Verdict:
    """Two adapters in one model, switched without touching one another."""
    model = trial.adapted()
    before = trial.run(model)
    trial.second(model)
    other = trial.run(model)
    model.set_adapter("default")  # type: ignore[operator]
    if not torch.equal(trial.run(model), before):
        return Verdict(False, "the first adapter changes when a second is added")
    return Verdict(not torch.equal(other, before), "the second adapter has no effect")


@trait("mixed-batches")
def _mixed(trial: Trial) -> Verdict:
    """Rows of one batch go through adapters of their own."""
    model = trial.adapted()
    first = trial.run(model)
    trial.second(model)
    second = trial.run(model)
    mixed = trial.run(model, adapter_names=["default", "second"])
    wanted = torch.stack([first[0], second[1]])
    near = torch.allclose(mixed, wanted, atol=1e-5)
    return Verdict(near, "" if near else "the names of the adapters are not heeded")


@trait("8bit")
def _eight(trial: Trial) -> Verdict:
    """Trains on a base of 8-bit weights."""
    return _on_quantized(trial, 8)


@trait("4bit")
def _four(trial: Trial) -> Verdict:
    """Trains on a base of 4-bit weights (nf4)."""
    return _on_quantized(trial, 4)


@trait("conv2d")
def _conv2d(trial: Trial) -> Verdict:
    """Adapts a convolution."""
    return _on_layer(trial, nn.Conv2d(8, 8, 3), torch.randn(2, 8, 6, 6))


@trait("embedding")
def _embedding(trial: Trial) -> Verdict:
    """Adapts an embedding."""
    return _on_layer(trial, nn.Embedding(16, 8), torch.arange(4)[None])


@trait("gpt2-conv1d")
def _conv1d(trial: Trial) -> Verdict:
    """Adapts GPT-2's transposed linear layer."""
    return _on_layer(trial, Conv1D(8, 8), torch.randn(2, 8))


def _merged(model: nn.Module) -> nn.Module:
    if not isinstance(model, peft.PeftModel):
        return model  # it is the model itself that trains
    return peft_border.merged(model).eval()


class _Operators(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what is computed; views are free."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += not getattr(func, "is_view", False)
        return func(*args, **(kwargs or {}))


class _UnmeasuredError(Exception):
    """The trial failed for a reason that says nothing about the method."""


def _work(trial: Trial, model: nn.Module) -> tuple[int, int]:
    """(operators, floating-point operations) of a forward pass."""
    operators, flops = _Operators(), FlopCounterMode(display=False)
    try:
        with flops, operators:
            trial.run(model)
    except Exception as error:  # some of peft's layers and torch's counter do not get along
        raise _UnmeasuredError(
            f"torch cannot count its operations: {_first_line(error)}"
        ) from error
    return operators.count, flops.get_total_flops()


def _on_quantized(trial: Trial, bits: int) -> Verdict:
    if importlib.util.find_spec("bitsandbytes") is None:
        return Verdict(None, "bitsandbytes is not installed")

    def build() -> nn.Module:
        model = trial.base()
        for name in trial.facts.linear:
            model.set_submodule(name, quantized(model.get_submodule(name), bits))
        return model

    model = trial.adapted(build).train()
    model(**trial.batch).logits.pow(2).sum().backward()
    head = set(trial.facts.head)
    trained = [p for n, p in model.named_parameters()
               if p.requires_grad and not head & set(n.split("."))]  # fmt: skip
    if not trained:
        return Verdict(True, "trains the head alone")
    moving = [p.grad for p in trained if p.grad is not None and bool(p.grad.any())]
    if not moving or not all(bool(g.isfinite().all()) for g in moving):
        return Verdict(False, "no finite gradient reaches the adapter")
    return Verdict(True)


class _One(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.layer(x)
        return found


def _on_layer(trial: Trial, layer: nn.Module, example: torch.Tensor) -> Verdict:
    config = copy.deepcopy(configured(trial.entry, trial.facts, trial.size))
    if not hasattr(config, "target_modules"):
        return Verdict(False, "its configuration chooses no layers")
    config.task_type, config.target_modules = None, {"layer"}
    if hasattr(config, "feedforward_modules"):
        config.feedforward_modules = set()
    before = layer(example)
    model = peft.get_peft_model(_One(layer), config).eval()
    stir(model, 1)
    with torch.no_grad():
        found = model(example)
    same = found.shape == before.shape and not torch.equal(found, before)
    return Verdict(same, "" if same else "it has no effect on such a layer")


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(". ") or type(error).__name__
