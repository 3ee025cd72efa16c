"""One rule judges every claim; a malformed claim says what is wrong with it."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsimony.core.errors import InputError
from parsimony.papers import Claim, Measurement, claim
from parsimony.papers.claim import judge

FIELDS = {
    "name": "some-claim",
    "statement": "It is three.",
    "published": 3,
    "source": "paper",
    "unit": "things",
    "direction": "equal",
    "level": "exact",
}


def make(**changes: object) -> Claim:
    return Claim(**{**FIELDS, "run": lambda: Measurement(3), **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("direction", "tolerance", "value", "passes"),
    [
        ("equal", 0, 3, True),
        ("equal", 0, 4, False),
        ("equal", 0, 3 + 1e-9, False),
        ("equal", 0.5, 3.5, True),
        ("equal", 0.5, 2.5, True),
        ("equal", 0.5, 3.51, False),
        ("equal", 0.5, 2.49, False),
        ("at least", 0, 3, True),
        ("at least", 0, 99, True),
        ("at least", 0, 2.99, False),
        ("at least", 0.5, 2.5, True),
        ("at least", 0.5, 2.4, False),
        ("at most", 0, 3, True),
        ("at most", 0, -99, True),
        ("at most", 0, 3.01, False),
        ("at most", 0.5, 3.5, True),
        ("at most", 0.5, 3.6, False),
        ("equal", 1e300, math.nan, False),
        ("at least", 0, math.nan, False),
        ("at most", 0, math.nan, False),
        ("at least", 0, math.inf, False),
        ("at most", 0, -math.inf, False),
    ],
)
def test_direction_and_tolerance(
    direction: str, tolerance: float, value: float, passes: bool
) -> None:
    assert judge(make(direction=direction, tolerance=tolerance), Measurement(value)) is passes


@given(value=st.floats(-1e6, 1e6), published=st.floats(-1e6, 1e6), tolerance=st.floats(0, 1e3))
def test_equal_is_both_directions_at_once(value: float, published: float, tolerance: float) -> None:
    verdict = {
        direction: judge(
            make(direction=direction, published=published, tolerance=tolerance), Measurement(value)
        )
        for direction in ("equal", "at least", "at most")
    }
    assert verdict["equal"] == (verdict["at least"] and verdict["at most"])
    assert verdict["at least"] or verdict["at most"]


@given(value=st.floats(-1e6, 1e6), low=st.floats(-1e6, 0), high=st.floats(0, 1e6))
def test_the_interval_does_not_widen_the_tolerance(value: float, low: float, high: float) -> None:
    bare, with_interval = Measurement(value), Measurement(value, (value + low, value + high))
    assert judge(make(), bare) is judge(make(), with_interval)


@pytest.mark.parametrize(("holds", "passes"), [(True, True), (False, False), (None, False)])
def test_without_a_published_figure_the_measurement_decides(
    holds: bool | None, passes: bool
) -> None:
    promise = make(published=None, published_text="no difference was found")
    assert judge(promise, Measurement(0.1, (-1, 1), holds=holds)) is passes


def test_numpys_scalars_become_pythons() -> None:
    found = Measurement(np.float64(1.5), (np.float32(1), np.int64(2)), holds=np.bool_(True))
    assert json.dumps(dataclasses.asdict(found)) == (
        '{"value": 1.5, "interval": [1.0, 2], "note": "", "holds": true}'
    )
    assert judge(make(published=None, published_text="it grows"), found)
    passed = judge(make(tolerance=2), Measurement(np.float64(3)))
    assert passed is True


def test_a_published_figure_is_not_overruled_by_holds() -> None:
    assert not judge(make(), Measurement(4, holds=True))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": "Bad Name"}, "must be lower-case words joined by hyphens, but got 'Bad Name'"),
        ({"statement": " "}, "claim 'some-claim' needs a statement"),
        ({"unit": ""}, "claim 'some-claim' needs a unit"),
        ({"source": "papre"}, "unknown source, but got 'papre'. Did you mean 'paper'?"),
        (
            {"direction": "at leat"},
            "unknown direction, but got 'at leat'. Did you mean 'at least'?",
        ),
        ({"level": "gpus"}, "unknown level, but got 'gpus'. Did you mean 'gpu'?"),
        ({"tolerance": -1}, "needs a finite tolerance of at least 0, but got -1"),
        ({"tolerance": math.nan}, "needs a finite tolerance of at least 0, but got nan"),
        ({"published": math.inf}, "needs a finite published figure, but got inf"),
        ({"published": None}, "needs a published figure, or the promise in words"),
    ],
)
def test_a_malformed_claim_names_the_rule_and_the_value(
    changes: dict[str, object], text: str
) -> None:
    with pytest.raises(InputError) as caught:
        make(**changes)
    assert text in str(caught.value)


def test_the_decorator_keeps_every_field_and_the_function() -> None:
    @claim(**FIELDS, tolerance=0.5, published_text="three")  # type: ignore[arg-type]
    def three() -> Measurement:
        return Measurement(3, note="counted")

    assert isinstance(three, Claim)
    assert (three.name, three.published, three.tolerance) == ("some-claim", 3, 0.5)
    assert three.published_text == "three"
    assert three.run() == Measurement(3, note="counted")
