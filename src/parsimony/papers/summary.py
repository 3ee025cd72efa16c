"""What a run over all papers found, as data and as Markdown that a CI can post."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from parsimony.core import units
from parsimony.papers import record
from parsimony.papers.catalogue import Card
from parsimony.papers.claim import LEVELS, Claim, Level
from parsimony.papers.record import Result

_SPECIAL = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_{}[]<>|#&~!$"})


def summarise(
    cards: Sequence[Card],
    level: Level,
    results: Mapping[str, Mapping[str, Result]],
    left: Sequence[Mapping[str, Any]],
    before: Mapping[str, Mapping[str, bool]],
    seconds: float,
) -> dict[str, Any]:
    """Where each paper stands by the results of one run, ready for JSON.

    Args:
        cards: of the papers.
        level: claims up to this one count.
        results: of the run, by paper and claim.
        left: what each job did not run: ``slug``, ``left`` and ``missing``.
        before: whether each claim held in the record when the run began.
        seconds: of this call.

    Returns:
        ``papers`` with state and counts; ``red``: claims that do not hold, ``new`` where they held
        before or were never run; ``mended``; ``left``; ``missing``; totals.
    """
    reach = LEVELS[: LEVELS.index(level) + 1]
    papers, red, mended = [], [], []
    for card in cards:
        claims = [claim for claim in card.claims if claim.level in reach]
        latest = results.get(card.slug, {})
        standing = record.stand(card, claims, latest)
        papers.append(
            {
                "slug": card.slug,
                "title": card.title,
                "state": standing.state,
                "claims": standing.claims,
                "run": standing.run,
                "passed": standing.passed,
                "seconds": round(
                    sum(latest[c.name].seconds for c in claims if c.name in latest), 3
                ),
            }
        )
        for claim in claims:
            if claim.name in latest:
                held = before.get(card.slug, {}).get(claim.name)
                if not latest[claim.name].passed:
                    red.append(_miss(card, claim, latest[claim.name], new=held is not False))
                elif held is False:
                    mended.append(f"{card.slug}:{claim.name}")
    return {
        "level": level,
        "seconds": round(seconds, 3),
        "claims": sum(paper["claims"] for paper in papers),
        "run": sum(paper["run"] for paper in papers),
        "passed": sum(paper["passed"] for paper in papers),
        "papers": papers,
        "red": red,
        "mended": mended,
        "left": [f"{job['slug']}:{name}" for job in left for name in job["left"]],
        "missing": {
            f"{job['slug']}:{name}": why for job in left for name, why in job["missing"].items()
        },
    }


def _miss(card: Card, claim: Claim, result: Result, new: bool) -> dict[str, Any]:
    return {
        "slug": card.slug, "claim": claim.name, "statement": claim.statement, "new": new,
        "published": claim.published if claim.published is not None else claim.published_text,
        "direction": claim.direction, "tolerance": claim.tolerance, "unit": claim.unit,
        "value": result.value, "interval": result.interval, "error": result.error,
    }  # fmt: skip


def counts(said: Mapping[str, Any]) -> dict[str, int]:
    """The numbers of the summary by what they count."""
    return {
        "hold": said["passed"],
        "were run": said["run"],
        "newly red": sum(miss["new"] for miss in said["red"]),
        "mended": len(said["mended"]),
        "left for lack of time": len(said["left"]),
        "cannot run here": len(said["missing"]),
    }


def sentence(said: Mapping[str, Any]) -> str:
    """The summary in one line."""
    hold, run, *others = counts(said).items()
    parts = [f"{hold[1]} of {run[1]} claims hold"]
    parts += [f"{number} {what}" for what, number in others if number]
    return f"{'; '.join(parts)}. It took {units.format_seconds(said['seconds'])}."


def markdown(said: Mapping[str, Any]) -> str:
    """The summary as a page."""
    lines = [
        f"# Claims up to level {said['level']}", "", sentence(said), "",
        "| paper | state | hold | run | claims | took |", "|---|---|---:|---:|---:|---:|",
    ]  # fmt: skip
    for paper in said["papers"]:
        if paper["claims"]:
            took = units.format_seconds(paper["seconds"]) if paper["run"] else ""
            lines.append(
                f"| {_plain(paper['slug'])} | {paper['state']} | {paper['passed']} "
                f"| {paper['run']} | {paper['claims']} | {took} |"
            )
    for title, new in (("Newly red", True), ("Red as before", False)):
        chosen = [miss for miss in said["red"] if miss["new"] is new]
        if chosen:
            lines += ["", f"## {title}", "", *map(_line, chosen)]
    if said["mended"]:
        lines += ["", "## Mended", "", *(f"- {_plain(name)}" for name in said["mended"])]
    if said["left"]:
        counts = Counter(name.partition(":")[0] for name in said["left"])
        lines += ["", "## Left for lack of time", ""]
        lines += [f"- {_plain(slug)}: {n} claim{'s' * (n > 1)}" for slug, n in counts.items()]
    if said["missing"]:
        lines += ["", "## Cannot run here", ""]
        lines += [f"- {_plain(name)}: {_plain(why)}" for name, why in said["missing"].items()]
    return "\n".join(lines) + "\n"


def _line(miss: Mapping[str, Any]) -> str:
    found = miss["error"] or "no number" if miss["value"] is None else f"{miss['value']:.6g}"
    if miss["interval"]:
        found += " ({:.4g} to {:.4g})".format(*miss["interval"])
    expected = miss["published"]
    if not isinstance(expected, str):
        bound = "" if miss["direction"] == "equal" else f"{miss['direction']} "
        expected = f"{bound}{expected:.6g} ± {miss['tolerance']:.3g}"
    return (
        f"- **{_plain(miss['slug'])}:{_plain(miss['claim'])}** {_plain(miss['statement'])} "
        f"Expected {_plain(expected)}, found {_plain(found)} {_plain(miss['unit'])}."
    )


def _plain(text: str) -> str:
    """Text that Markdown shows as it stands, on one line."""
    return " ".join(text.split()).translate(_SPECIAL)
