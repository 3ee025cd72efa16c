"""Builds the page: reads the run folder, draws, renders one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import jinja2
from markupsafe import Markup

import parsimony
from parsimony.core import artifacts, units
from parsimony.core.errors import InputError
from parsimony.core.pages import Page
from parsimony.report import figures, look, numbers, schema, search

NAME = "report.html"


def write(run: Path, out: Path | None = None) -> Path:
    """Write the report of ``run`` from its files alone and return the path of the page.

    Args:
        run: a run folder with a ``page.json``, or with the ``result.json`` of an adaptation; what
            else that lacks is named on the page.
        out: the file to write; ``<run>/report.html`` when ``None``.

    Raises:
        ArtifactError: no such run, an unfinished run, or a file the report cannot read.
        InputError: ``out`` is not an .html file.
        MissingExtraError: matplotlib is not installed.
    """
    target = run / NAME if out is None else out
    check_name(target)
    page = schema.read_page(run)
    artifacts.write_text(target, _render(run) if page is None else _render_page(page))
    if artifacts.is_sealed(run) and target.resolve() == (run / NAME).resolve():
        _reseal(run)
    return target


def write_page(page: Page, out: Path) -> None:
    """Write a page that no run folder keeps.

    Raises:
        InputError: ``out`` is not an .html file.
        MissingExtraError: matplotlib is not installed.
    """
    check_name(out)
    artifacts.write_text(out, _render_page(page))


def check_name(target: Path) -> None:
    """Refuse to write a page over anything else.

    Raises:
        InputError: the file does not end in .html.
    """
    if target.suffix.lower() not in {".html", ".htm"} or target.is_dir():
        raise InputError("the report is a file that ends in .html", got=str(target))


def _reseal(run: Path) -> None:
    """Enter the rewritten page in the manifest; all other entries stay as they were sealed."""
    manifest = artifacts.read_json(run / artifacts.MANIFEST)
    manifest["files"][NAME] = artifacts.sha256(run / NAME)
    artifacts.write_json(run / artifacts.MANIFEST, manifest)


def _render(run: Path) -> str:
    result = schema.read_result(run)
    ledger = schema.read_ledger(run)
    events = {trial.id: schema.read_events(run, trial) for trial in result.trials}
    rows = result.leaderboard
    differences = [row.difference for row in rows if row.difference is not None]
    scores = numbers.Scores.of(result.metric, [row.score for row in rows])
    ranked = scores  # how the search's own metric is written, which may be another
    if result.searched != result.metric:
        ranked = numbers.Scores.of(result.searched, [])
    steps = search.steps(result)
    return _fill(
        f"{result.kind}.html.j2",
        result=result,
        best=result.recommended,
        ledger=ledger,
        config=schema.read_config(run),
        environment=schema.read_environment(run),
        scores=scores,
        ranked=ranked,
        score_scale=numbers.Scale.of([row.score for row in rows]),
        difference_scale=numbers.Scale.of(differences, zero=True),
        memory_reasons={
            entry.subject: entry.reason
            for entry in ledger or ()
            if entry.quantity == "peak_memory" and entry.reason
        },
        series=figures.series(result),
        steps=steps,
        rungs=search.rungs(steps),
        by_parameters=figures.quality_by_parameters(result, scores),
        by_memory=figures.quality_by_memory(result, scores),
        curves=[figures.learning_curves(result, ranked, events, n) for n in ("validation", "loss")],
        errors=figures.prediction_errors(result, ledger),
    )


def _render_page(page: Page) -> str:
    return _fill("page.html.j2", page=page, charts=figures.of_page(page))


def _fill(template: str, **values: object) -> str:
    script = look.SCRIPT.read_text(encoding="utf-8")
    return (
        _environment()
        .get_template(template)
        .render(
            **values,
            version=parsimony.__version__,
            # Files of this package, not input: they go into the page as they are.
            style=Markup(look.STYLE.read_text(encoding="utf-8")),  # noqa: S704
            script=Markup(script),  # noqa: S704
            script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        )
    )


def _environment() -> jinja2.Environment:
    environment = look.environment()
    environment.filters |= {
        "bytes": units.format_bytes,
        "count": units.format_count,
        "share": units.format_share,
        "quantity": numbers.quantity,
        "error": numbers.error,
        "plain": numbers.plain,
        "settings": numbers.settings,
    }
    return environment
