"""A small catalogue with every state and a hostile card, written into folders."""

from __future__ import annotations

import dataclasses
import hashlib
import types
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from parsimony.papers.catalogue import read
from parsimony.papers.record import Result, append

EVIL = "<script>document.title='owned'</script><img src=x onerror=document.title='owned'>"

FIELDS = {
    "authors": ("A. Author", "B. Björk"), "year": 2023, "arxiv": None, "venue": None,
    "areas": ("adapt",), "mechanism": "adapt/some", "official_code": (), "licence": None,
}  # fmt: skip
CLAIM = """
@claim(name="{name}", statement={statement!r}, published=3, source="paper", unit="things",
       direction="at least", level="{level}", tolerance=0.5)
def {function}() -> Measurement:
    return Measurement(3)
"""
PAPERS: dict[str, dict[str, object]] = {
    "kept-word": {"title": "A kept word", "summary": "Keeps zebras in order.",
                  "arxiv": "2406.00210", "official_code": ("owner/kept",), "licence": "MIT"},
    "broken-word": {"title": "A broken word", "summary": "Breaks on Tuesdays.",
                    "arxiv": "2312.12705", "areas": ("plan", "adapt")},
    "old-word": {"title": "An old word", "summary": "Was changed since.", "year": 2019},
    "no-word": {"title": "No word yet", "summary": "Waits.", "areas": ("serve",), "year": 2025},
    "hostile": {"title": f"Hostile {EVIL}", "summary": f"Says {EVIL} & 100% {{of}} it_all.",
                "authors": (EVIL,), "venue": EVIL, "mechanism": EVIL, "licence": EVIL,
                "arxiv": "javascript:alert(1)", "official_code": ("javascript:alert(1)",)},
}  # fmt: skip
CLAIMS = {
    "kept-word": [("three", "exact"), ("fast", "cpu")],
    "broken-word": [("three", "exact"), ("slow", "cpu")],
    "old-word": [("three", "exact")],
    "no-word": [],
    "hostile": [("three", "exact")],
}


def made_up(texts: Sequence[str]) -> np.ndarray:
    """Vectors of length one that depend on the text alone, in place of a model's."""
    seeds = [int.from_bytes(hashlib.sha256(t.encode()).digest()[:4], "big") for t in texts]
    rows = np.array([np.random.default_rng(seed).normal(size=8) for seed in seeds])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)


def result(claim: str, mark: str, **changes: object) -> Result:
    """A result of a claim of the card with this fingerprint."""
    return dataclasses.replace(
        Result(
            claim=claim, value=3.25, interval=(3.0, 3.5), passed=True, note="counted twice",
            error="", date="2026-11-20T10:00:00+00:00", seconds=95.0, command="the command",
            versions={"python": "3.11"},
            machine={"platform": "x86_64", "cpus": 2, "device": "cpu"}, fingerprint=mark,
        ),
        **changes,
    )  # fmt: skip


def write_world(folder: Path) -> types.SimpleNamespace:
    """Cards, results and docs below ``folder``."""
    cards, results, docs = (folder / name for name in ("cards", "results", "docs"))
    for place in (cards, results, docs):
        place.mkdir()
    for slug, changes in PAPERS.items():
        text = "from parsimony.papers.claim import Measurement, claim\n"
        text += f"CARD = {FIELDS | {'slug': slug} | changes!r}\n"
        for name, level in CLAIMS[slug]:
            statement = f"It is {name} {EVIL if slug == 'hostile' else ''}"
            text += CLAIM.format(name=name, level=level, statement=statement, function=name)
        file = cards / f"{slug.replace('-', '_')}.py"
        file.write_text(text, encoding="utf-8")
        mark = read(file).fingerprint
        for name, level in CLAIMS[slug]:
            if (slug, name) == ("kept-word", "fast"):
                continue  # nobody ran it
            kind: dict[str, object] = {}
            if level == "cpu":
                kind = {"value": 1.0, "interval": None, "passed": False}
                append(slug, result(name, mark), results)  # it held once
                kind["date"] = "2026-11-21T10:00:00+00:00"
            if slug == "old-word":
                kind = {"fingerprint": "0" * 64}
            if slug == "hostile":
                kind = {"note": EVIL, "command": EVIL, "error": EVIL, "value": None,
                        "interval": None, "passed": False, "versions": {EVIL: EVIL}}  # fmt: skip
            append(slug, result(name, mark, **kind), results)
    (docs / "figures").mkdir()
    (docs / "figures" / "one.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (docs / "adapt.md").write_text(
        "# Adapting\n\nSee [planning](plan.md#two-words), [plan.md](plan.md), [code](../src/x.py), "
        "[bad](javascript:alert(1)) and [arXiv](https://arxiv.org/abs/2406.00210).\n"
        f"{EVIL}\n\n![one](figures/one.svg) ![far](https://example.org/x.png) ![out](../x.png)\n\n"
        "```console run\nparsimony adapt my-model x.csv\n```\n\n```text\nprinted <b>\n```\n"
    )
    (docs / "plan.md").write_text(
        "# Planning `it`\n\n## Two words\n\n## Two words\n\n```console\nparsimony plan fit\n```\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n"
    )
    (docs / "more.md").write_text("# More\n\n`parsimony plan` and `parsimony adapt`\n")
    return types.SimpleNamespace(folder=folder, cards=cards, results=results, docs=docs)
