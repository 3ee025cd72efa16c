"""``parsimony estimate demand``: one command from a file to scores, forecasts and a page."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from parsimony.cli import main
from parsimony.core import artifacts

QUICK = ("--models", "naive,window-mean")


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["estimate", *map(str, arguments)])
    shown = capsys.readouterr()
    return int(stop.value.code or 0), shown.out, shown.err


@pytest.fixture
def sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    file = tmp_path / "sample.csv"
    code, out, err = call(capsys, "demand-sample", file, "--skills", 30, "--groups", 3)
    assert (code, out) == (0, "")
    assert err == (
        f"90 series of 36 months, 30 skills in 3 regions, written to {file}: 3 skills rare, 12 "
        "with a break\n"
    )
    return file


def test_one_command_loads_checks_forecasts_scores_and_prints(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, "demand", sample)
    assert code == 0 and err.startswith(f"90 series of 36 months in {sample}\nFitting ")
    lines = out.splitlines()
    assert lines[0] == "all:" and lines[1].split()[:4] == ["model", "MAE", "RMSE", "SMAPE"]
    assert {"low-frequency:", "structural-break:", "non-break:"} <= set(lines)
    assert lines[-1].startswith("0 of ") or "SMAPE" in out
    code, out, err = call(capsys, "demand", sample, "--quiet", *QUICK)
    assert code == 0 and err == "" and out.startswith("all:")


def test_out_holds_both_layouts_scores_and_a_page(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    code, told, _ = call(
        capsys, "demand", sample, *QUICK, "--levels", "total,skill_id", "--reconcile", "mint",
        "--out", out, "--json", "--report", tmp_path / "page.html",
    )  # fmt: skip
    found = json.loads(told)
    assert code == 0 and found["chosen"] == "ensemble" and artifacts.is_sealed(out)
    assert artifacts.read_json(out / "result.json") == found
    long = pd.read_csv(out / "forecasts-long.csv")
    wide = pd.read_csv(out / "forecasts-wide.csv")
    assert len(long) == 3 * len(wide) == 3 * (1 + 30 + 90)
    assert wide.iloc[0, 1:].sum() == pytest.approx(wide.iloc[31:, 1:].sum().sum())
    scores = pd.read_csv(out / "summary.csv")
    assert set(scores["model"]) == {"naive", "window-mean", "ensemble"}
    assert "Errors on the test" in (tmp_path / "page.html").read_text()
    code, _, err = call(capsys, "demand", sample, *QUICK, "--out", out)
    assert code == 2 and "a new run needs an empty folder" in err


def test_a_dry_run_says_what_would_be_done(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, "demand", sample, "--dry-run", *QUICK)
    assert code == 0 and out == (
        "Months 27/3/6 to train, validate, test; 19, 1, 4 windows\n"
        "Forecasters: naive, window-mean\n"
    )
    code, out, _ = call(capsys, "demand", sample, "--dry-run", *QUICK, "--json")
    assert json.loads(out)["windows"] == {"train": 19, "validation": 1, "test": 4}


def test_levels_in_other_files_are_checked(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.read_csv(sample, dtype={"region_id": str})
    r0 = frame.drop(columns="region_id").groupby("skill_id", as_index=False).sum()
    r0.to_csv(tmp_path / "r0.csv", index=False)
    level = ("--levels", f"r0={tmp_path / 'r0.csv'}", "--dry-run", *QUICK)
    code, _, err = call(capsys, "demand", sample, *level)
    assert code == 0 and "The level 'r0' of " in err and "is the sum of its parts" in err
    r0.loc[4, "2022-02"] += 3
    r0.to_csv(tmp_path / "r0.csv", index=False)
    code, _, err = call(capsys, "demand", sample, *level)
    assert code == 2
    assert (
        "level 'r0' must be the sum of its parts, but skill_id=s0004 in 2022-02 differs by +3"
        in err
    )


def test_lists_parents_and_a_graph_are_read(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rare.json").write_text("[0, 1]")
    (tmp_path / "graph.csv").write_text("group,first,second\n0,s0000,s0001\n0,s0002,s0002\n")
    code, out, _ = call(
        capsys, "demand", sample, "--models", "graph-ridge", "--graph", tmp_path / "graph.csv",
        "--rare", tmp_path / "rare.json", "--breaks", tmp_path / "rare.json", "--task", "break",
    )  # fmt: skip
    assert code == 0 and "pairs of a skill with itself, dropped: 1" in out
    (tmp_path / "parents.csv").write_text("child,parent\n0/s0000,1/s0000\n")
    code, _, err = call(capsys, "demand", sample, "--parents", tmp_path / "parents.csv")
    assert code == 2 and "must be the sum of its parts, but 1/s0000 in 2021-" in err
    code, _, err = call(capsys, "demand", sample, "--parents", tmp_path / "none.csv")
    assert code == 2 and "the file must exist" in err
    code, _, err = call(capsys, "demand", sample, "--graph", tmp_path / "none.csv")
    assert code == 2 and "the file must exist" in err


def test_rare_series_come_first_under_their_task(
    sample: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, "demand", sample, "--models", "ridge", "--task", "low", "--quiet")
    assert code == 0 and out.startswith("low-frequency:")


def test_a_longer_forecast_is_recursive_if_asked(
    sample: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = ("demand", sample, "--models", "ridge", "--ahead", 5)
    code, _, err = call(capsys, *ask)
    assert code == 2 and "ridge is trained for 3 months, but got 5. Ask for recursive" in err
    code, _, _ = call(capsys, *ask, "--recursive", "--out", tmp_path / "r")
    assert code == 0
    assert len(pd.read_csv(tmp_path / "r/forecasts-wide.csv").columns) == 2 + 5


def test_a_made_up_table_in_the_long_layout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "long.parquet"
    code, out, _ = call(
        capsys, "demand-sample", file, "--skills", 5, "--groups", 2, "--layout", "long", "--json"
    )
    assert code == 0
    assert json.loads(out) == {"series": 10, "months": 36, "rare": 0, "broken": 2}
    assert list(pd.read_parquet(file)) == ["unique_id", "ds", "y"]
    code, _, err = call(capsys, "demand-sample", file, "--layout", "tall")
    assert code == 2 and "the layout must be wide or long, but got 'tall'" in err
    code, _, err = call(capsys, "demand-sample", tmp_path / "a.txt")
    assert code == 2 and "a table is written as .csv or .parquet" in err
