"""Layouts on two and four processes train as one process does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from parsimony.plan.cluster.model_shape import ModelShape
from parsimony.plan.running import equivalence
from parsimony.plan.running.equivalence import GPT, Answer, Case

pytestmark = pytest.mark.xdist_group("running-layouts")  # one start of processes for all tests

TIED = replace(GPT, tied=True)
LLAMA = ModelShape(4, 32, 4, vocabulary=64, positions=0, kv_heads=2, gated=True, biases=False)

PIPELINES = {
    "gpipe": Case(pipeline=2, schedule="gpipe"),
    "1f1b": Case(pipeline=2),
    "interleaved": Case(pipeline=2, chunks=2),
    "zero-bubble": Case(pipeline=2, chunks=2, schedule="zero-bubble"),
    "1f1b, full recompute": Case(pipeline=2, recompute="full"),
    "1f1b, adamw": Case(pipeline=2, optimizer="adamw"),
}
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
ALL = {**PIPELINES, **OTHERS, **FOUR}


@pytest.fixture(scope="module")
def answers() -> dict[str, Answer]:
    return {
        **equivalence.together({**PIPELINES, **OTHERS}, 2),
        **equivalence.together(FOUR, 4),
    }


@pytest.fixture(scope="module")
def expected() -> dict[str, Answer]:
    return equivalence.alone(ALL)


@pytest.mark.parametrize("name", PIPELINES)
def test_pipelines_are_bit_identical(
    answers: dict[str, Answer], expected: dict[str, Answer], name: str
) -> None:
    assert answers[name].losses == expected[name].losses
    assert answers[name].weights == expected[name].weights
    assert len(set(answers[name].weights.values())) > 20


@pytest.mark.parametrize("name", [*OTHERS, *FOUR])
def test_other_layouts_have_the_losses_of_one_process(
    answers: dict[str, Answer], expected: dict[str, Answer], name: str
) -> None:
    assert answers[name].losses == pytest.approx(expected[name].losses, abs=1e-6)
    assert len(set(expected[name].losses)) == equivalence.STEPS


@pytest.mark.parametrize("name", [name for name in ALL if ALL[name].optimizer == "adamw"])
def test_the_planner_knows_what_the_optimizer_holds(answers: dict[str, Answer], name: str) -> None:
    assert answers[name].optimizer_bytes == answers[name].planned_bytes
