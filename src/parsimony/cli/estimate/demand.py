"""``parsimony estimate demand``: forecast monthly demand, and say which forecaster to trust."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parsimony.cli import options
from parsimony.cli.tables import table as show

if TYPE_CHECKING:
    from parsimony.core.console import Console
    from parsimony.estimate.demand.estimator import DemandForecaster
    from parsimony.estimate.demand.table import DemandTable

Data = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="CSV or Parquet: keys ..._id then months YYYY-MM, or unique_id, ds, y.",
    ),
]
Levels = Annotated[
    str,
    typer.Option(
        "--levels",
        help="To sum DATA to, coarse first: total,skill_id; NAME=FILE is checked to add up.",
        show_default=False,
    ),
]
Parents = Annotated[
    Path | None,
    typer.Option(
        "--parents", help="CSV of child,parent: DATA holds all levels.", show_default=False
    ),
]
Lists = Annotated[
    Path | None,
    typer.Option("--rare", help="JSON list of the rare rows; else found.", show_default=False),
]
Breaks = Annotated[
    Path | None,
    typer.Option(
        "--breaks", help="JSON list of the rows with a break; else tested.", show_default=False
    ),
]


def command(
    data: Data,
    levels: Levels = "",
    parents: Parents = None,
    models: Annotated[
        str, typer.Option("--models", help="Names joined by commas; quick, all.")
    ] = "quick",
    task: Annotated[
        str, typer.Option("--task", help="standard, fair, low, break or break:KERNEL.")
    ] = "standard",
    context: Annotated[int, typer.Option("--context", help="Months a forecaster sees.")] = 6,
    horizon: Annotated[int, typer.Option("--horizon", help="Months it forecasts.")] = 3,
    validation: Annotated[int, typer.Option("--validation", help="Months to stop by.")] = 3,
    test: Annotated[int, typer.Option("--test", help="Months to report on, the last.")] = 6,
    ahead: Annotated[
        int | None,
        typer.Option("--ahead", help="Months to forecast after DATA, if not --horizon."),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", help="Beyond --horizon, feed forecasts back.")
    ] = False,
    reconcile: Annotated[
        str, typer.Option("--reconcile", help="bottom-up, top-down, ols or mint.")
    ] = "",
    select: Annotated[
        bool, typer.Option("--select/--single", help="Weigh the best few, or take the best one.")
    ] = True,
    clip: Annotated[bool, typer.Option("--clip", help="Set forecasts below 0 to 0.")] = False,
    level: Annotated[float, typer.Option("--level", help="Of the intervals.")] = 0.9,
    kind: Annotated[str, typer.Option("--kind", help="demand (counts) or proportion.")] = "demand",
    graph: Annotated[
        Path | None,
        typer.Option(
            "--graph",
            help="Pairs group,first,second: skills asked for together in training months.",
            show_default=False,
        ),
    ] = None,
    rare: Lists = None,
    breaks: Breaks = None,
    out: options.Out = None,
    report: options.Report = None,
    seed: options.Seed = 0,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Check DATA, score forecasters on its last months, and forecast the next."""
    from parsimony.cli.main import emit
    from parsimony.core.console import Console
    from parsimony.core.run import Run
    from parsimony.estimate.demand import DemandForecaster, forecaster, hierarchy, subsets
    from parsimony.estimate.demand import graph as graphs
    from parsimony.estimate.demand import table as tables

    console = Console(quiet)
    given = tables.read(data, kind)
    console.say(f"{len(given.values):,} series of {len(given.months)} months in {data}")
    summed = _levels(given, levels, console)
    settings = {
        "models": forecaster.chosen(models, graph is not None), "task": task,
        "context": context, "horizon": horizon, "validation": validation, "test": test,
        "levels": summed, "reconcile": reconcile, "select": select,
        "clip": clip, "level": level, "kind": kind, "seed": seed,
    }  # fmt: skip
    estimator = DemandForecaster(
        **settings,
        parents=None if parents is None else hierarchy.read_parents(parents),
        graph=None if graph is None else graphs.read_graph(graph, given),
        rare=None if rare is None else subsets.read_index(rare, len(given.values)),
        broken=None if breaks is None else subsets.read_index(breaks, len(given.values)),
    )
    plan = estimator.check(given)
    if dry_run:
        _preview(plan, settings["models"], json)
        return
    run = None
    if out is not None:
        files = {"data": str(data), "parents": str(parents or ""), "graph": str(graph or ""),
                 "rare": str(rare or ""),
                 "breaks": str(breaks or "")}  # fmt: skip
        run = Run.create(out, {n: {"value": v, "source": "command"} for n, v in
                               (settings | files).items()}, seed)  # fmt: skip
    with console.phase(f"Fitting {', '.join(settings['models'])}", 1) as phase:
        estimator.fit(given)
        phase.advance()
    forecasts = estimator.predict(ahead, recursive)
    if run is not None:
        _write(run, estimator, forecasts, ahead, recursive)
        console.say(f"Scores and forecasts are in {out}")
    if report is not None:
        from parsimony.estimate.demand.page import page

        options.save_report(page(estimator, data.name), report, console)
    if json:
        emit(estimator.as_dict())
        return
    _show(estimator, quiet)


