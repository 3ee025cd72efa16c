"""The choice follows from validation alone: the cheapest of those not told apart from the best."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsimony.adapt.choice import (
    Finalist,
    baseline_sentence,
    choose,
    sentence,
    shipped_seed,
    written,
)
from parsimony.core.scoring import METRICS
from parsimony.core.trials import Interval, paired

ACCURACY = METRICS["text-classification"]
ERROR = METRICS["regression"]
SHAPE = (3, 40)
TOTAL = 1_000_000


def level(value: float) -> np.ndarray:
    """The same score on every seed and row: intervals have no width."""
    return np.full(SHAPE, value)


def noisy(seed: int) -> np.ndarray:
    """Half of the answers right, other ones for every seed: differences span zero."""
    return np.random.default_rng(seed).integers(0, 2, SHAPE).astype(float)


def finalist(
    label: str,
    validation: np.ndarray,
    trainable: int,
    test: np.ndarray | None = None,
    stored: int = 400,
    baseline: bool = False,
) -> Finalist:
    return Finalist(
        label, validation, validation if test is None else test, trainable, stored, baseline
    )


def test_a_clear_winner_is_recommended_whatever_it_costs() -> None:
    found = [finalist("probe", level(0.5), 100, baseline=True), finalist("lora", level(0.75), 2000)]
    choice = choose(found, ACCURACY)
    assert (choice.best, choice.recommended, choice.tied) == (1, 1, (1,))
    assert [v.verdict for v in choice.verdicts] == ["worse", "recommended"]
    gap = choice.verdicts[0].to_best
    assert gap is not None
    assert [gap.estimate, gap.low, gap.high] == pytest.approx([-0.25] * 3)
    assert choice.verdicts[1].to_best is None and choice.verdicts[1].test_to_best is None
    assert sentence(choice, found, ACCURACY, TOTAL) == (
        "Use lora: it beats every other finalist, with 2,000 trainable parameters "
        "(0.2 % of the model). Test accuracy 75.0 % (75.0 to 75.0)."
    )
    text, beaten = baseline_sentence(choice, found, ACCURACY, 0)
    assert text == (
        "It beats the probe: 75.0 % against 50.0 %, difference +25.0 points (+25.0 to +25.0)."
    )
    assert [beaten.estimate, beaten.low, beaten.high] == pytest.approx([0.25] * 3)


def test_of_those_not_told_apart_the_cheapest_is_recommended() -> None:
    found = [
        finalist("lora r=8", noisy(0), 5000),
        finalist("bias", noisy(1), 700),
        finalist("vera", noisy(2), 900),
        finalist("bad", level(0.0), 10),
    ]
    choice = choose(found, ACCURACY)
    assert choice.tied == (0, 1, 2)
    assert choice.recommended == 1
    verdicts = [v.verdict for v in choice.verdicts]
    assert verdicts == ["no difference", "recommended", "no difference", "worse"]
    score = written(choice.verdicts[1].test, ACCURACY)
    assert sentence(choice, found, ACCURACY, TOTAL) == (
        "Use bias: no difference found between it and lora r=8 and vera, and it is the cheapest "
        f"with 700 trainable parameters (0.07 % of the model). Test accuracy {score}."
    )


def test_a_tied_baseline_is_recommended_and_says_so() -> None:
    found = [finalist("lora", noisy(3), 5000), finalist("probe", noisy(4), 99, baseline=True)]
    choice = choose(found, ACCURACY)
    assert choice.recommended == 1
    text, gap = baseline_sentence(choice, found, ACCURACY, 1)
    assert text == "The recommendation is the baseline itself (probe)."
    assert gap == Interval(0, 0, 0)


def test_equal_costs_go_to_the_smaller_file_then_to_the_earlier() -> None:
    a, b = finalist("a", noisy(0), 50, stored=800), finalist("b", noisy(1), 50, stored=400)
    assert choose([a, b], ACCURACY).recommended == 1
    assert choose([a, replace(b, stored_bytes=800)], ACCURACY).recommended == 0


def test_lower_is_better_for_an_error() -> None:
    found = [finalist("probe", level(2.0), 10, baseline=True), finalist("lora", level(0.5), 20)]
    choice = choose(found, ERROR)
    assert (choice.best, choice.recommended) == (1, 1)
    assert sentence(choice, found, ERROR, TOTAL).endswith(
        "Test mean squared error 0.5 (0.5 to 0.5)."
    )
    text, _ = baseline_sentence(choice, found, ERROR, 0)
    assert text == "It beats the probe: 0.5 against 2, difference -1.5 (-1.5 to -1.5)."


def test_a_single_finalist() -> None:
    found = [finalist("ia3", noisy(0), 1234)]
    choice = choose(found, ACCURACY)
    assert (choice.best, choice.recommended, choice.tied) == (0, 0, (0,))
    assert sentence(choice, found, ACCURACY, 123_400).startswith(
        "Use ia3, the only candidate, with 1,234 trainable parameters (1 % of the model). Test"
    )


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        (level(0.25), "It is worse than the probe: 25.0 % against 50.0 %, difference -25.0 points"),
        (level(0.5), "It does not beat the probe by more than the interval: 50.0 % against 50.0 %"),
    ],
)
def test_the_baseline_is_judged_on_test_data_the_choice_has_not_seen(
    test: np.ndarray, expected: str
) -> None:
    found = [
        finalist("probe", level(0.5), 100, baseline=True),
        finalist("lora", level(0.75), 2000, test=test),
    ]
    choice = choose(found, ACCURACY)
    assert choice.recommended == 1
    assert baseline_sentence(choice, found, ACCURACY, 0)[0].startswith(expected)


def test_the_shipped_seed_is_the_best_on_validation_and_the_first_of_ties() -> None:
    rows = np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    test = np.array([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
    found = finalist("lora", rows, 1, test=test)
    assert shipped_seed(found, ACCURACY) == 1
    assert shipped_seed(found, ERROR) == 0


def test_numbers_are_written_in_their_unit() -> None:
    interval = Interval(0.721, 0.7, 0.741)
    assert written(interval, ACCURACY) == "72.1 % (70.0 to 74.1)"
    assert written(interval, ACCURACY, signed=True) == "+72.1 points (+70.0 to +74.1)"
    assert written(Interval(-1.5, -2, 0.25), ERROR, signed=True) == "-1.5 (-2 to +0.25)"


_matrices = st.lists(
    st.tuples(
        st.lists(st.lists(st.integers(0, 1), min_size=6, max_size=6), min_size=3, max_size=3),
        st.integers(1, 5),
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=40)
@given(_matrices, st.booleans(), st.randoms(use_true_random=False))
def test_recommended_is_tied_and_no_tied_one_is_cheaper(
    drawn: list[tuple[list[list[int]], int]], higher: bool, random: object
) -> None:
    metric = ACCURACY if higher else ERROR
    found = [
        finalist(str(i), np.array(rows, dtype=float), trainable)
        for i, (rows, trainable) in enumerate(drawn)
    ]
    choice = choose(found, metric)
    assert {choice.best, choice.recommended} <= set(choice.tied)
    assert found[choice.recommended].trainable == min(found[i].trainable for i in choice.tied)
    means = [metric.sign * f.validation.mean() for f in found]
    assert means[choice.best] == max(means)
    for i, one in enumerate(found):
        gap = paired(one.validation, found[choice.best].validation)
        assert (i in choice.tied) == gap.spans_zero
        assert (choice.verdicts[i].verdict == "worse") == (i not in choice.tied)
    # Test scores of any kind leave the decision alone.
    mixed = [replace(f, test=1 - f.test[::-1]) for f in found]
    again = choose(mixed, metric)
    assert (again.best, again.recommended, again.tied) == (
        choice.best, choice.recommended, choice.tied
    )  # fmt: skip
    assert [v.verdict for v in again.verdicts] == [v.verdict for v in choice.verdicts]
