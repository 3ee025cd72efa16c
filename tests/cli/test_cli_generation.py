"""``parsimony compress generation``: what people see, what machines read, what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from parsimony.cli import main
from parsimony.testing import tiny


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny language model and a table of texts."""
    folder = tmp_path_factory.mktemp("place")
    tiny.write(folder / "lm", "llama")
    rows = [f"row {i} says {'abcdefghij'[i % 10] * (i % 7 + 3)} and {i * i}" for i in range(90)]
    pd.DataFrame({"text": rows}).to_csv(folder / "texts.csv", index=False)
    return folder


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(["compress", "generation", *map(str, arguments)])
    shown = capsys.readouterr()
    return int(stop.value.code or 0), shown.out, shown.err


def common(place: Path) -> list[object]:
    return [
        place / "lm", "--data", place / "texts.csv", "--methods", "int8,random4",
        "--temperatures", "0.5,0.8", "--top-k", "5,300", "--max-new-tokens", 5, "--seeds", 2,
        "--prompts", 4, "--prompt-tokens", 8, "--windows", 6, "--batch", 4, "--device", "cpu",
    ]  # fmt: skip


def test_a_study_shows_a_table_and_what_differs(
    tmp_path: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    code, shown, said = call(capsys, *common(place), "--out", out)
    assert code == 0, said
    lines = shown.splitlines()
    assert lines[0].startswith("Against fp32, 95 % intervals over prompts")
    assert [line.split()[0] for line in lines[2:5]] == ["fp32", "int8", "random4"]
    assert "of 4" in lines[3] and lines[2].split()[-1].isdigit(), "the original is timed"
    assert any(" between 0.5 and 0.8, top-k 5: resilience " in line for line in lines)
    assert "Note: top-k 300 is all 259 tokens of the vocabulary" in lines
    assert lines[-1] == f"Report: {out / 'report.html'}"
    assert "random4: 8 ways to write" in said.splitlines()
    page = (out / "report.html").read_text(encoding="utf-8")
    for title in ("Distance to the original, top-k 5", "Perplexity of texts, 5 tokens",
                  "Bytes of stored tensors", "Speed on cpu"):  # fmt: skip
        assert title in page
    assert "has the code books nf4 and fp4, but got &#39;random4&#39;" in page

    code, shown, said = call(capsys, "--resume", out, "--json", "--quiet")
    assert code == 0 and not said
    result = json.loads(shown)
    assert result["kind"] == "generation-study" and result["run"] == str(out)
    assert result["methods"] == json.loads((out / "result.json").read_text())["methods"]

    other = tmp_path / "other"
    code, shown, said = call(
        capsys, *common(place), "--methods", "int4", "--untimed", "--beside", out, "--out", other,
    )  # fmt: skip
    assert code == 0, said
    assert [line.split()[1] for line in shown.splitlines()[2:7]] == [
        "fp32", "int4", "fp32", "int8", "random4",
    ]  # fmt: skip
    code, _, said = call(
        capsys, *common(place), "--methods", "int4", "--untimed", "--seed", 1, "--beside", out,
        "--out", tmp_path / "third",
    )  # fmt: skip
    assert code == 2 and "studies in one table need the same" in said.splitlines()[-1]
    assert not (tmp_path / "third").exists(), "refused before anything is spent"


def test_a_dry_run_counts_and_writes_nothing(
    tmp_path: Path, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, shown, _ = call(capsys, *common(place), "--dry-run", "--quiet")
    assert code == 0
    lines = shown.splitlines()
    assert lines[0].endswith(": 24 ways to write, 96 texts")
    assert [line.split(":")[0] for line in lines[1:4]] == ["fp32", "int8", "random4"]
    code, shown, _ = call(capsys, *common(place), "--dry-run", "--quiet", "--json")
    assert json.loads(shown)["cells"] == 24
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--temperatures", "0.5,-1"], "a temperature must be finite and not negative, but got -1"),
        (["--temperatures", "warm"], "--temperatures takes numbers with commas between"),
        (["--top-k", "5,many"], "--top-k takes whole numbers with commas between, but got 'many'"),
        (["--between", "0.5"], "--between takes 2 numbers with commas between"),
        (["--methods", "nf4b64,nf3"], "unknown way to quantize"),
        (["--methods", "rtn:w4g64"], "q_proj"),
        (["--prompt-tokens", 64], "a prompt must leave room for a token"),
        (["--prompts", 100, "--windows", 100], "the held-out texts fill"),
        (["--device", "tpu"], "--device tpu is not available"),
    ],
)
def test_what_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[object], text: str
) -> None:
    code, shown, said = call(capsys, *common(place), *arguments)
    assert code == 2, said
    assert text in said.splitlines()[-1] and not shown


def test_a_resumed_study_keeps_its_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, said = call(capsys, "--resume", tmp_path, "--seeds", 9)
    assert code == 2 and "--resume goes on with the settings of the run" in said
