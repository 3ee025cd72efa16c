"""What parsimony's own methods cost beside peft's at equal size, one thread, one process.

``python benchmarks/adapt_methods.py [--json] [--only NAME]`` prints ratios with their spread, never
an absolute time. Times are processor time; the two that are compared take turns step by step. Of
each method the size nearest to LoRA's of rank 8 is taken, then the peer's rank nearest to that; the
values that both train are in the row's name, without the task head.

* step, peak: a training step, what the method's callbacks do included, and the tensor bytes alive
  in it, against peft's LoRA; FLoRA against LoKr and LoHa too, KronA against LoKr. A step's row says
  how many times the peer's FLOPs in matrix products it takes;
* wrap, save, load: ``get_peft_model``, ``save_pretrained``, ``from_pretrained``;
* merged: the forward of the merged model against the base's;
* LaMDA's gradients and AdamW state after freezing against those of LoRA of the same rank.
"""

from __future__ import annotations

import argparse
import bisect
import copy
import functools
import os
import tempfile
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

import peft
import torch
import transformers
from _rows import FEWEST, Row, peaks, ratios, show, spent
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from transformers import LlamaConfig, PretrainedConfig, TrainerControl, TrainerState
from transformers.trainer_callback import CallbackHandler, ExportableState

from parsimony.adapt.method import Facts, Method, method, methods
from parsimony.core import cost, pretrained
from parsimony.testing import tiny_audio

STEPS = 2  # of either arm a repetition; more where a callback acts only at every n-th
WARM = 2
PLANNED = 10_000  # steps of the training whose first ones are measured: no schedule has run off
RANK = 8
RANKS = range(1, 129)  # of the peer
PEERS = {"flora": ("lokr", "loha"), "krona": ("lokr",)}  # of the same form, beside LoRA
LOKR_FACTOR = 4
BATCH, WINDOW = 8, 32


@dataclass(eq=False)
class Case:
    """A base model with random weights, and a batch for it."""

    name: str
    config: PretrainedConfig
    task: str
    batch: dict[str, torch.Tensor]

    def __post_init__(self) -> None:
        self.facts = Facts.of(self.config, self.task)
        torch.manual_seed(0)
        self._base = pretrained.build(self.config, self.task)

    def base(self) -> nn.Module:
        """A fresh copy."""
        return copy.deepcopy(self._base)

    def adapt(self, model: nn.Module, name: str, size: int) -> nn.Module:
        """``model`` under a method."""
        if name != "lokr":
            return method(name).apply(model, self.facts, size)
        # At its default split LoKr has too few values at any rank to be as large as the others.
        config = method(name).config(self.facts, size, 0.0)
        config.decompose_factor = LOKR_FACTOR  # type: ignore[attr-defined]
        return peft.get_peft_model(model, config)

    @functools.cache  # noqa: B019 - a case lives as long as the program
    def count(self, name: str, size: int) -> int:
        """Values that a method trains outside the head."""
        model = cost.on_meta(
            lambda: self.adapt(pretrained.build(self.config, self.task), name, size)
        )
        return sum(p.numel() for _, p in self.trained(model))

    def trained(self, model: nn.Module) -> Iterable[tuple[str, nn.Parameter]]:
        """Names and parameters that train outside the head."""
        head = set(self.facts.head)
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and not head & set(name.split(".")):
                yield name, parameter

    def nearest(self, name: str, values: int, sizes: Sequence[int]) -> int:
        """Of ``sizes``, ascending in what they train, the one that trains nearest to ``values``."""
        place = bisect.bisect_left(sizes, values, key=lambda size: self.count(name, size))
        around = sizes[max(place - 1, 0) : place + 1]
        return min(around, key=lambda size: abs(self.count(name, size) - values))

    def matched(self, ours: Method, peer: str) -> tuple[int, int]:
        """(our size, the peer's)."""
        wanted = self.count("lora", RANK)
        size = self.nearest(ours.name, wanted, ours.sizes(self.facts))
        return size, self.nearest(peer, self.count(ours.name, size), RANKS)


