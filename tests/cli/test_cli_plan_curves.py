"""``parsimony plan curves``: made-up curves give back the constants that made them."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from parsimony.cli import main
from parsimony.plan.laws.kaplan.curves import KAPLAN

SIZES = np.array([1e6, 1e7, 6e7])


@pytest.fixture
def curves(tmp_path: Path) -> Path:
    """Without noise: one size at four batch sizes, two at one."""
    rows, steps = [], np.geomspace(300, 1e5, 40)
    for size in SIZES:
        for batch in (2**15, 2**17, 2**19, 2**21) if size == 1e7 else (2**19,):
            loss = KAPLAN.loss(size, steps, batch)
            rows.append(pd.DataFrame({"run": f"{size:g} {batch}", "N": size, "B": batch,
                                      "S": steps, "loss": loss}))  # fmt: skip
    pd.concat(rows).to_csv(tmp_path / "curves.csv", index=False)
    ends = pd.DataFrame({"N": SIZES, "loss": KAPLAN.converged(SIZES)})
    ends.to_csv(tmp_path / "ends.csv", index=False)
    pd.DataFrame({"N": [2e8], "S": [1e5], "B": [2**20]}).to_csv(tmp_path / "at.csv", index=False)
    return tmp_path / "curves.csv"


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["plan", "curves", *map(str, arguments)])
    shown = capsys.readouterr()
    return int(stop.value.code or 0), shown.out, shown.err


def test_the_constants_come_back(curves: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = curves.parent
    arguments = (curves, "--warm-up", 0, "--converged", folder / "ends.csv", "--bootstraps", 3)
    code, out, err = call(
        capsys, *arguments, "--at", folder / "at.csv", "--out", folder / "told.csv", "--json"
    )
    assert (code, err) == (0, f"1 rows written to {folder / 'told.csv'}\n")
    found = json.loads(out)
    for name in ("alpha_N", "alpha_S", "alpha_B"):
        assert found["constants"][name]["value"] == pytest.approx(asdict(KAPLAN)[name], rel=0.02)
    told = pd.read_csv(folder / "told.csv")
    truth = float(KAPLAN.loss(2e8, 1e5, 2**20))
    assert told.loc[0, "value"] == pytest.approx(truth, rel=2e-3)
    assert found["losses"][0]["value"] == told.loc[0, "value"]
    code, out, _ = call(
        capsys, *arguments, "--at", folder / "at.csv", "--report", folder / "a.html"
    )
    page = (folder / "a.html").read_text(encoding="utf-8")
    assert "Critical batch size over the loss" in page
    assert "Of N parameters after S steps of B tokens." in page
    assert code == 0
    assert "B_star" in out
    assert "95 % of 3 resamples" in out


def test_what_is_refused(curves: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = curves.parent
    (folder / "bad.csv").write_text("N,S,B\n1e8,-1,5e5\n")
    for arguments, text in (
        (("--warm-up", 1e9), "no point is after the warm-up"),
        (("--warm-up", 0, "--out", "x.csv"), "--out writes the losses of --at, which is missing"),
        (("--warm-up", 0, "--at", folder / "bad.csv"), "bad.csv"),
        (("--warm-up", 0, "--columns", "loss=losses"), "losses"),
    ):
        code, out, err = call(capsys, curves, *arguments)
        assert (code, out) == (2, "")
        assert text in err
        assert err.count("\n") == 1
