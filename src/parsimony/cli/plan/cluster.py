"""``parsimony plan cluster``: the layouts that fit a cluster, fastest first; why others do not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from parsimony.cli import options
from parsimony.cli.tables import table

if TYPE_CHECKING:
    import pandas as pd


def command(
    model: Annotated[
        str,
        typer.Argument(
            help="gpt-22b, gpt-175b or gpt-1t; a folder or hub name with a transformers config; "
            'or numbers, "layers=24,hidden=2048,heads=16".'
        ),
    ],
    cluster: Annotated[
        str, typer.Argument(help="frontier, dgx-h100, h200 or laptop; or a YAML file.")
    ],
    batch: Annotated[int, typer.Option("--batch", help="Sequences in a step.")] = 1024,
    sequence: Annotated[int, typer.Option("--sequence", help="Tokens in a sequence.")] = 2048,
    devices: Annotated[
        int | None,
        typer.Option("--devices", help="How many to use; all when left out.", show_default=False),
    ] = None,
    fix: Annotated[
        str,
        typer.Option(
            "--fix",
            help='Knobs that are not free, such as "tensor=2|4,recompute=full". Knobs: tensor, '
            "pipeline, data, zero, micro_batch, recompute, chunks.",
            show_default=False,
        ),
    ] = "",
    states: Annotated[
        str, typer.Option("--states", help="Bytes of a parameter: adam16, adam18 or frontier.")
    ] = "adam16",
    flash: Annotated[
        bool, typer.Option("--flash/--no-flash", help="Attention keeps no scores.")
    ] = True,
    sequence_parallel: Annotated[
        bool, typer.Option("--sequence-parallel", help="Tensor parallelism splits the norms too.")
    ] = False,
    schedule: Annotated[str, typer.Option("--schedule", help="1f1b or gpipe.")] = "1f1b",
    overlap: Annotated[
        bool, typer.Option("--overlap", help="Replicas exchange during the last backward pass.")
    ] = False,
    across_nodes: Annotated[
        bool, typer.Option("--across-nodes", help="Tensor parallelism may leave a node.")
    ] = False,
    importance: Annotated[
        bool, typer.Option("--importance", help="Say how much each knob matters.")
    ] = False,
    top: Annotated[int, typer.Option("--top", help="Layouts to show.")] = 5,
    out: options.Out = None,
    report: options.Report = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Find the layouts of MODEL on CLUSTER that fit and train fastest; nothing is run.

    --out writes the fastest one as YAML. Exits with 3 where none fits.
    """
    from dataclasses import asdict

    from parsimony.cli.main import emit
    from parsimony.core import units
    from parsimony.core.console import Console
    from parsimony.core.errors import InputError
    from parsimony.plan.cluster import hardware, layouts, model_shape, nearest, plan_file, rules
    from parsimony.plan.cluster.search import importances
    from parsimony.plan.cluster.training import Training
    from parsimony.plan.pages import cluster as pages

    if top < 1:
        raise InputError("--top must be positive", got=top)
    space = layouts.Space.parse(fix)
    training = Training(
        batch, sequence, states, flash, sequence_parallel, schedule, overlap, across_nodes
    )
    machine = hardware.load(cluster)
    machine = machine if devices is None else machine.part(devices)
    shape = model_shape.read(model)
    found = layouts.plan(shape, machine, training, space)
    works = found[found["reason"] == ""]
    if works.empty:
        raise nearest.refusal(found, shape, machine, training, space)
    best, missed = works.iloc[0], layouts.near_misses(found, top)
    doubts = rules.doubts(best)
    shares = importances(found).to_dict() if importance else {}
    if out is not None:
        plan_file.write(out, best, shape, machine, training)
        Console(quiet).say(f"The fastest layout is written to {out}")
    if report is not None:
        page = pages.page(found, shape, machine, training, doubts, top)
        options.save_report(page, report, Console(quiet))
    if json:
        emit(
            {
                "model": {**asdict(shape), "parameters": shape.parameters},
                "cluster": machine.model_dump(mode="json"),
                "training": asdict(training),
                "tried": len(found),
                "fit": len(works),
                "layouts": [plan_file.plain(row) for _, row in works.head(top).iterrows()],
                "near_misses": [plan_file.plain(row) for _, row in missed.iterrows()],
                "doubts": doubts,
                "importance": shares,
            }
        )
        return
    if not quiet:
        print(f"{units.format_count(shape.parameters)} parameters on {machine}")
        print(f"{len(works):,} of {len(found):,} layouts fit; the fastest:")
    _layouts(works.head(top))
    _causes(best)
    if importance:
        words = ", ".join(f"{knob} {share:.1%}" for knob, share in shares.items())
        print(f"\nOf the variance of the throughput: {words}")
    if len(missed):
        print("\nFaster, had a device more memory:")
        for _, row in missed.iterrows():
            print(f"{nearest.describe(row)}: {row['reason']}")
    for doubt in doubts:
        print(f"\nDoubtful: {doubt}")


def _layouts(rows: pd.DataFrame) -> None:
    """One line for each layout."""
    from parsimony.core import units
    from parsimony.plan.cluster.layouts import KNOBS

    table(
        [*KNOBS, "memory", "step", "samples/s", "TFLOPS", "of peak", "without recompute"],
        [
            [*(str(row[knob]) for knob in KNOBS), units.format_bytes(row["memory"]),
             units.format_seconds(row["seconds"]), f"{row['samples_per_second']:.4g}",
             f"{row['tflops']:.1f}", f"{row['hardware_share']:.2%}", f"{row['model_share']:.2%}"]
            for _, row in rows.iterrows()
        ],
        numbers=range(len(KNOBS) + 6),
    )  # fmt: skip


def _causes(best: pd.Series) -> None:
    """What memory and time of a layout are for."""
    from parsimony.core import units
    from parsimony.plan.cluster.memory import CAUSES
    from parsimony.plan.cluster.time import SPENT_ON

    memory = ", ".join(f"{cause} {units.format_bytes(best[cause])}" for cause in CAUSES)
    spent = ", ".join(f"{c.replace('_', ' ')} {best[c] / best['seconds']:.1%}" for c in SPENT_ON)
    print(f"\nThe fastest one's heaviest stage is the {best['stage']}: {memory}")
    print(f"Its time: {spent}")
    if best["replica_comm_hidden"]:
        hidden = units.format_seconds(best["replica_comm_hidden"])
        print(f"Hidden behind the backward pass: {hidden} of the replicas' communication")