def cases() -> list[Case]:
    """The built-in encoder, a decoder as wide, and a transformer of sounds."""
    torch.manual_seed(0)
    encoder = pretrained.config(pretrained.find("minilm"), "text-classification", ("a", "b"))
    decoder = LlamaConfig(
        vocab_size=512, hidden_size=384, intermediate_size=1536, num_hidden_layers=6,
        num_attention_heads=6, num_key_value_heads=6,
    )  # fmt: skip
    sounds = tiny_audio.config(
        hidden_size=384, intermediate_size=1536, num_hidden_layers=6, num_attention_heads=6,
        num_mel_bins=16, max_length=326,
    )  # fmt: skip
    heard = {
        "input_values": torch.randn(BATCH, sounds.max_length, sounds.num_mel_bins),
        "labels": torch.zeros(BATCH, dtype=torch.long),
    }
    return [
        Case("minilm", encoder, "text-classification", _texts(encoder, "text-classification")),
        Case("decoder", decoder, "causal-lm", _texts(decoder, "causal-lm")),
        Case("sounds", sounds, "audio-classification", heard),
    ]


def _texts(config: PretrainedConfig, task: str) -> dict[str, torch.Tensor]:
    batch: dict[str, torch.Tensor] = cost.text_batch(config, task, BATCH, WINDOW)()
    words = torch.randint(config.vocab_size, (BATCH, WINDOW))
    labels = words.clone() if task == "causal-lm" else batch["labels"]
    return {**batch, "input_ids": words, "labels": labels}


def own(case: Case) -> list[Method]:
    """The methods that are ours: their tuner, or what they do during a training."""
    found = []
    for each in methods().values():
        if each.refusal(case.facts) is None:
            config = each.config(case.facts, each.sizes(case.facts)[0], 0.0) if not each.full else 0
            ours = type(config).__module__.startswith("parsimony.")
            if ours or type(each).callbacks is not Method.callbacks:
                found.append(each)
    return found


class Arm:
    """One method in training, by steps.

    Args:
        case: the model.
        name: of the method.
        size: of the method.
        planned: steps that the training is said to have.
    """

    def __init__(self, case: Case, name: str, size: int, planned: int = PLANNED) -> None:
        self.case, self.name, self.size = case, name, size
        self.model = case.adapt(case.base(), name, size).train()
        self.optimizer = torch.optim.AdamW([p for p in self.model.parameters() if p.requires_grad])
        callbacks = method(name).callbacks(self.model, planned)
        self.round = max([STEPS, *(getattr(c, "update_every", 1) for c in callbacks)])
        self._handler = CallbackHandler(callbacks, self.model, None, self.optimizer, None)
        rows = [{k: v[i] for k, v in case.batch.items()} for i in range(BATCH)]
        self._handler.train_dataloader = DataLoader(rows, BATCH)
        stateful = [c for c in callbacks if isinstance(c, ExportableState)]
        self._state = TrainerState(max_steps=planned, stateful_callbacks=stateful)
        self._tell("train_begin")
        for _ in range(WARM):
            self.step()

    def _tell(self, event: str) -> None:
        getattr(self._handler, f"on_{event}")(_arguments(), self._state, TrainerControl())

    def gradients(self) -> None:
        """The step up to the optimizer's."""
        self._tell("step_begin")
        self.model(**self.case.batch).loss.backward()

    def step(self) -> None:
        """One optimizer step."""
        self.gradients()
        self._tell("pre_optimizer_step")
        self.optimizer.step()
        self._tell("optimizer_step")
        self.optimizer.zero_grad()
        self._state.global_step += 1
        self._tell("step_end")

    def kept_bytes(self) -> int:
        """Bytes of the gradients and of the optimizer's state, after a step's backward pass."""
        self.optimizer.zero_grad()
        self.gradients()
        state = [t for entry in self.optimizer.state.values() for t in entry.values()]
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        return sum(t.numel() * t.element_size() for t in [*state, *gradients])

    @functools.cached_property
    def peaks(self) -> list[int]:
        """Most tensor bytes alive in each of some steps."""
        state = [t for entry in self.optimizer.state.values() for t in entry.values()]
        kept = [*self.model.parameters(), *self.model.buffers(), *state, *self.case.batch.values()]
        return peaks(self.step, kept)

    @functools.cached_property
    def flops(self) -> float:
        """Of the matrix products of a step; the mean where a callback acts at every n-th."""
        steps = self.round if self.round > STEPS else 1
        with FlopCounterMode(display=False) as counter:
            for _ in range(steps):
                self.step()
        return counter.get_total_flops() / steps

    @property
    def label(self) -> str:
        return f"{self.name} {method(self.name).size_name}={self.size}"


@functools.cache
def peer_arm(case: Case, name: str, size: int) -> Arm:
    """Shared by all methods that are compared with it."""
    return Arm(case, name, size)


@functools.cache
def _arguments() -> transformers.TrainingArguments:
    return transformers.TrainingArguments(report_to=[], use_cpu=True)


