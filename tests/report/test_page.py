# ruff: noqa: RUF001  (the page writes a true minus sign)
"""The page says what the run folder says: every fact, every gap, nothing unescaped."""

from __future__ import annotations

import copy
import json
import re
from html.parser import HTMLParser
from typing import ClassVar

import pytest

from parsimony.core import artifacts
from parsimony.core.errors import ArtifactError, InputError
from parsimony.report import write


class Page(HTMLParser):
    """Visible text by section heading id, plus all tags with their attributes."""

    VOID: ClassVar = {"meta", "link", "input", "br", "img", "hr"}

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.errors: list[str] = []
        self.sections: dict[str, str] = {}
        self.section = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self.section = dict(attrs)["aria-labelledby"] or ""
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.errors.append(tag)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"script", "style"}:
            text = f"{self.sections.get(self.section, '')} {data}"
            self.sections[self.section] = " ".join(text.split())


def page(run) -> Page:
    return Page(write(run).read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("section", "facts"),
    [
        ("recommendation", ["Use LoRA at rank 4", "A linear probe on the frozen model", "73.0%",
                            "70.0 to 76.0", "+19.9", "+16.5 to +23.4", "81.4k", "0.359% of 22.7M",
                            "323 KiB", "896.5 MiB", "predicted 867.8 MiB",
                            "No difference found between lora r=4 and dora r=4 , lora r=16"]),
        ("leaderboard", ["dora r=4", "73.6%", "70.5 to 76.7", "the best score", "−0.6",
                         "−2.4 to +1.2", "linear-probe", "−20.5", "0.0339%",
                         "recommended", "no difference", "worse", "not measured",
                         "the process ended before it was read", "95%",
                         "2,000 paired resamples", "400 test rows", "3 seeds", "mergeable"]),
        ("cost", ["Test accuracy against trainable parameters", "Test accuracy against peak memory",
                  "Outlined points are predictions", "linear-probe", "baseline"]),
        ("curves", ["Validation accuracy over steps", "Training loss over steps", "bitfit"]),
        ("search", ["12 settings", "rung 0: 30 steps each, 6 went on", "rung 2: 480 steps each",
                    "learning rate 0.0006", "0, 1, 2", "promoted", "stopped", "finalist"]),
        ("dropped", ["prefix", "BERT models take no key-value prefix", "the budget allows 0.5%"]),
        ("ledger", ["81,428", "exact", "867.8 MiB", "−3.2%", "40.1 s", "unknown",
                    "Mean absolute error"]),
        ("load", ["AutoPeftModelForSequenceClassification", 'from_pretrained("adapter"']),
        ("run", ["1,200 train, 400 validation, 400 test", "9f1c9f1c", "12 duplicate rows",
                 "trainable=0.5%, memory=8GiB, time=5min", "53aa51", "batch_size", "given",
                 "default: fits 8 GiB with room to spare", "torch 2.13.0", "x86_64, 2 cores",
                 "accelerator none", "seed 0"]),
    ],
)  # fmt: skip
def test_each_section_states_its_facts(make_run, section: str, facts: list[str]) -> None:
    text = page(make_run()).sections[section]
    assert [fact for fact in facts if fact not in text] == []


