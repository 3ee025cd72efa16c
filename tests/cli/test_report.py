"""`parsimony report`: the path on stdout, everything else on stderr, errors in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from parsimony.cli import main
from parsimony.core import artifacts, headlines
from parsimony.core.headlines import Headline


@pytest.fixture
def run(tmp_path: Path) -> Path:
    result = {
        "kind": "adapt",
        "model": {"name": "m"},
        "data": {"name": "d"},
        "metric": {"name": "accuracy", "unit": "share"},
        "recommendation": {"candidate": "lora", "sentence": "Use LoRA."},
        "leaderboard": [
            {
                "candidate": "lora",
                "verdict": "recommended",
                "score": {"estimate": 0.7, "low": 0.6, "high": 0.8},
            }
        ],
    }
    artifacts.write_json(tmp_path / "run" / "result.json", result)
    return tmp_path / "run"


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["report", *map(str, arguments)])
    return int(stop.value.code or 0)


def test_it_writes_the_page_and_prints_its_path(run, capsys) -> None:
    assert call(run) == 0
    out, err = capsys.readouterr()
    assert out == f"{run / 'report.html'}\n"
    assert "kB, opens in any browser" in err
    assert "Use LoRA." in (run / "report.html").read_text()


def test_json_goes_to_stdout_alone(run, capsys) -> None:
    assert call(run, "--json", "--quiet") == 0
    out, err = capsys.readouterr()
    page = run / "report.html"
    assert json.loads(out) == {"report": str(page), "bytes": page.stat().st_size}
    assert err == ""


def test_out_says_where(run, tmp_path, capsys) -> None:
    target = tmp_path / "new" / "page.html"
    assert call(run, "--out", target, "--quiet") == 0
    assert capsys.readouterr().out == f"{target}\n"
    assert target.is_file()
    assert not (run / "report.html").exists()


def test_runs_are_listed_and_compared(tmp_path, capsys) -> None:
    for name, value in (("a", 0.7), ("b", 0.8)):
        score = Headline(name="accuracy", value=value, low=value - 0.02, high=value + 0.02)
        settings = {"batch": {"value": value, "source": "given"}}
        artifacts.write_json(tmp_path / name / "config.json", {"settings": settings})
        headlines.write(tmp_path / name, "adapt", "minilm", [score])
    assert call(tmp_path) == 0
    assert "accuracy 0.7 [0.68, 0.72]" in capsys.readouterr().out
    assert call(tmp_path / "a", tmp_path / "b", "--json", "--out", tmp_path / "list.html") == 0
    listed = json.loads(capsys.readouterr().out)["runs"]
    assert {Path(run["run"]).name for run in listed} == {"a", "b"}
    assert (tmp_path / "list.html").is_file()
    assert call(tmp_path / "a", tmp_path / "b", "--compare", "--out", tmp_path / "two.html") == 0
    out = capsys.readouterr().out
    assert "+0.1 [+0.06, +0.14]" in out
    assert "0.7 (given)" in out
    assert out.endswith("1 of 1 settings differ; a difference shows in accuracy\n")
    assert (tmp_path / "two.html").is_file()
    assert call(tmp_path / "a", tmp_path / "b", "--compare", "--json") == 0
    (number,) = json.loads(capsys.readouterr().out)["numbers"]
    assert number["interval"] == pytest.approx([0.06, 0.14])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["missing"], "parsimony: the run folder missing must exist. Check the path\n"),
        (["a", "--compare", "--quiet"], "--compare takes two runs, but got 1. Name two folders\n"),
        ([".", "--out", "x.pdf"], "the report is a file that ends in .html, but got 'x.pdf'\n"),
    ],
)
def test_errors_are_one_line_with_code_2(arguments, text, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert call(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith(text)
    assert err.count("\n") == 1


def test_the_verb_loads_nothing_heavy_until_it_runs() -> None:
    code = (
        "import sys, parsimony.cli.report; "
        "sys.exit(bool({'jinja2', 'pydantic', 'matplotlib', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