def training_rows(case: Case, ours: Method, peer: str) -> list[Row]:
    """Step and peak of a method beside a peer of peft's."""
    size, rank = case.matched(ours, peer)
    arms = Arm(case, ours.name, size), peer_arm(case, peer, rank)
    values = f"{case.count(ours.name, size):,} / {case.count(peer, rank):,} values"
    name = f"{case.name}, {arms[0].label} / {arms[1].label}, {values}"
    flops = arms[0].flops / arms[1].flops
    steps = ratios(arms[0].step, arms[1].step, arms[0].round)
    most = [a / b for a, b in zip(*(arm.peaks for arm in arms), strict=True)]
    return [
        Row(f"{name}: step (FLOPs {flops:.2f})", "ratio", steps),
        Row(f"{name}: peak", "ratio", tuple(most)),
    ]


def start_rows(case: Case, ours: Method, folder: Path) -> list[Row]:
    """Wrapping, saving and loading beside LoRA."""
    size, rank = case.matched(ours, "lora")
    rows, pair = [], ((ours.name, size), ("lora", rank))

    def wrap(name: str, size: int) -> nn.Module:
        return case.adapt(bases.pop(), name, size)

    def save(name: str, size: int) -> None:
        wrapped[name].save_pretrained(str(folder / f"{name}-{size}"))

    def load(name: str, size: int) -> None:
        peft.PeftModel.from_pretrained(bases.pop(), str(folder / f"{name}-{size}"))

    wrapped = {name: case.adapt(case.base(), name, size) for name, size in pair}
    for action in (wrap, save, load):
        times: list[list[float]] = []
        for turn in range(FEWEST + 1):
            bases = [case.base() for _ in pair]
            taken = {
                arm[0]: spent(lambda arm=arm, action=action: action(*arm))
                for arm in (pair if turn % 2 else pair[::-1])
            }
            times.append([taken[name] for name, _ in pair])
        found = tuple(a / b for a, b in times[1:])  # the first loads what either needs
        name = f"{case.name}, {ours.name} / lora: {action.__name__}"
        rows.append(Row(name, "ratio", found))
    return rows


def merged_row(case: Case, ours: Method) -> Row:
    """The forward of a merged model over the base's."""
    arm = Arm(case, ours.name, case.matched(ours, "lora")[0])
    merged, base = arm.model.merge_and_unload().eval(), case.base().eval()
    with torch.no_grad():
        found = ratios(lambda: merged(**case.batch), lambda: base(**case.batch), STEPS)
    return Row(f"{case.name}, {ours.name} merged / base: forward", "ratio", found)


def frozen_rows(case: Case) -> list[Row]:
    """LaMDA once the whole of B is frozen, beside LoRA of the same rank."""
    lamda, lora = Arm(case, "lamda", RANK, planned=1), Arm(case, "lora", RANK)
    shapes = case.facts.targeted(case.facts.targets()).values()
    factor = sum(sum(shape) for shape in shapes) / (len(shapes) * RANK)
    steps = ratios(lamda.step, lora.step, STEPS)
    kept = tuple(lora.kept_bytes() / lamda.kept_bytes() for _ in range(FEWEST))
    name = f"{case.name}, lora r={RANK} / lamda r={RANK} after freezing"
    return [
        Row(f"{name}: gradients and AdamW state ((in + out) / r = {factor:.1f})", "ratio", kept),
        Row(f"{case.name}, lamda r={RANK} after freezing / lora r={RANK}: step", "ratio", steps),
    ]


def measure(only: str | None, folder: Path) -> list[Row]:
    """All rows, or those of one method."""
    *texts, sounds = cases()
    rows = []
    heard = [ours for ours in own(sounds) if all(ours.refusal(c.facts) for c in texts)]
    for case in (*texts, sounds):
        for ours in heard if case is sounds else own(case):
            if only in (None, ours.name):
                rows += training_rows(case, ours, "lora")
    decoder = texts[-1]
    for case, chosen in ((decoder, own(decoder)), (sounds, heard)):
        for ours in chosen:
            if only in (None, ours.name):
                for peer in PEERS.get(ours.name, ()):
                    rows += training_rows(case, ours, peer)
                rows += start_rows(case, ours, folder)
                if ours.mergeable:
                    rows.append(merged_row(case, ours))
    if only in (None, "lamda"):
        rows += frozen_rows(decoder)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of parsimony's methods beside peft's.")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--only", help="name of the one method to measure")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # libraries' notes to their own developers
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(options.only, Path(folder))
    show(rows, options.json)


if __name__ == "__main__":
    main()