def _levels(given: DemandTable, text: str, console: Console) -> list[str]:
    """Levels to sum to; those that are files are checked and left."""
    from parsimony.estimate.demand import hierarchy
    from parsimony.estimate.demand import table as tables

    summed = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        name, is_file, file = part.partition("=")
        if not is_file:
            summed.append(part)
            continue
        hierarchy.check_levels(given, tables.read(Path(file), given.kind), name)
        console.say(f"The level '{name}' of {file} is the sum of its parts in every month")
    return summed


def _preview(plan: Any, models: list[str], json: bool) -> None:
    from parsimony.cli.main import emit

    counts = {part: len(plan.origins(part)) for part in ("train", "validation", "test")}
    if json:
        emit({"models": models, "months": {"train": plan.train, "validation": plan.validation,
                                           "test": plan.test}, "windows": counts})  # fmt: skip
        return
    print(f"Months {plan.train}/{plan.validation}/{plan.test} to train, validate, test; "
          f"{counts['train']}, {counts['validation']}, {counts['test']} windows")  # fmt: skip
    print(f"Forecasters: {', '.join(models)}")


def _write(
    run: Any, estimator: DemandForecaster, forecasts: Any, ahead: int | None, recursive: bool
) -> None:
    from parsimony.core import pages
    from parsimony.estimate.demand import table as tables
    from parsimony.estimate.demand.page import page

    folder = run.folder
    tables.write_frame(estimator.summary_.reset_index(), folder / "summary.csv")
    tables.write_frame(forecasts, folder / "forecasts-long.csv")
    tables.write(estimator.forecast_table(ahead, recursive), folder / "forecasts-wide.csv")
    run.write("result.json", estimator.as_dict())
    run.write(pages.FILE, page(estimator, "the table").model_dump(mode="json"))
    run.finish()


def _show(estimator: DemandForecaster, quiet: bool) -> None:
    from parsimony.estimate.demand import evaluation, subsets

    names = list(estimator.summary_.index.unique("subset"))
    first = subsets.RARE if estimator.task == "low" and subsets.RARE in names else subsets.ALL
    for subset in sorted(names, key=lambda name: name != first):
        scored = evaluation.wide(estimator.summary_, subset)
        shown = [m for m in ("mae", "rmse", "smape", "rrmse", "mase", "wape", "pinball", "fairness")
                 if m in scored]  # fmt: skip
        rows = [
            [
                str(name),
                *(_cell(row[metric]) for metric in shown),
                f"{_cell(row['difference_low'])} .. {_cell(row['difference_high'])}",
                row["verdict"],
            ]
            for name, row in scored.iterrows()
        ]
        show(
            ["model", *(m.upper() if m != "fairness" else m for m in shown),
             "MAE less naive's, 95 %", "verdict"],
            rows, title=f"{subset}:", heading=True, numbers=range(1, len(shown) + 2),
        )  # fmt: skip
        if not quiet:
            print()
    for line in estimator.diagnosis_:
        print(line)


def _cell(value: float) -> str:
    return "-" if value != value else f"{value:.4g}"