def test_the_page_is_well_formed_and_described(make_run) -> None:
    built = page(make_run())
    assert built.errors == []
    assert built.open == []
    names = [name for name, _ in built.tags]
    assert ("html", {"lang": "en"}) in built.tags
    assert names.count("h1") == 1
    assert names.count("figure") == names.count("figcaption") == 5
    assert all(attrs.get("scope") in {"col", "row"} for name, attrs in built.tags if name == "th")
    assert all("aria-label" in attrs for _, attrs in built.tags if attrs.get("class") == "chart")
    ids = [attrs["id"] for _, attrs in built.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"] for name, attrs in built.tags if name == "a"]
    assert links
    assert {link.removeprefix("#") for link in links if link} <= set(ids)


def test_the_page_names_no_other_resource(make_run) -> None:
    html = write(make_run()).read_text(encoding="utf-8")
    assert re.findall(r"https?:|//cdn|@import|url\((?!#)", html) == []
    for name, attrs in Page(html).tags:
        assert name not in {"img", "iframe", "object", "embed"}
        assert attrs.get("src") is None
        target = attrs.get("href") or attrs.get("xlink:href")
        assert target is None or target.startswith(("#", "data:,"))
    assert "default-src 'none'" in html


def test_the_same_folder_gives_the_same_bytes_wherever_it_lies(make_run) -> None:
    first, second = write(make_run(name="a")), write(make_run(name="b"))
    assert first.read_bytes() == second.read_bytes()
    assert write(first.parent).read_bytes() == second.read_bytes()


EVIL = "<script>alert(1)</script>\"'{{ 7 * 7 }}<img src=x onerror=alert(1)>"


def _poison(value: object, keep: frozenset[str]) -> object:
    """Append ``EVIL`` to every string but those the schema fixes."""
    if isinstance(value, dict):
        return {k: v if k in keep else _poison(v, keep) for k, v in value.items()}
    if isinstance(value, list):
        return [_poison(item, keep) for item in value]
    return value + EVIL if isinstance(value, str) else value


def test_everything_the_run_says_is_escaped(make_run, result_json) -> None:
    clean = make_run(name="clean")
    before = page(clean)
    keep = frozenset({"kind", "verdict", "id", "folder", "unit"})
    run = make_run(_poison(copy.deepcopy(result_json), keep), name="evil")
    for name in ("config", "environment", "ledger"):
        data = _poison(artifacts.read_json(run / f"{name}.json"), keep)
        artifacts.write_json(run / f"{name}.json", data)
    after = page(run)
    assert after.errors == []
    count = [name for name, _ in after.tags]
    assert count.count("script") == 1
    assert "img" not in count
    assert not any(key.startswith("on") for _, attrs in after.tags for key in attrs)
    visible = " ".join(after.sections.values())
    assert visible.count("<script>alert(1)</script>") > 60
    assert "{{ 7 * 7 }}" in visible
    assert len(before.sections) == len(after.sections)


def test_a_key_that_is_markup_is_escaped(make_run) -> None:
    run = make_run()
    artifacts.write_json(run / "environment.json", {"versions": {EVIL: EVIL}, "machine": {EVIL: 1}})
    built = page(run)
    assert [name for name, _ in built.tags].count("script") == 1
    assert built.sections["run"].count("<script>alert(1)</script>") == 3


@pytest.mark.parametrize(
    ("missing", "section", "reason"),
    [
        ("ledger.json", "ledger", "holds no ledger.json"),
        ("config.json", "run", "holds no config.json"),
        ("environment.json", "run", "holds no environment.json"),
    ],
)
def test_a_missing_file_is_named_on_the_page(make_run, missing, section, reason) -> None:
    run = make_run()
    (run / missing).unlink()
    assert reason in page(run).sections[section]


def test_a_result_with_the_least_still_makes_a_page(tmp_path) -> None:
    least = {
        "kind": "adapt",
        "model": {"name": "m"},
        "data": {"name": "d"},
        "metric": {"name": "perplexity", "higher_is_better": False},
        "recommendation": {"candidate": "lora", "sentence": "Use LoRA."},
        "leaderboard": [
            {"candidate": "lora", "verdict": "recommended",
             "score": {"estimate": 12.5, "low": 12.5, "high": 12.5}}
        ],
    }  # fmt: skip
    artifacts.write_json(tmp_path / "result.json", least)
    text = " ".join(page(tmp_path).sections.values())
    for reason in (
        "No baseline was run",
        "No finalist says how many parameters it trains.",
        "Peak memory was neither measured nor predicted.",
        "No trial folder holds validation events",
        "The result lists no trials.",
        "Nothing was dropped",
        "lower perplexity is better",
        "says nothing about how to load it",
    ):
        assert reason in text
    assert "12.5%" not in text


def test_candidates_without_a_place_in_a_chart_are_named(make_run, result_json) -> None:
    row = result_json["leaderboard"][-1]
    row["trainable"], row["measured_memory"], row["predicted_memory"] = 0, None, None
    run = make_run(result_json)
    entries = artifacts.read_json(run / "ledger.json")
    artifacts.write_json(
        run / "ledger.json", [e for e in entries if e["subject"] != row["candidate"]]
    )
    text = page(run).sections["cost"]
    assert "Not drawn, no trainable parameters known: linear-probe." in text
    assert "Not drawn, memory unknown: linear-probe." in text


def test_trials_without_events_are_counted(make_run, result_json) -> None:
    run = make_run()
    for trial in result_json["trials"][:2]:
        (run / trial["folder"] / "events.jsonl").unlink()
    count = len(result_json["trials"])
    assert f"2 of {count} trials left no loss events." in page(run).sections["curves"]


def test_an_event_line_cut_by_a_kill_is_left_out(make_run, result_json) -> None:
    run = make_run()
    before = write(run).read_bytes()
    with (run / result_json["trials"][0]["folder"] / "events.jsonl").open("a") as stream:
        stream.write('{"step": 40, "lo')
    assert write(run).read_bytes() == before


def test_a_broken_event_line_is_located(make_run, result_json) -> None:
    run = make_run()
    (run / result_json["trials"][0]["folder"] / "events.jsonl").write_text('{"step": 1}\n[]\n{}\n')
    with pytest.raises(
        ArtifactError, match=r"events.jsonl, line 2: an event must be a JSON object"
    ):
        write(run)


def test_a_missing_folder_is_an_error(tmp_path) -> None:
    with pytest.raises(ArtifactError, match=r"the run folder .*nowhere must exist. Check the path"):
        write(tmp_path / "nowhere")


def test_a_folder_that_is_no_run_is_an_error(tmp_path) -> None:
    with pytest.raises(ArtifactError, match=r"holds no result.json.*'parsimony adapt' writes"):
        write(tmp_path)


def test_an_unfinished_run_says_how_to_go_on(make_run) -> None:
    run = make_run()
    (run / "result.json").unlink()
    with pytest.raises(ArtifactError, match="not finished: continue it with --resume"):
        write(run)
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "compress"}, r"result.json: kind does not fit .* \(Input should be 'adapt'"),
        ({"leaderboard": []}, "leaderboard does not fit the report"),
        ({"metric": {}}, r"metric.name does not fit the report \(Field required"),
        ({"recommendation": {"candidate": "x", "sentence": "y"}},
         "the recommended candidate must stand in the leaderboard"),
    ],
)  # fmt: skip
def test_a_result_that_does_not_fit_names_the_key(make_run, result_json, change, message) -> None:
    run = make_run({**result_json, **change})
    with pytest.raises(ArtifactError, match=message):
        write(run)


