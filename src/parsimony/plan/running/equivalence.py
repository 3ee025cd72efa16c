"""Whether layouts train as one process does: the same few steps in each, on gloo.

``together`` starts processes that run one case after another (``python -m
parsimony.plan.running.equivalence FOLDER`` in each); ``alone`` runs the same case in this process.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from parsimony.core import artifacts
from parsimony.plan.cluster import hardware
from parsimony.plan.cluster.memory import STATES, stage_parameters
from parsimony.plan.cluster.model_shape import ModelShape
from parsimony.plan.cluster.plan_file import Layout, Plan
from parsimony.plan.cluster.training import Training
from parsimony.plan.running import launch, worker
from parsimony.plan.running.data_parallel import to_local
from parsimony.plan.running.layout import Part, build

STEPS = 3
BATCH, SEQUENCE, RATE = 8, 16, 0.5
GPT = ModelShape(4, 32, 4, vocabulary=64, positions=SEQUENCE, tied=False)
"""The two ends of a tied one add their gradients up in another order than one process does."""


@dataclass(frozen=True)
class Case:
    """One layout to try.

    Attributes:
        shape: of the model.
        tensor, pipeline, data, zero, chunks, recompute: of the layout.
        schedule: of the pipeline.
        optimizer: ``"sgd"`` or ``"adamw"``.
        micro_batch: sequences; a replica runs 8 / (data x micro_batch) micro-batches.
        flash: attention keeps no scores.
        precision: ``"fp32"`` or ``"bf16"``.
    """

    shape: ModelShape = GPT
    tensor: int = 1
    pipeline: int = 1
    data: int = 1
    zero: int = 0
    chunks: int = 1
    recompute: str = "none"
    schedule: str = "1f1b"
    optimizer: str = "sgd"
    micro_batch: int = 2
    flash: bool = True
    precision: str = "fp32"

    @property
    def plan(self) -> Plan:
        """The plan of it; its cluster's figures play no part."""
        layout = Layout(
            self.tensor, self.pipeline, self.data, self.zero, self.micro_batch, self.recompute,
            self.chunks,
        )  # fmt: skip
        cluster = hardware.load("laptop").of(layout.devices)
        return Plan(self.shape, cluster, Training(BATCH, SEQUENCE, flash=self.flash), layout)


TIED = replace(GPT, tied=True)
LLAMA = ModelShape(4, 32, 4, vocabulary=64, positions=0, kv_heads=2, gated=True, biases=False)

PIPELINES = {
    "gpipe": Case(pipeline=2, schedule="gpipe"),
    "1f1b": Case(pipeline=2),
    "interleaved": Case(pipeline=2, chunks=2),
    "zero-bubble": Case(pipeline=2, chunks=2, schedule="zero-bubble"),
    "1f1b, full recompute": Case(pipeline=2, recompute="full"),
    "1f1b, adamw": Case(pipeline=2, optimizer="adamw"),
    "interleaved, bf16": Case(pipeline=2, chunks=2, precision="bf16"),
}
"""On two processes, bit for bit."""

OTHERS = {
    "tensor": Case(tensor=2),
    "tensor, scores, selective": Case(tensor=2, flash=False, recompute="selective"),
    "replicas": Case(data=2),
    **{f"zero {stage}": Case(data=2, zero=stage) for stage in (1, 2, 3)},
    "zero 1, adamw": Case(data=2, zero=1, optimizer="adamw"),
    "tensor, adamw": Case(tensor=2, optimizer="adamw"),
    "tied, 1f1b": Case(TIED, pipeline=2),
    "tied, tensor": Case(TIED, tensor=2),
    "tied, zero 3": Case(TIED, data=2, zero=3),
    "llama, tensor": Case(LLAMA, tensor=2),
    "llama, zero 2": Case(LLAMA, data=2, zero=2),
    "llama, interleaved": Case(LLAMA, pipeline=2, chunks=2),
}
"""On two processes, where sums are made in another order."""

FOUR = {
    "tensor x pipeline": Case(tensor=2, pipeline=2),
    "tensor x pipeline, tied": Case(TIED, tensor=2, pipeline=2),
    "tensor x pipeline, interleaved": Case(tensor=2, pipeline=2, chunks=2),
    "replicas x tensor": Case(data=2, tensor=2),
    "replicas x tensor, zero 3": Case(data=2, tensor=2, zero=3, optimizer="adamw"),
    "replicas x pipeline": Case(data=2, pipeline=2),
    "replicas x pipeline, zero 2": Case(data=2, pipeline=2, zero=2, optimizer="adamw"),
    "llama, replicas x pipeline, zero 1": Case(LLAMA, data=2, pipeline=2, zero=1),
}
"""On four processes."""


