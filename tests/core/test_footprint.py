"""Figures know where they come from; unknown is not 0."""

from __future__ import annotations

import pytest

from parsimony.core.errors import InputError
from parsimony.core.footprint import Figure, Footprint


def test_an_unknown_figure_needs_a_reason() -> None:
    with pytest.raises(InputError, match="an unknown figure needs its reason"):
        Figure(None)
    figure = Figure.unknown("no counter")
    assert not figure.known and figure.value is None and figure.note == "no counter"


def test_a_known_figure_needs_its_provenance() -> None:
    with pytest.raises(InputError, match="a known figure needs its provenance"):
        Figure(3.0)
    assert Figure(0.0, "measured").known


def test_a_footprint_survives_storage() -> None:
    footprint = Footprint(flops=Figure(6.0, "computed", "rule"), energy=Figure.unknown("no meter"))
    assert Footprint.from_dict(footprint.as_dict()) == footprint
    assert footprint.as_dict()["seconds"] == {
        "value": None, "provenance": None, "note": "not asked for"
    }  # fmt: skip


def test_an_unknown_cost_is_refused() -> None:
    with pytest.raises(TypeError, match="money"):
        Footprint.from_dict({"money": {"value": 1.0, "provenance": "measured", "note": ""}})
