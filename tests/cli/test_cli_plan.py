"""``parsimony plan``: fit, predict, compare-laws, pretrain; what they print, write, refuse."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from parsimony.cli import main
from parsimony.core.fitting import Fit
from parsimony.plan.laws import laws
from parsimony.plan.laws.chinchilla import EPOCH
from parsimony.plan.laws.step_law.rivals import step_batch, step_rate

NAMED = ("--columns", "N=params,D=tokens,loss=loss_val", "--where", "corpus=a")
QUICK = ("--bootstraps", "50")


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["plan", *map(str, arguments)])
    shown = capsys.readouterr()
    return int(stop.value.code or 0), shown.out, shown.err


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    size, tokens = map(np.ravel, np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(1e9, 1e11, 5)))
    loss = EPOCH.loss(size, tokens) * np.exp(np.random.default_rng(0).normal(0, 0.003, 30))
    table = pd.DataFrame({"params": size.astype(int), "tokens": tokens, "loss_val": loss})
    pd.concat([table.assign(corpus="b", loss_val=1.0), table.assign(corpus="a")]).to_csv(
        tmp_path / "runs.csv", index=False
    )
    return tmp_path / "runs.csv"


@pytest.fixture
def fitted(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    file = tmp_path / "fit.json"
    code, _, err = call(
        capsys, "fit", runs, "--law", "chinchilla", *NAMED, *QUICK, "--out", file,
        "--setting", "tokenizer=bytes",
    )  # fmt: skip
    assert code == 0, err
    return file


def test_fit_prints_constants_with_intervals(
    runs: Path, fitted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, "fit", runs, "--law", "chinchilla", *NAMED, *QUICK)
    assert code == 0 and out.startswith("L = E + A / N^alpha + B / D^beta, on 30 runs; 95 % of 50")
    assert "% on the largest N when fitted to the rest" in out
    assert err == (
        "Note: no run column: each row is taken for a run of its own, and points of one training "
        "curve are not\n"
    )
    found = Fit.load(fitted, laws())
    code, out, err = call(
        capsys, "fit", runs, "--law", "chinchilla", *NAMED, *QUICK, "--json", "--quiet"
    )
    told = json.loads(out)
    assert err == "" and told["constants"] == found.constants
    assert told["intervals"]["alpha"]["low"] < told["constants"]["alpha"]
    assert "draws" not in told and found.provenance.tokenizer == "bytes"


def test_predict_writes_a_file_with_intervals(
    fitted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = tmp_path / "ask.csv"
    ask.write_text("N,D\n2e9,4e10\n7000000000,140000000000\n")
    code, out, err = call(capsys, "predict", fitted, ask, "--out", tmp_path / "told.csv")
    assert (code, err) == (0, f"2 rows written to {tmp_path / 'told.csv'}\n")
    assert "times outside the fit" in out
    told = pd.read_csv(tmp_path / "told.csv")
    expected = Fit.load(fitted, laws()).predict(pd.read_csv(ask))
    assert told["value"].to_numpy() == pytest.approx(expected["value"])
    assert told["extrapolation"][1] == pytest.approx(6 * 7e9 * 1.4e11 / (6 * 1e9 * 1e11))
    truth = EPOCH.loss([2e9, 7e9], [4e10, 1.4e11])
    assert ((told["low"] < truth) & (truth < told["high"])).all()
    code, out, _ = call(capsys, "predict", fitted, ask, "--json")
    assert [row["row"] for row in json.loads(out)["predictions"]] == [1, 2]


def test_compare_laws_puts_the_best_first(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "compare-laws", runs, *NAMED, "--bootstraps", 5, "--json")
    told = json.loads(out)["laws"]
    assert code == 0 and [row["law"] for row in told][-1] == "kaplan-size"
    assert {row["law"] for row in told} >= {"chinchilla", "chinchilla-tied", "kaplan-data"}
    assert told[0]["held_out"] < 0.01
    code, out, _ = call(capsys, "compare-laws", runs, *NAMED, "--bootstraps", 5, "--quiet")
    assert code == 0 and out.startswith("Laws of loss on 30 rows: mean relative errors\n")


def test_a_grid_gives_the_nearly_best_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        (n, d, lr, bs, 2.5 + 0.01 * np.log(lr / step_rate(n, d)) ** 2
         + 0.01 * np.log(bs * 1024 / step_batch(d)) ** 2)
        for n in (1e8, 3e8, 9e8) for d in (4e9, 2e10, 1e11)
        for lr in 2.0 ** np.arange(-12, -7) for bs in 2.0 ** np.arange(6, 12)
    ]  # fmt: skip
    grid = tmp_path / "grid.csv"
    pd.DataFrame(rows, columns=["N", "D", "lr", "bs", "loss"]).to_csv(grid, index=False)
    code, out, err = call(
        capsys, "fit", grid, "--law", "step-law-batch", "--grid", 1024, *QUICK, "--json"
    )
    told = json.loads(out)
    assert (code, err) == (0, "") and told["runs"] == 9
    assert told["constants"]["exponent_D"] == pytest.approx(0.571, abs=0.15)
    code, _, err = call(capsys, "fit", grid, "--law", "step-law-batch", "--columns", "B=bs")
    assert code == 2 and "B is in tokens per step, and fewer than 4096 look like sequences" in err


def test_pretrain_says_where_each_figure_is_from(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "pretrain", "--compute", "1e21", "--json")
    told = json.loads(out)
    assert code == 0 and set(told["plan"]) == {
        "params", "tokens", "learning_rate", "batch_tokens", "loss"
    }  # fmt: skip
    for row in told["plan"].values():
        assert row["low"] <= row["value"] <= row["high"] and row["law"]
    params, tokens = told["plan"]["params"]["value"], told["plan"]["tokens"]["value"]
    assert 6 * params * tokens == pytest.approx(1e21)
    code, out, _ = call(capsys, "pretrain", "--params", params, "--tokens", tokens, "--quiet")
    assert code == 0 and f"{told['plan']['learning_rate']['value']:.4g}" in out


def test_pretrain_takes_a_fit_of_ones_own(fitted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = call(capsys, "pretrain", "--compute", "1e21", "--fit", fitted, "--json")
    plan = json.loads(out)["plan"]
    assert code == 0 and plan["params"]["law"] == "chinchilla, your fit"
    assert plan["params"]["low"] < EPOCH.split(1e21).N < plan["params"]["high"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("fit", "{runs}", "--law", "chinchila"), "unknown law 'chinchila'. Did you mean 'chinch"),
        (("fit", "{runs}", "--law", "chinchilla"), "runs.csv: there is no column 'N'. Known: corp"),
        (("fit", "none.csv", "--law", "chinchilla"), "none.csv: the file must exist"),
        (("fit", "{runs}", "--law", "chinchilla", "--columns", "N"),
         "--columns takes pairs such as N=params,D=tokens, but got 'N'"),
        (("fit", "{runs}", "--law", "chinchilla", "--columns", "N=parms"),
         "there is no column 'parms'. Did you mean 'params'?"),
        (("fit", "{runs}", "--law", "chinchilla", "--where", "corpus=c"),
         "column 'corpus': no row has this value, but got 'c'"),
        (("fit", "{runs}", "--law", "chinchilla", *NAMED, "--setting", "tokenize=x"),
         "unknown provenance 'tokenize'. Did you mean 'tokenizer'?"),
        (("fit", "{runs}", "--law", "chinchilla", "--columns", "N=params,D=tokens,loss=params",
          "--where", "corpus=a"), "runs.csv, row 31, column 'loss': a loss is in nats per token"),
        (("predict", "{runs}", "{runs}"), "runs.csv must be JSON"),
        (("predict", "{fit}", "{runs}", *NAMED, "--setting", "tokenizer=gpt2"),
         "tokenizer is 'bytes' in one and 'gpt2' in the other"),
        (("predict", "{fit}", "{far}"), "far.csv, row 1: outside the domain of 'chinchilla'"),
        (("compare-laws", "{runs}"), "no law of 'loss' has its columns here. average-parameters n"),
        (("compare-laws", "{runs}", "--target", "x"), "no law of 'x' has its columns here. Target"),
        (("pretrain",), "give --compute, or --params and --tokens, but got"),
        (("pretrain", "--compute", "1e21", "--tokens", "1e9"), "give --compute, or --params and"),
        (("pretrain", "--compute", "-1"), "compute, params and tokens must be positive and finite"),
        (("pretrain", "--compute", "1e20", "--devices", "2"), "--devices are those of --hardware"),
        (("pretrain", "--compute", "1e20", "--hardware", "h20"), "h200"),
        (("pretrain", "--compute", "1e20", "--schedule", "powr"), "Did you mean 'power'?"),
        (("pretrain", "--compute", "1e27"), "the plan, row 1: outside the domain of 'chinchilla'"),
    ],
)  # fmt: skip
def test_what_is_refused(
    runs: Path,
    fitted: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    text: str,
) -> None:
    (tmp_path / "far.csv").write_text("N,D\n1e13,1e13\n")
    given = [a.format(runs=runs, fit=fitted, far=tmp_path / "far.csv") for a in arguments]
    code, out, err = call(capsys, *given)
    assert (code, out) == (2, "") and text in err


def test_what_the_plan_says_beside_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, err = call(capsys, "pretrain", "--compute", "1e24")
    assert "learning_rate" not in out
    assert "no learning rate and no batch size: the Step Law is asked outside its domain" in err
    assert "times outside the runs" in err
    _, _, err = call(capsys, "pretrain", "--compute", "1e21", "--schedule", "wsd")
    assert "with 'wsd' the sign of the exponent of D may change" in err


@pytest.mark.parametrize(
    ("schedule", "first", "last"),
    [
        # Half a cosine at a tenth of the way; the published power law at 2e9 and its decay's end.
        ("cosine-fraction", lambda peak: peak * (0.1 + 0.9 * (1 + np.cos(np.pi / 10)) / 2), 0.1),
        ("wsd", lambda peak: peak, 0.0),
        ("constant", lambda peak: peak, 1.0),
    ],
)
def test_pretrain_draws_the_course_of_its_rate(
    schedule: str, first: object, last: float, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("pretrain", "--params", 1e9, "--tokens", 2e10, "--schedule", schedule, "--json")
    code, out, _ = call(capsys, *arguments)
    found = json.loads(out)
    peak = found["plan"]["learning_rate"]["value"]
    rates = [point["learning_rate"] for point in found["curve"]]
    assert code == 0
    assert rates[0] == pytest.approx(first(peak))  # type: ignore[operator]
    assert rates[-1] == pytest.approx(last * peak, abs=1e-12)


def test_pretrain_by_the_power_law(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--params", 1e9, "--tokens", 2e10, "--schedule", "power", "--json")
    _, out, _ = call(capsys, "pretrain", *arguments)
    found = json.loads(out)
    batch = round(found["plan"]["batch_tokens"]["value"])
    expected = [min(0.02, batch * 4.6 / 4096 * (2e9 * i) ** -0.51) for i in range(1, 10)]
    assert [p["learning_rate"] for p in found["curve"]][:-1] == pytest.approx(expected)
    assert found["plan"]["learning_rate"]["low"] is None
    code, out, _ = call(capsys, "pretrain", "--params", 1e9, "--tokens", 2e10, "--hardware", "h200")
    assert code == 0
    assert "memory_bytes" in out
    assert "Along the run" in out
