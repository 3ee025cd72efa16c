"""``parsimony papers``: what it prints, what it records, how it exits."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parsimony.cli import main, tables
from parsimony.papers import catalogue, record

CARD = """
from parsimony.papers.claim import Measurement, claim

CARD = {
    "slug": "some-paper", "title": "Some Paper", "authors": None, "year": 2024, "arxiv": None,
    "venue": None, "areas": ("adapt",), "mechanism": "adapt/some", "summary": "Does one thing.",
    "official_code": (), "licence": None,
}
"""
CLAIM = """
@claim(name="{name}", statement="It is three.", published=3, source="paper", unit="things",
       direction="equal", level="{level}")
def {name}() -> Measurement:
    {body}
"""

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Run ``parsimony papers ...`` and return its exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(["papers", *arguments])
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return run


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A catalogue and a record of this test's own."""
    (tmp_path / "cards").mkdir()
    monkeypatch.setattr(catalogue, "CARDS", tmp_path / "cards")
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    return tmp_path


def write(folder: Path, **claims: str) -> None:
    """A card with one exact claim for each name; a value is the function's body."""
    text = [CLAIM.format(name=n, body=b, level="exact") for n, b in claims.items()]
    (folder / "cards" / "some_paper.py").write_text(CARD + "".join(text))


