"""``parsimony estimate survival``: what it prints, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from lifelines import datasets

from parsimony.cli import main

WALTONS = datasets.load_waltons()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """The mice and flies as CSV."""
    path = tmp_path / "waltons.csv"
    WALTONS.to_csv(path, index=False)
    return path


def run(*arguments: object) -> int:
    """The exit code of ``parsimony estimate survival``."""
    with pytest.raises(SystemExit) as done:
        main(["estimate", "survival", *map(str, arguments)])
    return int(done.value.code or 0)


def test_json_has_the_fit(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    formulas = ("--formula", "lambda ~ group", "--formula", "gamma ~ group")
    assert run(table, "--time", "T", "--event", "E", "--structure", "ph", *formulas, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["model"] == "M(beta, alpha)" and told["rows"] == 163
    assert told["log_likelihood"] == pytest.approx(-591.7304, abs=1e-4)
    assert [c["term"] for c in told["coefficients"]].count("group[T.miR-137]") == 2
    assert told["cured"]["estimate"] == 0


def test_the_printed_fit_the_file_and_the_page(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, out = tmp_path / "fit.html", tmp_path / "fit.json"
    given = ("--family", "auto", "--formula", "phi ~ group", "--report", page, "--out", out)
    assert run(table, "--time", "T", "--event", "E", *given) == 0
    told = capsys.readouterr()
    assert "Families, the chosen first" in told.out and "log-likelihood" in told.out
    assert f"The report is written to {page}" in told.err
    html = page.read_text(encoding="utf-8")
    for text in ("Kaplan-Meier, group = control", "Cox-Snell residuals", "Families compared"):
        assert text in html
    assert json.loads(out.read_text(encoding="utf-8"))["selection"][0]["family"]


def test_entries_intervals_values_and_empty_cells(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoilt = WALTONS.assign(start=WALTONS["T"] / 4, end=WALTONS["T"] + 5).astype(object)
    spoilt.loc[2, "T"] = None
    path = tmp_path / "spoilt.csv"
    spoilt.to_csv(path, index=False)
    weibull = ("--family", "weibull", "--formula", "gamma=1", "--drop-missing", "--json")
    assert run(path, "--time", "T", "--event", "E", "--entry", "start", *weibull) == 0
    told = capsys.readouterr()
    assert "Left out: 1 of 163 rows with an empty cell" in told.err
    assert json.loads(told.out)["parameters"]["gamma"]["estimate"] == 1
    assert run(path, "--time", "T", "--upper", "end", *weibull) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 162


@pytest.mark.parametrize(
    ("change", "arguments", "text"),
    [
        ({"T": 0}, (), "row 1, column 'T': times must be positive"),
        ({"E": WALTONS["E"] + 1}, (), "column 'E': an event is coded 1 or 0 (or true, false)"),
        (
            {"group": None},
            ("--formula", "phi ~ group"),
            "row 1, column 'group': a covariate is missi",
        ),
        ({}, ("--formula", "group"), "--formula takes 'gamma ~ age + C(sex)' or 'lambda=1'"),
        ({}, ("--formula", "phi ~ 1", "--formula", "phi=1"), "a parameter has one --formula"),
        ({}, ("--formula", "phi ~ sex"), "names a column that is not there, but got 'sex'"),
        ({}, ("--family", "weibul"), "unknown family 'weibul'. Did you mean 'weibull'?"),
        ({}, ("--upper", "E"), "times need --event, or --upper for intervals; one of the two"),
    ],
)
def test_bad_input_is_one_line(
    change: dict[str, object], arguments: tuple[str, ...], text: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    path = tmp_path / "bad.csv"
    pd.DataFrame(WALTONS.assign(**change)).to_csv(path, index=False)
    assert run(path, "--time", "T", "--event", "E", *arguments) == 2
    told = capsys.readouterr()
    assert text in told.err and len(told.err.strip().splitlines()) == 1 and not told.out


def test_rows_left_out_keep_their_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoilt = WALTONS.astype(object)
    spoilt.loc[2, "T"], spoilt.loc[5, "T"] = None, 0
    path = tmp_path / "spoilt.csv"
    spoilt.to_csv(path, index=False)
    assert run(path, "--time", "T", "--event", "E", "--drop-missing") == 2
    assert "row 6, column 'T': times must be positive" in capsys.readouterr().err
