"""The charts of the report. Each is an SVG, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from markupsafe import Markup

from parsimony.core import charts, units
from parsimony.core import figures as drawing
from parsimony.core.pages import Page
from parsimony.report.numbers import Scores, error_tick
from parsimony.report.schema import Entry, Result, Row, Trial

Events = Sequence[Mapping[str, object]]


@dataclass(frozen=True)
class Chart:
    """A drawing with what to know about it, or ``reason`` alone.

    ``legend`` has sign, colour and name of what is drawn, where the drawing does not name it.
    """

    title: str
    svg: Markup | None = None
    note: str = ""
    reason: str = ""
    legend: Sequence[tuple[str, int | None, str]] = ()


def of_page(page: Page) -> list[list[Chart]]:
    """The figures of each section of a page."""
    return [
        [
            Chart(
                figure.title,
                Markup(drawing.draw(figure, f"figure-{place}-{index}")),  # noqa: S704  (as below)
                figure.note,
                legend=drawing.legend(figure),
            )
            for index, figure in enumerate(section.figures)
        ]
        for place, section in enumerate(page.sections)
    ]


def series(result: Result) -> dict[str, int]:
    """The colour of each finalist: the recommended one first, then by rank."""
    names = [result.recommendation.candidate, *(row.candidate for row in result.leaderboard)]
    return {name: index for index, name in enumerate(dict.fromkeys(names))}


def quality_by_parameters(result: Result, scores: Scores) -> Chart:
    """Test score over trainable parameters, on a logarithmic axis."""
    rows = [row for row in result.leaderboard if row.trainable]
    absent = [row.candidate for row in result.leaderboard if not row.trainable]
    title = f"{_metric(result)} against trainable parameters"
    if not rows:
        return Chart(title, reason="No finalist says how many parameters it trains.")
    x = charts.Axis("trainable parameters, logarithmic", units.format_count, log=True)
    points = [_point(result, row, float(row.trainable or 0)) for row in rows]
    note = f"Not drawn, no trainable parameters known: {', '.join(absent)}." if absent else ""
    return Chart(title, _quality(result, scores, points, x, "parameters", title), note)


def quality_by_memory(result: Result, scores: Scores) -> Chart:
    """Test score over peak memory; where none was measured, the prediction as an outline."""
    title = f"{_metric(result)} against peak memory"
    known = [(row, row.measured_memory or row.predicted_memory) for row in result.leaderboard]
    sized = [(row, memory) for row, memory in known if memory]
    absent = [row.candidate for row, memory in known if not memory]
    if not sized:
        return Chart(title, reason="Peak memory was neither measured nor predicted.")
    unit, size = ("GiB", 2.0**30) if max(m for _, m in sized) >= 2**30 else ("MiB", 2.0**20)
    points = [_point(result, row, m / size, hollow=not row.measured_memory) for row, m in sized]
    x = charts.Axis(f"peak memory while training, {unit}")
    notes = ["Outlined points are predictions."] if any(p.hollow for p in points) else []
    notes += [f"Not drawn, memory unknown: {', '.join(absent)}."] if absent else []
    return Chart(title, _quality(result, scores, points, x, "memory", title), " ".join(notes))


def learning_curves(
    result: Result, scores: Scores, events: Mapping[str, Events], name: str
) -> Chart:
    """``name`` ("validation" or "loss") over steps: finalists in colour, all others faint."""
    title = f"Validation {result.searched.name} over steps" if name == "validation" else (
        "Training loss over steps"
    )  # fmt: skip
    palette, lines = series(result), []
    for trial in result.trials:
        path = [(e["step"], e[name]) for e in events.get(trial.id, ()) if _drawable(e, name)]
        if path:
            colour = palette[trial.candidate] if is_finalist(result, trial) else None
            xs, ys = zip(*path, strict=True)
            lines.append(charts.Line(trial.candidate, xs, ys, colour))
    if not lines:
        return Chart(title, reason=f"No trial folder holds {name} events (events.jsonl).")
    missing = len(result.trials) - len(lines)
    svg = charts.curves(
        lines,
        key=f"curve-{name}",
        title=f"{title}, {len(lines)} trials",
        x=charts.Axis("training step", "{:,.0f}".format),
        y=charts.Axis(
            f"validation {result.searched.name}" if name == "validation" else "training loss",
            scores.tick if name == "validation" else "{:.3g}".format,
        ),
    )
    note = f"{missing} of {len(result.trials)} trials left no {name} events." if missing else ""
    return Chart(title, Markup(svg), note)  # noqa: S704  (markup of our own, text escaped)


def prediction_errors(result: Result, ledger: Sequence[Entry] | None) -> Chart:
    """Relative error of each prediction, one strip per quantity."""
    title = "Relative error of the predictions"
    palette = series(result)
    rows: dict[str, list[charts.Point]] = {}
    for entry in ledger or ():
        if entry.error is not None:
            colour = palette.get(entry.subject, len(palette))
            point = charts.Point(entry.subject, entry.error, 0.0, series=colour)
            rows.setdefault(entry.quantity.replace("_", " "), []).append(point)
    if not rows:
        return Chart(title, reason="No quantity was both predicted and measured.")
    mean = fmean(abs(point.x) for row in rows.values() for point in row)
    svg = charts.strips(
        rows,
        key="errors",
        title=title,
        x=charts.Axis("too low  ←  relative error  →  too high", error_tick),
    )
    note = f"Colours as in the leaderboard. Mean absolute error {100 * mean:.1f}%."
    return Chart(title, Markup(svg), note)  # noqa: S704  (markup of our own, text escaped)


def is_finalist(result: Result, trial: Trial) -> bool:
    """Whether ``trial`` ran a leaderboard row's candidate with that row's settings."""
    return any(
        row.candidate == trial.candidate
        and all(row.settings[k] == v for k, v in trial.settings.items() if k in row.settings)
        for row in result.leaderboard
    )


def _quality(
    result: Result,
    scores: Scores,
    points: Sequence[charts.Point],
    x: charts.Axis,
    key: str,
    title: str,
) -> Markup:
    baseline = result.baseline and result.baseline.candidate
    heights = [row.score.estimate for row in result.leaderboard if row.candidate == baseline]
    svg = charts.scatter(
        points,
        key=key,
        title=f"{title}: {len(points)} finalists with intervals",
        x=x,
        y=charts.Axis(f"test {result.metric.name}", scores.tick),
        reference=("baseline", heights[0]) if heights else None,
    )
    return Markup(svg)  # noqa: S704  (markup of our own, text escaped)


def _point(result: Result, row: Row, x: float, *, hollow: bool = False) -> charts.Point:
    return charts.Point(
        row.candidate,
        x,
        row.score.estimate,
        row.score.low,
        row.score.high,
        series=series(result)[row.candidate],
        hollow=hollow,
        marked=row.candidate == result.recommendation.candidate,
    )


def _drawable(event: Mapping[str, object], name: str) -> bool:
    return all(isinstance(event.get(key), int | float) for key in ("step", name))


def _metric(result: Result) -> str:
    return f"Test {result.metric.name}"