def test_nan_is_refused(make_run) -> None:
    run = make_run()
    text = (run / "result.json").read_text()
    (run / "result.json").write_text(text.replace('"estimate": 0.73,', '"estimate": NaN,'))
    with pytest.raises(ArtifactError, match=r"score.estimate does not fit the report"):
        write(run)


def test_a_trial_may_not_read_outside_the_run(make_run, result_json) -> None:
    result_json["trials"][0]["folder"] = "../../etc"
    run = make_run()
    artifacts.write_json(run / "result.json", result_json)
    with pytest.raises(InputError, match="a path must stay inside"):
        write(run)


@pytest.mark.parametrize("out", ["result.json", "report", "folder.html"])
def test_the_page_overwrites_nothing_but_a_page(make_run, out: str) -> None:
    run = make_run()
    (run / "folder.html").mkdir()
    before = (run / "result.json").read_bytes()
    with pytest.raises(InputError, match=r"the report is a file that ends in .html, but got"):
        write(run, run / out)
    assert (run / "result.json").read_bytes() == before


def test_a_sealed_run_stays_sealed(make_run, tmp_path) -> None:
    run = make_run()
    artifacts.write_text(run / "report.html", "an older page")
    artifacts.seal(run, kind="adapt")
    write(run)
    assert artifacts.verify(run)["kind"] == "adapt"
    write(run, tmp_path / "copy.html")
    artifacts.verify(run)
    assert json.loads((run / "manifest.json").read_text())["files"]["report.html"]
