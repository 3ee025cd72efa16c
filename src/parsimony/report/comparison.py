"""Two runs of one command side by side: what was set otherwise, what came out otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parsimony.core import headlines
from parsimony.core.errors import ArtifactError, InputError
from parsimony.core.headlines import Headline, Headlines
from parsimony.core.pages import (
    Axis,
    Column,
    Estimate,
    Figure,
    Intervals,
    Page,
    Section,
    Table,
)
from parsimony.core.run import Run
from parsimony.report import numbers, schema


@dataclass(frozen=True)
class Difference:
    """One headline of two runs.

    Attributes:
        name: of the number.
        a, b: in the first and the second run; ``None`` where a run lacks it.
    """

    name: str
    a: Headline | None
    b: Headline | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The widest difference b - a that both intervals allow; ``None`` unless both have one."""
        if self.a is None or self.b is None:
            return None
        if self.a.low is None or self.a.high is None or self.b.low is None or self.b.high is None:
            return None
        return self.b.low - self.a.high, self.b.high - self.a.low

    @property
    def says(self) -> str:
        """The difference b - a in words, with its interval or the reason why it has none."""
        if self.a is None or self.b is None:
            return f"only in the {'second' if self.a is None else 'first'} run"
        gap = self.b.value - self.a.value
        told = numbers.difference(gap, self.a.unit)
        if self.interval is None:
            if gap == 0:
                return "the same"
            return f"{told} ({self.b.reason or self.a.reason})"
        low, high = self.interval
        if low <= 0 <= high:
            return "the same" if low == high else "no difference found"
        ends = ", ".join(numbers.difference(end, self.a.unit) for end in (low, high))
        return f"{told} [{ends}]"


@dataclass(frozen=True)
class Comparison:
    """What two runs share and where they part.

    Attributes:
        names: of their folders, told apart.
        command: of both.
        settings: name, value and source in each, of the settings that differ; ``None`` where a run
            lacks one.
        same: how many settings are equal.
        environment: name and value in each, of the versions and traits that differ.
        differences: of the headlines, in the order of the first run.
    """

    names: tuple[str, str]
    command: str
    settings: list[tuple[str, str | None, str | None]]
    same: int
    environment: list[tuple[str, str | None, str | None]]
    differences: list[Difference]

    @property
    def summary(self) -> str:
        """Both in a sentence."""
        clear = [d.name for d in self.differences if d.interval and "[" in d.says]
        return (
            f"{len(self.settings)} of {len(self.settings) + self.same} settings differ; "
            + (f"a difference shows in {', '.join(clear)}"
               if clear else "no difference found in a number that has an interval")
        )  # fmt: skip

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "command": self.command,
            "runs": list(self.names),
            "settings": [dict(zip(("name", "a", "b"), row, strict=True)) for row in self.settings],
            "same_settings": self.same,
            "environment": [
                dict(zip(("name", "a", "b"), row, strict=True)) for row in self.environment
            ],
            "numbers": [
                {
                    "name": d.name,
                    "a": d.a.model_dump() if d.a else None,
                    "b": d.b.model_dump() if d.b else None,
                    "interval": list(d.interval) if d.interval else None,
                    "says": d.says,
                }
                for d in self.differences
            ],
        }


def compare(a: Path, b: Path) -> Comparison:
    """Read two complete runs and set them side by side.

    Raises:
        ArtifactError: one is no run, is not complete, or has no headlines.
        InputError: they are one folder, or of two commands.
    """
    if a.resolve() == b.resolve():
        raise InputError("a run is compared with another", got=f"{a} twice", hint="Name two runs")
    told = _headlines(a), _headlines(b)
    if told[0].command != told[1].command:
        raise InputError(
            "runs of one command can be compared",
            got=f"{told[0].command} and {told[1].command}",
            hint="List them instead: leave out --compare",
        )
    settings, same = _apart(_settings(a), _settings(b))
    environment, _ = _apart(_environment(a), _environment(b))
    first, second = ({n.name: n for n in each.numbers} for each in told)
    return Comparison(
        names=_names(a, b),
        command=told[0].command,
        settings=settings,
        same=same,
        environment=environment,
        differences=[Difference(n, first.get(n), second.get(n)) for n in first | second],
    )


def _headlines(folder: Path) -> Headlines:
    Run.open(folder)
    found = headlines.read(folder)
    if found is None:
        raise ArtifactError(
            f"{folder} has no {headlines.FILE}, so there is nothing to compare",
            hint="Continue the run that is not finished, or run it again with this version",
        )
    return found


def _names(a: Path, b: Path) -> tuple[str, str]:
    """As short as tells them apart."""
    return (a.name, b.name) if a.name != b.name else (str(a), str(b))


def _settings(folder: Path) -> dict[str, str]:
    config = schema.read_config(folder)
    return {} if config is None else {
        name: f"{numbers.plain(entry.value)} ({entry.source})"
        for name, entry in config.settings.items()
    }  # fmt: skip


def _environment(folder: Path) -> dict[str, str]:
    found = schema.read_environment(folder)
    if found is None:
        return {}
    return {name: numbers.plain(v) for name, v in (found.versions | found.machine).items()}


def _apart(
    a: Mapping[str, str], b: Mapping[str, str]
) -> tuple[list[tuple[str, str | None, str | None]], int]:
    """What differs, and how many do not."""
    names = list(dict.fromkeys([*a, *b]))
    apart = [(name, a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name)]
    return apart, len(names) - len(apart)


def tables(found: Comparison) -> list[tuple[str, tuple[str, ...], list[Any]]]:
    """Title, columns and rows of what a comparison says; a list of rows may be empty."""
    cells = [
        (
            each.name,
            numbers.headline(each.a) if each.a else None,
            numbers.headline(each.b) if each.b else None,
            each.says,
        )
        for each in found.differences
    ]
    return [
        ("Numbers", ("number", *found.names, "second less first"), cells),
        ("Settings that differ", ("setting", *found.names), found.settings),
        ("Machine and versions that differ", ("what", *found.names), found.environment),
    ]


def page(found: Comparison) -> Page:
    """The comparison as a page."""
    texts = (
        "Each with its 95 % interval, or why it has none.",
        "Where a value came from stands in brackets." if found.settings else "None.",
        "" if found.environment else "None.",
    )
    return Page(
        command="report",
        title=" and ".join(found.names),
        summary=found.summary,
        sections=[
            Section(
                title=title,
                text=text,
                figures=_figures(found) if title == "Numbers" else [],
                table=Table(columns=[Column(name=name) for name in columns],
                            rows=[list(row) for row in rows]) if rows else None,
            )
            for (title, columns, rows), text in zip(tables(found), texts, strict=True)
        ],
        notes=["Two runs are no pairs: the interval of a difference is the widest that both "
               "intervals allow. A comparison inside one run is paired, and narrower."],
    )  # fmt: skip


def _figures(found: Comparison) -> list[Figure]:
    figures: list[Figure] = []
    for each in found.differences:
        if each.a is None or each.b is None or each.interval is None:
            continue
        rows = [
            Estimate(name=name, value=number.value, low=number.low, high=number.high)
            for name, number in zip(found.names, (each.a, each.b), strict=True)
        ]
        figures.append(Intervals(title=each.name, x=Axis(label="", unit=each.a.unit), rows=rows))
    return figures
