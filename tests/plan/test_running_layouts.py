"""Layouts on two and four processes train as one process does."""

from __future__ import annotations

import pytest

from parsimony.plan.running import equivalence
from parsimony.plan.running.equivalence import FOUR, OTHERS, PIPELINES, Answer

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
