"""``parsimony adapt intrinsic`` on a tiny model: what it prints, writes and refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from parsimony.adapt.intrinsic_dimension import intrinsic_dimension
from parsimony.cli import main
from parsimony.core import pretrained
from parsimony.testing import tiny

WORDS = {"bug": "crash fails broken error", "wish": "please add support would"}


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(model folder, table)."""
    folder = tmp_path_factory.mktemp("intrinsic")
    rows = [
        {"note": f"{word} {number}", "kind": kind, "weight": float(len(word) + number % 3)}
        for kind, words in WORDS.items()
        for word in words.split()
        for number in range(10)
    ]
    pd.DataFrame(rows).to_csv(folder / "notes.csv", index=False)
    return tiny.write(folder / "model"), folder / "notes.csv"


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["adapt", "intrinsic", *map(str, arguments)])
    shown = capsys.readouterr()
    return int(stop.value.code or 0), shown.out, shown.err


def test_it_measures_and_says_what_with(
    case: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(
        capsys, *case, "--text", "note", "--label", "kind", "--learning-rate", 0.1,
        "--direct-learning-rate", 0.01, "--epochs", 4, "--batch", 8, "--start", 4,
        "--precision", 3, "--out", tmp_path / "curve.csv", "--json",
    )  # fmt: skip
    assert code == 0, err
    found, curve = json.loads(out), pd.read_csv(tmp_path / "curve.csv")
    model, _ = case
    config = pretrained.config(pretrained.find(str(model)), "text-classification", ("a", "b"))
    whole = pretrained.build(config, "text-classification").num_parameters()
    assert found["settings"]["D"] == whole and found["settings"]["steps"] == 24
    assert found["runs"] == curve.to_dict("records")
    assert set(curve["seed"]) == {0, 1} and 0 in set(curve["d"])
    again = intrinsic_dimension(curve)
    assert (found["dimension"], found["below"]) == (again.dimension, again.below)
    assert again.dimension is not None, "two words apart are told by few numbers"
    assert found["share"] == again.dimension / whole
    assert f"D = {whole} parameters, 24 steps a run" in err and "direct, seed 0: accuracy" in err


def test_a_loss_is_measured_from_the_untrained_model_down(
    case: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(
        capsys, *case, "--text", "note", "--label", "weight", "--task", "regression", "--seeds", 1,
        "--learning-rate", 0.1, "--direct-learning-rate", 0.01, "--epochs", 4, "--batch", 8,
        "--start", 8, "--precision", 50, "--fraction", 0.3,
    )  # fmt: skip
    assert code == 0, err
    assert "Validation mean squared error by dimension of the subspace" in out
    assert "d_int30 = " in out and "projection, 1 runs of each d" in out
    assert "Measured with AdamW, linear warm-up and decay, learning rate 0.1 (direct 0.01)" in out


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--seeds", 0], "seeds must be positive, but got 0"),
        (["--learning-rate", -1], "learning_rate must be positive, but got -1.0"),
        (["--start", 10**9], "d in 1 to D = "),
        (["--projection", "sparce"], "unknown projection, but got 'sparce'. Did you mean"),
    ],
)
def test_what_it_refuses(
    case: tuple[Path, Path],
    option: list[object],
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, _, err = call(capsys, *case, "--text", "note", "--label", "kind", *option)
    assert code == 2 and message in err.splitlines()[-1]