@dataclass(frozen=True)
class Answer:
    """What a case did.

    Attributes:
        losses: of its steps.
        weights: a digest of the bytes of every parameter after them, where each is whole in one
            process; parameters that are split are not here.
        optimizer_bytes: by process: 32-bit weights and moments, as the planner counts the
            optimizer.
        planned_bytes: by process: what the planner says of its stage.
    """

    losses: list[float]
    weights: dict[str, str]
    optimizer_bytes: list[int]
    planned_bytes: list[float]


def alone(cases: dict[str, Case]) -> dict[str, Answer]:
    """Every case with its layout replaced by one process: this one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with world(distributed.HashStore(), 0, 1):
            kept = {
                name: Case(
                    case.shape, optimizer=case.optimizer, flash=case.flash,
                    precision=case.precision, micro_batch=case.micro_batch * case.data,
                )
                for name, case in cases.items()
            }  # fmt: skip
            return {name: _merged([_train(case)]) for name, case in kept.items()}
    finally:
        torch.set_num_threads(threads)


def together(cases: dict[str, Case], processes: int) -> dict[str, Answer]:
    """Every case in its layout, one after another in the same ``processes`` processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        artifacts.write_json(folder / "cases.json", {n: asdict(c) for n, c in cases.items()})
        launch.start(folder, processes, 0, "another try", lambda _: None, module=__name__)
        found = [artifacts.read_json(folder / f"{rank}.json") for rank in range(processes)]
    return {name: _merged([each[name] for each in found]) for name in cases}


@contextmanager
def world(store: distributed.Store, rank: int, size: int, backend: str = "gloo") -> Iterator[None]:
    """A process group for a while."""
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def ends_of(part: Part) -> tuple[bool, bool]:
    """Whether this process has the first and the last layers."""
    return part.stages[0].embedding is not None, part.stages[-1].output is not None


def _merged(answers: list[dict[str, Any]]) -> Answer:
    weights = {name: digest for each in answers for name, digest in each["weights"].items()}
    return Answer(
        answers[0]["losses"],
        weights,
        [each["optimizer_bytes"] for each in answers],
        [each["planned_bytes"] for each in answers],
    )


def _train(case: Case) -> dict[str, Any]:
    """A few steps on random tokens; what this process saw."""
    plan = case.plan
    part = build(plan, torch.device("cpu"), case.schedule, case.precision)
    optimizer = worker.optimizer_for(
        part, case.optimizer, RATE if case.optimizer == "sgd" else 1e-3
    )
    generator = torch.Generator().manual_seed(0)
    losses = []
    for _ in range(STEPS):
        ids = torch.randint(case.shape.vocabulary, (BATCH, SEQUENCE + 1), generator=generator)
        losses.append(float(part.step(ids)))
        optimizer.step()
        optimizer.zero_grad()
    whole = case.tensor == 1 and not (case.zero and case.data > 1)
    weights = {
        name: hashlib.sha256(parameter.detach().numpy().tobytes()).hexdigest()
        for name, parameter in part.named.items()
        if whole
    }
    moments = [
        to_local(value)
        for state in optimizer.state.values()
        for kind, value in state.items()
        if kind != "step" and value is not None
    ]
    held = [to_local(p) for p in part.named.values()] + moments
    first, last = ends_of(part)
    planned = stage_parameters(case.shape, case.tensor, case.pipeline, first, last)
    share = STATES["adam16"].optimizer / (case.data if case.zero else 1)
    return {
        "losses": losses,
        "weights": weights,
        "optimizer_bytes": sum(t.numel() * t.element_size() for t in held),
        "planned_bytes": float(planned * share),
    }


def main(folder: Path) -> None:
    """Run the cases of ``folder/cases.json`` as one process of several."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    answers = {}
    for name, case in artifacts.read_json(folder / "cases.json").items():
        answers[name] = _train(Case(**{**case, "shape": ModelShape(**case["shape"])}))
    artifacts.write_json(folder / f"{os.environ['RANK']}.json", answers)
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
