"""A claim whose table is not on this machine is not run, and says nothing on the paper."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from parsimony.cli import main
from parsimony.papers import card
from parsimony.papers.cards import step_law
from parsimony.papers.record import execute
from parsimony.papers.tables import FOLDER, MissingTableError, published


def test_a_table_is_read_from_the_folder_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.csv").write_text("N\n1\n")
    monkeypatch.setenv(FOLDER, str(tmp_path))
    assert published("a.csv", "some/where")["N"].tolist() == [1]
    text = (
        r"this claim needs the table b\.csv, from some/where, data\. "
        r"Set PARSIMONY_DATA to the folder that holds it"
    )
    with pytest.raises(MissingTableError, match=text):
        published("b.csv", "some/where, data")
    monkeypatch.delenv(FOLDER)
    with pytest.raises(MissingTableError):
        published("a.csv", "some/where")


def test_claims_without_their_table_are_named_and_not_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path))
    for remembered in vars(step_law).values():  # other tests may have read the tables
        if hasattr(remembered, "cache_clear"):
            remembered.cache_clear()
    (claim,) = [c for c in card("step-law").claims if c.name == "kept-rows"]
    with pytest.raises(MissingTableError):
        execute(card("step-law"), claim, "a test")
    with pytest.raises(SystemExit) as stop:
        main(["papers", "reproduce", "step-law", "--json"])
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert stop.value.code in (0, None) and told["state"] == "green"
    names = {c["name"] for c in told["claims"]}
    assert "lr-7b" in names and "kept-rows" not in names
    assert "Not run: " in shown.err and "needs the table steplaw_dense_shared.csv" in shown.err
