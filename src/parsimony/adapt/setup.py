"""What all trials of a run share, fixed before the first of them starts and kept in ``plan.json``.

The plan holds the answer to 'what will be run' in full, so that a resumed run and a run with
other workers do the same thing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

from parsimony.adapt.method import Facts, method
from parsimony.core import artifacts, inputs, precision, pretrained
from parsimony.core.generation import Question, answers
from parsimony.core.inputs import Inputs
from parsimony.core.inputs.instruction import InstructionInputs
from parsimony.core.pretrained import ANSWERS, Pretrained
from parsimony.core.scoring import BESIDE, Collate, Rows
from parsimony.core.thrift import PLAIN, Thrift


@dataclass(frozen=True)
class Setup:
    """Model, data and shape of the batches.

    Attributes:
        model: resolved model.
        data: name of the data set.
        task: see ``core.data.Task``.
        labels: class names.
        text: source columns of the text or the sounds.
        label: source column of the label.
        fingerprint: of the data and its split.
        window: longest input, in tokens of text or frames of sound.
        batch: rows per step.
        device: ``"cpu"`` or ``"cuda"``.
        threads: torch threads of a worker.
        folder: where the splits lie.
        processes: that share a training and its batches, each on a device.
        asked: most held-out rows of a split that the model answers, where answers are scored.
        new_tokens: longest answer that it may write.
    """

    model: Pretrained
    data: str
    task: str
    labels: tuple[str, ...]
    text: tuple[str, ...]
    label: str | None
    fingerprint: str
    window: int
    batch: int
    device: str
    threads: int
    folder: Path
    processes: int = 1
    asked: int = 0
    new_tokens: int = 0

    def as_dict(self) -> dict[str, Any]:
        """JSON form; ``from_dict`` reads it back."""
        record = asdict(self)
        record["model"]["path"] = str(self.model.path)
        record["folder"] = None  # it is where the plan lies
        return record

    @classmethod
    def from_dict(cls, record: dict[str, Any], folder: Path) -> Setup:
        model = Pretrained(**{**record["model"], "path": Path(record["model"]["path"])})
        tuples = {key: tuple(record[key]) for key in ("labels", "text")}
        return cls(**{**record, **tuples, "model": model, "folder": folder})

    @functools.cached_property
    def facts(self) -> Facts:
        """The architecture's facts."""
        frames = inputs.frames_of(self.task, self.window)
        config = pretrained.config(self.model, self.task, self.labels, frames)
        return replace(Facts.of(config, self.task), examples=self._examples())

    def _examples(self) -> tuple[list[int], ...]:
        """Up to 1,000 training rows, evenly spaced, that the window has not cut."""
        if self.task not in ANSWERS or not (self.folder / "train.arrow").is_file():
            return ()
        rows = self.rows("train")
        spaced = range(0, len(rows), -(-len(rows) // 1000))
        found = (rows[number]["input_ids"] for number in spaced)
        return tuple(ids for ids in found if len(ids) < self.window)

    @functools.cached_property
    def inputs(self) -> Inputs:
        """What the model reads."""
        return inputs.of(self.model, self.task)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, or the feature extractor of sounds."""
        return self.inputs.processor

    @property
    def collator(self) -> Collate:
        """Makes batches."""
        return self.inputs.collator

    @functools.cached_property
    def positions(self) -> int:
        """Longest input the model takes, in the window's unit."""
        return self.inputs.longest(self.facts.config)

    def rows(self, split: str, limit: int | None = None) -> Rows:
        """The encoded rows of a split, or the first ``limit`` of them."""
        return self.inputs.kept(self.folder, split, self.window, limit)

    @property
    def asks(self) -> bool:
        """Whether the task scores what the model writes."""
        return self.task in BESIDE

    def questions(self, split: str) -> list[Question]:
        """The rows of a split that are asked, at most ``asked`` of them."""
        reads, table = self.inputs, pd.read_parquet(self.folder / f"{split}.parquet")
        assert isinstance(reads, InstructionInputs)
        return reads.questions(table, self.window, self.new_tokens, self.asked)

    def written(self, model: nn.Module, questions: list[Question], batch: int) -> list[str]:
        """The model's answers."""
        reads = self.inputs
        assert isinstance(reads, InstructionInputs)
        stops = reads.stops(pd.read_parquet(self.folder / "train.parquet"))
        prompts = [question.prompt for question in questions]
        found = answers(model, prompts, tokens=self.new_tokens, stops=stops, batch=batch)
        return [reads.processor.decode(ids, skip_special_tokens=True) for ids in found]

    def example(self, accumulation: int = 1) -> Callable[[], dict[str, torch.Tensor]]:
        """Makes inputs that fill the window: a process's rows of one of ``accumulation`` parts."""
        rows = self.batch // (self.processes * accumulation)
        return self.inputs.example(self.facts.config, rows, self.window)

    def base(self, seed: int, form: str = PLAIN.base) -> nn.Module:
        """The pretrained model in a form of ``core.thrift``; a missing head drawn from ``seed``."""
        frames = inputs.frames_of(self.task, self.window)
        return pretrained.load(
            self.model, self.task, self.labels, seed, frames,
            base=form, head=self.facts.head, device=self.device,
        )  # fmt: skip

    def adapted(
        self, name: str, size: int, dropout: float, seed: int, form: str = PLAIN.base
    ) -> nn.Module:
        """``base`` wrapped by a method; head and adapter drawn from ``seed``."""
        model = self.base(seed, form)
        return self.wrapped(model, name, size, dropout, seed).to(self.device)

    def wrapped(
        self, model: nn.Module, name: str, size: int, dropout: float = 0.0, seed: int = 0
    ) -> nn.Module:
        """``model`` wrapped by a method, whose own parameters are in float32 on any base."""
        own = {id(parameter) for parameter in model.parameters()}
        adapted = method(name).apply(model, self.facts, size, dropout, seed)
        precision.widen_trained(adapted, own)
        return adapted


@dataclass(frozen=True)
class Candidate:
    """One configuration of one method.

    Attributes:
        id: short and unique, also its folder's name.
        method: name of the method.
        size: value of its size knob; 0 where it has none.
        learning_rate: peak rate; 0 where nothing trains.
        dropout: of the adapter.
        thrift: how it saves memory.
    """

    id: str
    method: str
    size: int
    learning_rate: float
    dropout: float
    thrift: Thrift = PLAIN

    @property
    def label(self) -> str:
        """Method, size and thrift, for people."""
        return label(self.method, self.size, self.thrift)


def label(name: str, size: int, thrift: Thrift = PLAIN) -> str:
    """``"lora r=8 4bit"``; the bare name where there is no size and nothing is saved."""
    knob = method(name).size_name
    return " ".join(filter(None, (name, f"{knob}={size}" if knob else "", str(thrift))))


@dataclass(frozen=True)
class Plan:
    """What will be run.

    Attributes:
        setup: see ``Setup``.
        candidates: drawn up front.
        steps: optimizer steps of a full training.
        rungs: steps after which candidates are compared and the lesser ones stopped.
        keep: share of candidates that goes on at each rung.
        finalists: how many methods are rerun on all seeds, baselines not counted.
        seeds: of the final comparison; the search itself uses the first.
    """

    setup: Setup
    candidates: tuple[Candidate, ...]
    steps: int
    rungs: tuple[int, ...]
    keep: float
    finalists: int
    seeds: tuple[int, ...]

    @property
    def evaluations(self) -> frozenset[int]:
        """Steps at which validation is scored."""
        return frozenset({*self.rungs, self.steps})

    def write(self, folder: Path) -> None:
        """Write ``plan.json``."""
        record = asdict(self) | {"setup": self.setup.as_dict()}
        artifacts.write_json(folder / "plan.json", record)

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """The plan of a run folder."""
        return _read_plan(folder, (folder / "plan.json").stat().st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _read_plan(folder: Path, _: int) -> Plan:
    record = artifacts.read_json(folder / "plan.json")
    return Plan(
        setup=Setup.from_dict(record.pop("setup"), folder / "data"),
        candidates=tuple(
            Candidate(**{**c, "thrift": Thrift(**c["thrift"])}) for c in record.pop("candidates")
        ),
        rungs=tuple(record.pop("rungs")),
        seeds=tuple(record.pop("seeds")),
        **record,
    )