def test_list_shows_36_papers_and_loads_no_torch() -> None:
    script = (
        "import sys; from parsimony.cli import main\n"
        "try: main(['papers', 'list', '--json'])\n"
        "finally: print(sorted({'torch', 'transformers', 'peft', 'numpy'} & {*sys.modules}),"
        " file=sys.stderr)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    listed = json.loads(found.stdout)["cards"]
    assert len(listed) == 36
    assert all(entry["title"] and entry["standing"]["state"] for entry in listed)
    assert found.stderr == "[]\n"


def test_list_for_people_is_whole_and_plain(call: Call) -> None:
    code, out, err = call("list")
    assert (code, err, len(out.splitlines())) == (0, "", 37)
    assert "\x1b" not in out
    assert "Sample complexity of data-driven tuning" in out and "dual function" in out


def test_quiet_leaves_results_only(call: Call) -> None:
    assert len(call("list", "--quiet")[1].splitlines()) == 36
    shown = call("show", "peft-code", "--quiet")[1]
    assert "codellama-7b-lora-r16" in shown
    assert "Run it" not in shown and "figure from" not in shown


def test_list_of_one_area(call: Call) -> None:
    _, out, _ = call("list", "--area", "serve", "--json")
    assert [entry["slug"] for entry in json.loads(out)["cards"]] == ["cloudmatrix"]


def test_an_unknown_area_names_the_nearest(call: Call) -> None:
    code, out, err = call("list", "--area", "adpat")
    assert (code, out) == (2, "")
    assert err.startswith("parsimony: unknown area 'adpat'. Did you mean 'adapt'?")


@pytest.mark.parametrize("verb", ["show", "reproduce"])
def test_an_unknown_paper_names_the_nearest(call: Call, verb: str) -> None:
    code, out, err = call(verb, "lambda")
    assert (code, out) == (2, "")
    assert err.startswith("parsimony: unknown paper 'lambda'. Did you mean 'lamda'?")
    assert len(err.splitlines()) == 1


def test_show_one_paper(call: Call) -> None:
    code, out, _ = call("show", "peft-review")
    assert code == 0
    assert "Critical Review and Assessment" in out and "2312.12148" in out
    assert "roberta-lora-r8" in out and "887,042" in out
    assert "parsimony papers reproduce peft-review --level exact" in out


def test_show_as_json_has_claims_with_their_source(call: Call) -> None:
    _, out, _ = call("show", "peft-comprehensive", "--json")
    claims = {c["name"]: c for c in json.loads(out)["claims"]}
    assert claims["llama-3b-full"]["published"] == 3_212_749_824
    assert claims["llama-3b-full"]["source"] == "public benchmark"
    assert claims["llama-7b-lora-r8"]["source"] == "derived"


def test_a_card_without_claims_says_not_yet(call: Call, folder: Path) -> None:
    write(folder)
    code, out, err = call("reproduce", "some-paper")
    assert (code, out, err) == (0, "some-paper: not yet, the card has no claims\n", "")
    assert json.loads(call("reproduce", "some-paper", "--json")[1])["state"] == "not yet"
    _, listed, _ = call("list")
    assert "not yet" in listed and "green" not in listed


def test_a_card_with_claims_of_a_higher_level_only(call: Call, folder: Path) -> None:
    claim = CLAIM.format(name="three", body="return Measurement(3)", level="cpu")
    (folder / "cards" / "some_paper.py").write_text(CARD + claim)
    code, out, _ = call("reproduce", "some-paper")
    assert (code, out) == (0, "some-paper: not yet, the card has no claims up to level 'exact'\n")
    assert "some-paper: green, 1 of 1" in call("reproduce", "some-paper", "--level", "cpu")[1]


def test_a_green_run_is_kept_only_when_asked(call: Call, folder: Path) -> None:
    write(folder, three="return Measurement(3)")
    code, out, err = call("reproduce", "some-paper")
    assert code == 0
    assert out.endswith(
        "some-paper: green, 1 of 1 claims hold (not recorded; add --record to keep it)\n"
    )
    assert err == "some-paper: running 1 claim up to level 'exact'\n"
    assert state(call) == "not yet"
    assert call("reproduce", "some-paper", "--record", "--quiet")[2] == ""
    assert state(call) == "green"
    [kept] = record.history("some-paper")["three"]
    assert kept.command == "parsimony papers reproduce some-paper --level exact --record"


def state(call: Call) -> str:
    listed: list[dict[str, Any]] = json.loads(call("list", "--json")[1])["cards"]
    [entry] = listed
    return str(entry["standing"]["state"])


def test_a_red_claim_exits_with_1_and_is_shown(call: Call, folder: Path) -> None:
    write(folder, three="return Measurement(4)", other="raise ValueError('no such map')")
    code, out, err = call("reproduce", "some-paper", "--record")
    assert code == 1
    assert "some-paper: red, 0 of 2 claims hold (recorded)" in out
    assert "other: ValueError: no such map" in out
    assert "Traceback" not in err
    assert state(call) == "red"
    assert "red" in call("show", "some-paper")[1]


def test_a_changed_card_is_shown_stale(call: Call, folder: Path) -> None:
    write(folder, three="return Measurement(3)")
    call("reproduce", "some-paper", "--record")
    write(folder, three="return Measurement(3.0)")
    assert state(call) == "stale"
    assert "stale" in call("show", "some-paper")[1]


def test_reproduce_as_json(call: Call, folder: Path) -> None:
    write(folder, three="return Measurement(4, (3.5, 4.5), 'counted')")
    code, out, _ = call("reproduce", "some-paper", "--json")
    report = json.loads(out)
    [claim] = report["claims"]
    assert (code, report["state"], report["recorded"]) == (1, "red", False)
    assert (claim["published"], claim["result"]["value"]) == (3, 4)
    assert claim["result"]["interval"] == [3.5, 4.5]


def test_show_has_the_interval_and_the_command_of_the_highest_level(
    call: Call, folder: Path
) -> None:
    write(folder, three="return Measurement(3, (2.5, 3.5))")
    with (folder / "cards" / "some_paper.py").open("a") as stream:
        stream.write(CLAIM.format(name="slow", body="return Measurement(3)", level="cpu"))
    call("reproduce", "some-paper", "--record")
    shown = call("show", "some-paper")[1]
    assert "3 [2.5, 3.5]" in shown
    assert shown.endswith("Run it: parsimony papers reproduce some-paper --level cpu\n")


def test_a_dry_run_spends_nothing(call: Call, folder: Path) -> None:
    write(folder, three="raise SystemExit('it ran')")
    code, out, _ = call("reproduce", "some-paper", "--dry-run", "--record")
    assert code == 0
    assert out == (
        "some-paper: would run 1 claim up to level 'exact'\n  three (exact, never run)\n"
    )
    assert record.history("some-paper") == {}


def test_a_dry_run_says_how_long_it_took_last(call: Call, folder: Path) -> None:
    write(folder, three="return Measurement(3)")
    call("reproduce", "some-paper", "--record")
    assert "three (exact, took " in call("reproduce", "some-paper", "--dry-run")[1]


def test_a_narrow_window_cuts_only_the_last_column(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder)
    monkeypatch.setattr(tables, "_PIPE_WIDTH", 44)
    line = call("list", "--quiet")[1].rstrip()
    assert line.startswith("some-paper  adapt  not yet") and line.endswith("…")


def test_an_unknown_level_names_the_nearest(call: Call, folder: Path) -> None:
    write(folder, three="return Measurement(3)")
    code, _, err = call("reproduce", "some-paper", "--level", "exakt")
    assert code == 2
    assert err == (
        "parsimony: unknown level 'exakt'. Did you mean 'exact'? Known: cpu, exact, gpu\n"
    )


def test_the_gpu_level_is_refused_without_a_gpu(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    write(folder, three="return Measurement(3)")
    code, out, err = call("reproduce", "some-paper", "--level", "gpu")
    assert (code, out) == (2, "")
    assert "level 'gpu' needs a CUDA device, and torch sees none. Run it with --level cpu" in err


def test_a_record_that_cannot_be_kept_is_refused_first(call: Call, folder: Path) -> None:
    write(folder, three="raise SystemExit('it ran')")
    (folder / "results").write_text("in the way")
    code, out, err = call("reproduce", "some-paper", "--record")
    assert (code, out) == (2, "")
    assert "must be writable. Run without --record" in err


def test_all_papers_are_reproduced_with_a_summary(call: Call, folder: Path) -> None:
    write(folder, three="return Measurement(3)", four="return Measurement(4)")
    run, page = folder / "run", folder / "ci.md"
    code, out, err = call(
        "reproduce", "--all", "--level", "cpu", "--budget", "time=10min", "--engine", "local",
        "--out", str(run), "--summary", str(page),
    )  # fmt: skip
    assert (code, err) == (1, "Running 2 claims of 1 papers\n")
    assert "newly red: some-paper:four: It is three." in out
    assert "1 of 2 claims hold; 1 newly red. It took" in out
    assert page.read_text().startswith("# Claims up to level cpu\n\n1 of 2 claims hold")
    code, out, _ = call("reproduce", "--resume", str(run), "--json")
    said = json.loads(out)
    assert (code, said["run"], said["passed"], said["folder"]) == (1, 2, 1, str(run))


def test_a_red_that_was_red_before_is_no_news(call: Call, folder: Path) -> None:
    write(folder, four="return Measurement(4)")
    call("reproduce", "some-paper", "--record")
    code, out, _ = call("reproduce", "--all", "--out", str(folder / "run"), "--quiet")
    assert code == 0
    assert out.splitlines()[0].split()[:3] == ["some-paper", "red", "0/1"]
    assert out.splitlines()[1].startswith("0 of 1 claims hold. It took")


def test_a_dry_run_of_all_says_what_fits(call: Call, folder: Path) -> None:
    write(folder, three="raise SystemExit('it ran')", four="raise SystemExit('it ran')")
    code, out, _ = call("reproduce", "--all", "--budget", "time=7s", "--dry-run")
    assert code == 0
    assert "Would run 1 claims in about 5 s; 1 would be left" in out
    assert "A claim that never ran counts by its level: exact 5 s, cpu 5 min 0 s" in out
    planned = json.loads(call("reproduce", "--all", "--dry-run", "--json")[1])
    assert planned["guessed"] == planned["run"] == ["some-paper:three", "some-paper:four"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((), "reproduce takes one paper, or --all, but got 'neither'"),
        (("some-paper", "--all"), "reproduce takes one paper, or --all, but got 'some-paper'"),
        (("some-paper", "--budget", "time=1h"), "--budget goes with --all, but got 'some-paper'"),
        (("--all", "--budget", "memory=1GiB"), "reproduce keeps a limit of time alone"),
        (("--all", "--engine", "rai"), "unknown engine, but got 'rai'. Did you mean 'ray'?"),
        (("--all", "--level", "cpus"), "unknown level 'cpus'. Did you mean 'cpu'?"),
        (("--all", "--resume", "x"), "--resume goes on with the settings of the run"),
        (("--resume", "x"), "a run folder needs a config.json, but got 'x'"),
    ],
)
def test_a_wrong_request_for_all_is_one_line(
    call: Call, folder: Path, arguments: tuple[str, ...], text: str
) -> None:
    write(folder, three="return Measurement(3)")
    code, out, err = call("reproduce", *arguments)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert text in err


def test_the_site_is_built_and_says_where(
    call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("markdown_it")
    from parsimony.papers.site import meaning

    monkeypatch.setattr(meaning, "embed", lambda texts: np.eye(len(texts), dtype=np.float16))
    write(folder, three="return Measurement(3)")
    (folder / "docs").mkdir()
    (folder / "docs" / "a.md").write_text("# A page\n")
    site = folder / "site"
    arguments = ("build", "--out", str(site), "--docs", str(folder / "docs"))
    code, out, err = call(*arguments, "--base-url", "https://example.org")
    assert code == 0 and err.startswith("Reading the cards")
    assert out.splitlines()[0].startswith("1 papers, ")
    assert out.splitlines()[1] == f"Open {site / 'index.html'}"
    assert "https://example.org/papers/some-paper.html" in (site / "feed.xml").read_text()
    assert (site / "docs/a.html").is_file()
    said = json.loads(call(*arguments, "--json", "--quiet")[1])
    assert (said["papers"], said["index"]) == (1, str(site / "index.html"))
    assert "example.org" not in (site / "feed.xml").read_text()
    code, out, err = call("build", "--out", str(folder / "docs"))
    assert (code, out) == (2, "") and "a site is written to a new or empty folder" in err
