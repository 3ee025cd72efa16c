"""``parsimony adapt intrinsic``: how many trained values a problem needs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parsimony.cli import options
from parsimony.cli.adapt.adapt import Label, Task, Text
from parsimony.cli.tables import table


def command(
    model: Annotated[
        str, typer.Argument(help="Built-in name, folder, or hub name 'owner/name'.")
    ] = "minilm",
    data: Annotated[
        str, typer.Argument(help="Table, folder, built-in name, or hub name 'owner/name'.")
    ] = "stdlib-docs",
    text: Text = None,
    label: Label = None,
    task: Task = None,
    projection: Annotated[
        str, typer.Option("--projection", help="sparse, fastfood, dense or orthonormal.")
    ] = "sparse",
    rate: Annotated[
        float, typer.Option("--learning-rate", help="In the subspace; search it too.")
    ] = 2e-2,
    direct: Annotated[
        float, typer.Option("--direct-learning-rate", help="Of direct training.")
    ] = 1e-4,
    epochs: Annotated[float, typer.Option("--epochs", help="Passes over the data a run.")] = 3.0,
    seeds: Annotated[int, typer.Option("--seeds", help="Runs of each dimension.")] = 2,
    start: Annotated[int, typer.Option("--start", help="First dimension tried.")] = 16,
    precision: Annotated[
        float, typer.Option("--precision", help="Largest ratio of the two ends of the bracket.")
    ] = 1.5,
    fraction: Annotated[
        float, typer.Option("--fraction", help="Of what direct training reaches.")
    ] = 0.9,
    baseline: Annotated[
        float | None,
        typer.Option(
            "--baseline",
            help="Score to take the fraction of, not direct training's.",
            show_default=False,
        ),
    ] = None,
    batch: options.Batch = 16,
    window: options.Window = None,
    limit: options.Limit = None,
    device: options.Device = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="CSV file for all runs.", show_default=False)
    ] = None,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure the intrinsic dimension of fine-tuning MODEL on DATA: how few values would do."""
    from dataclasses import asdict

    from parsimony.adapt.subspace_runs import Settings, measure
    from parsimony.adapt.workflow import Request
    from parsimony.cli.main import emit
    from parsimony.core import artifacts
    from parsimony.core.console import Console

    request = Request(
        model=model, data=data, text=text, label=label, task=task, batch=batch, window=window,
        limit=limit, device=device, seed=seed,
    )  # fmt: skip
    settings = Settings(
        kind=projection, learning_rate=rate, direct_learning_rate=direct, epochs=epochs,
        seeds=seeds, start=start, precision=precision, fraction=fraction, baseline=baseline,
    )  # fmt: skip
    measured, made = measure(request, settings, Console(quiet))
    if out is not None:
        artifacts.write_text(out, measured.curve.to_csv(index=False))
    found, spread = measured.found, measured.spread
    share = None if found.dimension is None else found.dimension / made["D"]
    if json:
        known = {k: v for k, v in asdict(spread).items() if v == v}  # JSON has no not-a-number
        emit({
            **asdict(found), "share": share, "spread": known,
            "runs": measured.curve.to_dict("records"), "settings": made,
        })  # fmt: skip
        return
    means = measured.curve.groupby("d")["score"].agg(["mean", "count"])
    table(
        ["d", made["metric"], "runs"],
        [
            [str(d) if d else "direct", f"{mean:.4g}", str(int(count))]
            for d, mean, count in means.itertuples()
        ],
        title=f"Validation {made['metric']} by dimension of the subspace",
        numbers=range(3),
    )
    name = f"d_int{100 * fraction:.0f}"
    if found.dimension is None:
        print(f"{name}: above {found.largest}, the largest d tested (D = {made['D']})")
    else:
        print(
            f"{name} = {found.dimension}, above {found.below or 0}: {100 * share:.2g} % of "
            f"D = {made['D']} (threshold {found.threshold:.4g}; one run per d gives "
            f"{spread.low:.0f} to {spread.high:.0f} in 95 % of draws)"
        )
    if found.last_failure is not None:
        print(f"Not monotone: d = {found.last_failure} fails again; more seeds would tell")
    print(
        f"Measured with {made['optimizer']}, learning rate {rate:g} (direct {direct:g}), "
        f"{made['steps']} steps of {batch} rows, {projection} projection, {seeds} runs of each d"
    )
