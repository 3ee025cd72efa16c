"""``parsimony plan pretrain``: what to train, on how much, and how."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parsimony.cli import options
from parsimony.cli.tables import table as show
from parsimony.core import units

if TYPE_CHECKING:
    import pandas as pd


def command(
    compute: Annotated[
        float | None,
        typer.Option("--compute", help="FLOPs of the training, 6 N D.", show_default=False),
    ] = None,
    params: Annotated[
        float | None,
        typer.Option("--params", help="N, with --tokens, not --compute.", show_default=False),
    ] = None,
    tokens: Annotated[
        float | None, typer.Option("--tokens", help="D, with --params.", show_default=False)
    ] = None,
    fitted: Annotated[
        Path | None,
        typer.Option(
            "--fit",
            help="A Chinchilla law of your own, from 'plan fit'.",
            show_default=False,
        ),
    ] = None,
    schedule: Annotated[
        str,
        typer.Option(
            "--schedule",
            help="Of the learning rate: cosine-fixed (ends at 1e-5), cosine-fraction, wsd, "
            "constant, power (a rate that knows no length of the run) or other.",
        ),
    ] = "cosine-fixed",
    hardware: Annotated[
        str | None,
        typer.Option(
            "--hardware",
            help="Where to: frontier, dgx-h100, h200, laptop or a YAML file; adds memory, time "
            "and energy.",
            show_default=False,
        ),
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option("--devices", help="Of --hardware; all when left out.", show_default=False),
    ] = None,
    sequence: Annotated[int, typer.Option("--sequence", help="Tokens of a sequence.")] = 2048,
    beyond: options.Beyond = False,
    report: options.Report = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Size, tokens, learning rate, batch size and loss, each with its interval and its law.

    Then the rate and the loss along the run.
    """
    from parsimony.cli.main import emit
    from parsimony.core.console import Console
    from parsimony.core.errors import InputError
    from parsimony.core.fitting import Fit
    from parsimony.plan.cluster import hardware as machines
    from parsimony.plan.laws import laws
    from parsimony.plan.pages import pretraining
    from parsimony.plan.pretraining import loss_curve, plan_pretraining, rates

    if devices is not None and hardware is None:
        raise InputError("--devices are those of --hardware, which is missing", got=devices)
    machine = None if hardware is None else machines.load(hardware)
    own = None if fitted is None else Fit.load(fitted, laws())
    found, notes = plan_pretraining(
        compute=compute, params=params, tokens=tokens, fitted=own, schedule=schedule,
        sequence=sequence, beyond=beyond,
        cluster=machine.part(devices) if machine is not None and devices is not None else machine,
    )  # fmt: skip
    value = found["value"]
    curve = loss_curve(value["params"], value["tokens"], own)
    curve["learning_rate"], unknown = rates(schedule, value, curve["tokens"].tolist())
    notes += (f"no rate along the run: {unknown}",) if unknown else ()
    if report is not None:
        options.save_report(pretraining.page(found, curve, notes), report, Console(quiet))
    if json:
        emit(
            {
                "plan": {name: _plain(row) for name, row in found.iterrows()},
                "curve": [_plain(row) for _, row in curve.iterrows()],
                "notes": list(notes),
            }
        )
        return
    show(
        ["quantity", "value", "low", "high", "law"],
        [
            [name, *(FORMS.get(name, _short)(v) if v == v else "-" for v in row[:3]), row[3]]
            for name, *row in found.itertuples()
        ],
        title="95 % intervals",
        numbers=range(1, 4),
    )
    show(
        ["tokens", "learning rate", "loss", "low", "high"],
        [
            [_short(row[name]) for name in ("tokens", "learning_rate", "loss", "low", "high")]
            for _, row in curve.iterrows()
        ],
        title="Along the run: the rate after warm-up, and the loss of a run that ends there",
        numbers=range(5),
    )
    for note in notes:
        Console(quiet).say(f"Note: {note}")


def _short(value: float) -> str:
    return "-" if value != value else f"{value:.4g}"


FORMS = {"memory_bytes": units.format_bytes, "seconds": units.format_seconds}
"""Of quantities that have a unit."""


def _plain(row: pd.Series) -> dict[str, object]:
    """What JSON can say: no NaN."""
    return {str(name): None if value != value else value for name, value in row.items()}
