"""``--report`` of the plan commands: one page that shows what the command found."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from parsimony.cli import main
from parsimony.core import ledger
from parsimony.core.footprint import Figure, Footprint
from parsimony.plan.laws.chinchilla import EPOCH
from parsimony.plan.laws.step_law.rivals import step_batch, step_rate


@pytest.fixture(autouse=True)
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables of runs, a grid of rates, and graded runs, in the current folder."""
    monkeypatch.chdir(tmp_path)
    size, tokens = map(np.ravel, np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(1e9, 1e11, 5)))
    loss = EPOCH.loss(size, tokens) * np.exp(np.random.default_rng(0).normal(0, 0.003, 30))
    pd.DataFrame({"N": size, "D": tokens, "loss": loss}).to_csv("runs.csv", index=False)
    rows = [
        (n, d, lr, bs, 2.5 + 0.01 * np.log(lr / step_rate(n, d)) ** 2
         + 0.01 * np.log(bs * 1024 / step_batch(d)) ** 2)
        for n in (1e8, 3e8, 9e8) for d in (4e9, 2e10, 1e11)
        for lr in 2.0 ** np.arange(-12, -7) for bs in 2.0 ** np.arange(6, 12)
    ]  # fmt: skip
    pd.DataFrame(rows, columns=["N", "D", "lr", "bs", "loss"]).to_csv("grid.csv", index=False)
    for run in range(12):
        before = Footprint(seconds=Figure(100.0 + run, "estimated"))
        after = Footprint(seconds=Figure(120.0 + 2 * run, "measured"))
        entries = ledger.compare("lora r=8", before, after, verb="adapt", method="lora")
        ledger.write(Path(f"graded/{run}"), entries)


def report(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[dict, str]:
    """What ``--json`` prints, and the text of the page that was written beside it."""
    with pytest.raises(SystemExit) as stop:
        main(["plan", *map(str, words), "--json", "--report", "page.html"])
    out, err = capsys.readouterr()
    assert not stop.value.code, err
    assert "The report is written to page.html" in err
    text = Path("page.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert re.findall(r"https?:|@import|url\((?!#)", text) == []
    text = re.sub(r"<(script|style)>.*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL)
    return json.loads(out), " ".join(html.unescape(text).split())


def test_fit(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("fit", "runs.csv", "--law", "chinchilla", "--bootstraps", 20)
    found, page = report(capsys, *words)
    assert "L = E + A / N^alpha + B / D^beta, fitted to 30 runs of runs.csv" in page
    assert f"within {100 * found['held_out']:.3g}% when it has not seen them" in page
    assert f"alpha {found['constants']['alpha']:.4g}" in page
    for title in ("Predicted against observed.", "Residuals.", "loss over N at D = 10B.",
                  "law, with its 95 % band", "largest N, not fitted to"):  # fmt: skip
        assert title in page


def test_fit_of_a_grid_shows_the_surface_of_its_cells(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("fit", "grid.csv", "--law", "step-law-batch", "--grid", 1024, "--bootstraps", 20)
    _, page = report(capsys, *words)
    assert "Cells of the grid" in page and "within 0.25% of the least loss" in page


def test_compare_laws(capsys: pytest.CaptureFixture[str]) -> None:
    found, page = report(capsys, "compare-laws", "runs.csv", "--bootstraps", 5)
    best = found["laws"][0]
    assert best["low"] < best["held_out"] < best["high"]
    assert f"{best['law']} predicts the loss of the largest size best" in page
    assert all(law["law"] in page for law in found["laws"])
    assert "The largest size, fitted to the rest." in page


def test_pretrain(capsys: pytest.CaptureFixture[str]) -> None:
    found, page = report(capsys, "pretrain", "--compute", "1e21")
    loss = found["plan"]["loss"]
    assert f"reach a loss of {loss['value']:.3f} ({loss['low']:.3f} to {loss['high']:.3f})" in page
    for title in ("Loss of a run that ends there.", "Learning rate after warm-up.",
                  "Where the optimum lies.", "95% confidence"):  # fmt: skip
        assert title in page


def test_pretrain_without_a_known_rate(capsys: pytest.CaptureFixture[str]) -> None:
    _, page = report(capsys, "pretrain", "--compute", "1e24")
    assert "Loss of a run that ends there." in page
    assert "Learning rate after warm-up." not in page and "Where the optimum lies." not in page
    assert "no learning rate and no batch size" in page


def test_sparse(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("sparse", "--sparsity", 0.8, "--compute", "1e21", "--sweep")
    found, page = report(capsys, *words)
    assert f"a loss of {found['plan']['loss']['value']:.3f}" in page
    for title in ("Density of the prunable weights.", "Active parameters.", "sparsity 20%",
                  "first and last pruning"):  # fmt: skip
        assert title in page


def test_cluster(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("cluster", "gpt-22b", "frontier", "--devices", 64, "--top", 3)
    found, page = report(capsys, *words)
    best = found["layouts"][0]
    assert f"Tensor {best['tensor']}, pipeline {best['pipeline']}, data {best['data']} tr" in page
    assert f"{found['fit']:,} of {found['tried']:,} layouts fit" in page
    for title in ("does not fit", "fastest that fits", "first stage", "last stage", "activations",
                  "Time of a step against memory.", "what training can have"):  # fmt: skip
        assert title in page


def test_ledger(capsys: pytest.CaptureFixture[str]) -> None:
    found, page = report(capsys, "ledger", "graded")
    assert "12 graded predictions; the median error is largest for seconds" in page
    assert "measured, with the interval it should lie in" in page
    (row,) = found["quantities"]
    assert f"{100 * row['median_absolute_error']:.3g}%" in page


def test_a_report_is_a_page_or_nothing_is_computed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["plan", "fit", "none.csv", "--law", "chinchilla", "--report", "runs.csv"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "parsimony: the report is a file that ends in .html, but got 'runs.csv'\n"
    )
