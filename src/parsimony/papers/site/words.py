"""How the pages put it: figures, durations, promises, deviations, bibliography entries."""

from __future__ import annotations

import calendar
import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from parsimony.core import units

if TYPE_CHECKING:
    from parsimony.papers.catalogue import Card
    from parsimony.papers.claim import Claim
    from parsimony.papers.record import Result
    from parsimony.papers.site.content import Outcome

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "_": r"\_", "%": r"\%", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip
_FROM = {
    "abstract": "the paper's abstract",
    "official code": "the official code",
    "official data": "the official data",
    "public benchmark": "a public benchmark",
    "derived": "the paper's definitions, worked out here",
    "recalled": "memory, not read again",
}


def duration(seconds: float) -> str:
    """``95`` -> ``"1 min 35 s"``; anything under a second is just that."""
    return "under 1 s" if seconds < 1 else units.format_seconds(seconds)


def figure(value: float | None, digits: int = 6) -> str:
    """A figure of a claim: counts in full, others to so many digits."""
    if value is None:
        return "no number"
    text = f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else _short(value, digits)
    return text.replace("-", "\N{MINUS SIGN}", 1) if text.startswith("-") else text


def _short(value: float, digits: int) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e9 else units.format_count(value)
    mantissa, mark, exponent = f"{value:.{digits}g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if mark else mantissa


def interval(bounds: Sequence[float]) -> str:
    """``"0.2 to 0.5"``."""
    return f"{figure(bounds[0], 4)} to {figure(bounds[1], 4)}"


def promise(claim: Claim) -> str:
    """The published side of a claim: its direction, figure and tolerance, or its own words."""
    if claim.published is None:
        return claim.published_text
    bound = "" if claim.direction == "equal" else f"{claim.direction} "
    slack = f" ± {figure(claim.tolerance)}" if claim.tolerance else ""
    return f"{bound}{figure(claim.published)}{slack}"


def origin(claim: Claim) -> str:
    """Where the published side is from."""
    return _FROM.get(claim.source, f"the {claim.source}")


def deviations(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Sentences on what is not as the paper has it: first what does not hold, then what to know."""
    for outcome in outcomes:
        if outcome.state == "red" and outcome.last is not None:
            yield _miss(outcome.claim, outcome.last)
    count = Counter(outcome.claim.source for outcome in outcomes)
    told = {
        "derived": "{} no figure printed in the paper: it follows from its definitions.",
        "recalled": "{} a figure that was not read again; a miss may be ours.",
    }
    for source, text in told.items():
        if number := count[source]:
            yield text.format(
                f"{number} of {len(outcomes)} claims {'has' if number == 1 else 'have'}"
            )
    laptop = sum(outcome.claim.level == "cpu" for outcome in outcomes)
    if laptop:
        yield (
            f"{laptop} {'claim is' if laptop == 1 else 'claims are'} measured at what a laptop "
            "does in minutes, where the paper may have spent more; each note says on what."
        )
    left = [outcome for outcome in outcomes if outcome.last is None]
    if left:
        has = "has" if len(left) == 1 else "have"
        yield f"{len(left)} of {len(outcomes)} claims {has} not been run."


def _miss(claim: Claim, result: Result) -> str:
    text = (
        f"{sentence(claim.statement)} Expected: {promise(claim)}; found: {figure(result.value, 4)}"
    )
    if result.interval:
        text += f" ({interval(result.interval)})"
    text += f" {claim.unit}" if result.value is not None else f" ({result.error})"
    return f"{text}."


def moment(date: str) -> datetime:
    """A date of a result."""
    return datetime.fromisoformat(date)


def day(date: str) -> str:
    """``"2026-11-27T05:02:54+00:00"`` -> ``"27 November 2026"``."""
    found = datetime.fromisoformat(date)
    return f"{found.day} {calendar.month_name[found.month]} {found.year}"


def month(date: str) -> str:
    """``"2024-06"`` -> ``"June 2024"``; a year stays one."""
    year, _, number = date.partition("-")
    return f"{calendar.month_name[int(number)]} {year}" if number else year


def sentence(text: str) -> str:
    """Ends with a full stop."""
    text = text.strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def tex(text: str) -> str:
    """Text that TeX prints as it stands."""
    return "".join(_TEX.get(sign, sign) for sign in " ".join(text.split()))


def bibtex(card: Card, date: str) -> str:
    """A ``@misc`` entry; a field that the card does not know is left out."""
    year, _, month = date.partition("-")
    entry = {
        "title": f"{{{tex(card.title)}}}",
        "author": " and ".join(map(tex, card.authors or ())),
        "year": year,
        "month": _MONTHS[int(month) - 1] if month else "",
        "eprint": tex(card.arxiv or ""),
        "archiveprefix": "arXiv" if card.arxiv else "",
        "howpublished": tex(card.venue or ""),
    }
    key = re.sub(r"[^a-z0-9-]", "", card.slug) + year
    lines = [
        f"  {name} = {value}," if name == "month" else f"  {name} = {{{value}}},"
        for name, value in entry.items()
        if value
    ]
    return "\n".join([f"@misc{{{key},", *lines, "}"])


def place(claim: Claim, result: Result) -> dict[str, float] | None:
    """Where a result and the promise lie on one scale, for a small drawing.

    Returns:
        Positions from 0 to 100 of ``value``, of the ends ``low`` and ``high`` of its interval, and
        of the ends ``from`` and ``to`` of what would hold; ``None`` without a published figure.
    """
    if claim.published is None or result.value is None:
        return None
    low, high = result.interval or (result.value, result.value)
    ends = [claim.published - claim.tolerance, claim.published + claim.tolerance]
    least, most = min(low, result.value, *ends), max(high, result.value, *ends)
    room = 0.18 * (most - least) or max(abs(most), 1.0)
    least, most = least - room, most + room
    if not math.isfinite(most - least):
        return None
    if claim.direction == "at least":
        ends[1] = most
    elif claim.direction == "at most":
        ends[0] = least

    def at(value: float) -> float:
        return round(100 * (value - least) / (most - least), 1)

    return {
        "value": at(result.value), "low": at(low), "high": at(high),
        "from": at(ends[0]), "to": at(ends[1]),
    }  # fmt: skip
