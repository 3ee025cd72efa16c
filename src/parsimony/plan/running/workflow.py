"""Runs a plan in a run folder: predicts, starts the processes, and grades the prediction.

Beside what every run has, the folder holds ``plan.json`` (the layout that runs now),
``prediction.json``, ``measured.json`` (what the processes saw), ``measurement.json``, ``page.json``
for ``parsimony report``, and ``cluster.yaml``, the plan's cluster with the measured figures, for
``plan cluster`` to plan again.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from parsimony.core import artifacts, devices, headlines, ledger, pages, workers
from parsimony.core.console import Console
from parsimony.core.errors import InputError, nearest
from parsimony.core.footprint import Figure, Footprint
from parsimony.core.headlines import Headline
from parsimony.core.run import Run
from parsimony.plan.cluster import plan_file
from parsimony.plan.cluster.plan_file import Plan
from parsimony.plan.pages.running import page
from parsimony.plan.running import launch, pipeline, tokens

OPTIMIZERS = ("adamw", "sgd")
PRECISIONS = ("fp32", "bf16")


@dataclass(frozen=True)
class Settings:
    """How to run a plan, apart from its layout.

    Attributes:
        steps: of the training.
        data: of ``tokens.SOURCES``.
        schedule: of ``pipeline.SCHEDULES``; ``None`` for the plan's own.
        optimizer: of ``OPTIMIZERS``.
        learning_rate: constant.
        precision: of ``PRECISIONS``; weights are in 32 bits in either.
        backend: gloo on CPU, nccl on CUDA; ``None`` for what the machine has.
        checkpoint_every: steps from one checkpoint to the next; the last step always has one.
        timeout: seconds that a process waits for the others before it gives up.
        seed: of weights and data.

    Raises:
        InputError: an unknown name, or a number that is not positive.
    """

    steps: int = 10
    data: str = "stdlib-code"
    schedule: str | None = None
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    precision: str = "fp32"
    backend: str | None = None
    checkpoint_every: int = 10
    timeout: float = 300.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "learning_rate", "checkpoint_every", "timeout"):
            if not getattr(self, name) > 0:
                rule = f"--{name.replace('_', '-')} must be positive"
                raise InputError(rule, got=getattr(self, name))
        for name, known in (("optimizer", OPTIMIZERS), ("precision", PRECISIONS)):
            value = getattr(self, name)
            if value not in known:
                raise InputError(f"unknown {name} '{value}'", hint=nearest(value, known))


def settle(plan: Plan, settings: Settings) -> Settings:
    """``settings`` with what was left open, after checking that the plan can run with them here.

    Raises:
        InputError: it cannot.
    """
    name = settings.schedule or plan.training.schedule
    pipeline.check(name, plan.layout.pipeline, plan.layout.chunks, plan.micro_batches)
    if plan.training.sequence_parallel:
        raise InputError(
            "a plan with sequence_parallel cannot be run: norms are whole on every device here",
            hint="Plan without --sequence-parallel",
        )
    if plan.shape.vocabulary % plan.layout.tensor:
        raise InputError(
            "tensor parallelism must divide the vocabulary of a model that runs",
            got=(plan.layout.tensor, plan.shape.vocabulary), hint="Pad the vocabulary",
        )  # fmt: skip
    if plan.shape.positions and plan.training.sequence > plan.shape.positions:
        raise InputError(
            "a sequence must fit the model's positions",
            got=(plan.training.sequence, plan.shape.positions),
        )
    if devices.count() not in (1, plan.layout.devices):
        raise InputError(
            f"the layout is for {launch.processes_of(plan.layout.devices)}, as many as torchrun "
            "must start",
            got=devices.count(), hint="Without torchrun, plan run starts them itself",
        )  # fmt: skip
    backend = launch.backend(settings.backend, _here(plan))
    return replace(settings, schedule=name, backend=backend)


def start(
    plan: Plan, settings: Settings, folder: Path, given: set[str], console: Console, port: int = 0
) -> dict[str, Any]:
    """Run a plan in a new folder.

    Args:
        plan: what is run.
        settings: how.
        folder: new or empty.
        given: the settings that the user gave; the others are noted as defaults.
        console: shows the progress.
        port: for the processes' meeting; 0 for any free one.

    Returns:
        As ``measurement.json``.

    Raises:
        InputError: as ``settle``, or of ``launch.start``.
        ParsimonyError: a process failed.
    """
    settings = settle(plan, settings)
    launch.check_port(port)
    tokens.check(settings.data, plan)
    noted = {
        name: {"value": value, "source": "given" if name in given else "default"}
        for name, value in asdict(settings).items()
    }
    run = Run.create(folder, noted, settings.seed)
    with run.locked():
        return _go(run, plan, console, port)


def resume(folder: Path, plan: Plan | None, console: Console, port: int = 0) -> dict[str, Any]:
    """Go on with a run from its last checkpoint.

    Args:
        folder: of the run.
        plan: another layout of the same model and training; ``None`` for the run's own.
        console: shows the progress.
        port: as ``start``.

    Raises:
        InputError: no run of a plan; another model or training; as ``start``.
        ParsimonyError: a process failed.
    """
    run = Run.open(folder)
    if not run.has("plan.json"):
        raise InputError("--resume needs the folder of a 'plan run'", got=str(folder))
    with run.locked():
        own = plan_file.parse(run.read("plan.json"), str(folder / "plan.json"))
        if plan is not None and (plan.shape, plan.training) != (own.shape, own.training):
            different = "model" if plan.shape != own.shape else "training"
            raise InputError(
                f"a run goes on with another layout, but not with another {different}",
                hint="Take model and training from the plan that it began with",
            )
        if run.complete and plan is not None:
            raise InputError("a complete run has no steps left for another layout", got=str(folder),
                             hint="Start a new run with this plan")  # fmt: skip
        if run.complete:
            console.say(f"{folder} is complete")
            found: dict[str, Any] = run.read("measurement.json")
            return found
        settle(plan or own, Settings(**run.settings))
        return _go(run, plan or own, console, port)


def costs(plan: Plan, precision: str) -> pd.Series:
    """What the planner says of a plan in a precision; it counts in 16 bits.

    In 32 bits activations and messages have twice the bytes. Adam's states have 16 bytes for each
    parameter in either: 2 + 2 + 12, or 4 + 4 + 8.
    """
    if precision == "bf16":
        return plan.costs()
    links = tuple(
        link.model_copy(update={"bandwidth": link.bandwidth / 2}) for link in plan.cluster.links
    )
    slower = plan.cluster.model_copy(update={"links": links})
    found = replace(plan, cluster=slower).costs()
    return pd.Series({**found, "memory": found["memory"] + found["activations"]})


def predicted(plan: Plan, precision: str) -> Footprint:
    """One step on the plan's cluster, and its heaviest device."""
    found = costs(plan, precision)
    note = f"one step in {precision}, at the plan's efficiency, bandwidths and latencies"
    return Footprint(
        parameters=Figure(float(found["parameters"]), "computed", "on the heaviest device"),
        peak_memory=Figure(float(found["memory"]), "computed", f"the {found['stage']} stage"),
        seconds=Figure(float(found["seconds"]), "estimated", note),
    )


def _go(run: Run, plan: Plan, console: Console, port: int) -> dict[str, Any]:
    folder, settings = run.folder, run.settings
    run.write("plan.json", plan.document())
    tokens.prepare(folder, settings["data"], plan, settings["steps"])
    before = predicted(plan, settings["precision"])
    run.write("prediction.json", before.as_dict())
    again = f"parsimony plan run --resume {folder}"
    title = f"{launch.processes_of(plan.layout.devices)}: {plan.layout}"
    with console.phase(title, settings["steps"]) as bar:
        if devices.count() > 1:  # on one machine or on several, by torchrun
            job = {"folder": str(folder.resolve())}
            workers.engine("local", 1).map(f"{launch.WORKER}:take_part", [job], bar.advance)
        else:
            launch.start(folder, plan.layout.devices, port, again, lambda _: bar.advance())
    measurement = _grade(run, plan, before)
    run.finish()
    return measurement


def _grade(run: Run, plan: Plan, before: Footprint) -> dict[str, Any]:
    """Compare with the prediction, plan again with the measured figures, and store both."""
    from parsimony.plan.running import profile

    found = run.read("measured.json")
    on_cpu = run.settings["backend"] == "gloo"
    rule = "resident set of the process beyond torch" if on_cpu else "CUDA allocations"
    measured = Footprint(
        parameters=Figure(found["parameters"], "measured", "on the heaviest device"),
        peak_memory=Figure(found["memory"], "measured", rule),
        seconds=Figure(found["step_seconds"], "measured", f"median of {found['steps']} steps"),
    )
    command = f"measured by parsimony plan run, {plan.layout}, {run.settings['precision']}"
    cluster = profile.measured_cluster(
        plan, found["compute"], found["links"], found["optimizer_seconds"],
        profile.device_memory(on_cpu, _here(plan)), command,
    )  # fmt: skip
    text = yaml.safe_dump(cluster.fields(), sort_keys=False)
    artifacts.write_text(run.folder / "cluster.yaml", text)
    again = costs(replace(plan, cluster=cluster), run.settings["precision"])
    subject = str(plan.layout)
    entries = ledger.compare(subject, before, measured, verb="plan run")
    ledger.write(run.folder, entries)
    step, computed = found["step_seconds"], plan.micro_batches * found["compute"]["seconds"]
    tokens_per_step = plan.training.batch * plan.training.sequence
    losses = _losses(run.folder)
    measurement = {
        **measured.as_dict(),
        "layout": subject,
        "losses": losses,
        "tokens_per_second": tokens_per_step / step,
        "compute_seconds": computed,
        "optimizer_seconds": found["optimizer_seconds"],
        "other_seconds": step - computed - found["optimizer_seconds"],
        "efficiency": cluster.efficiency,
        "predicted_seconds": before.seconds.value,
        "seconds_with_measured_figures": float(again["seconds"]),
    }
    run.write("measurement.json", measurement)
    told = {
        "measured": (computed, found["optimizer_seconds"], measurement["other_seconds"]),
        "predicted": _parts(costs(plan, run.settings["precision"])),
        "predicted with the measured figures": _parts(again),
    }
    run.write(pages.FILE, page(measurement, told, entries).model_dump(mode="json"))
    once, predicted = headlines.ONCE, before.seconds.value
    numbers = [
        Headline(name="seconds of a step", value=step, unit="seconds",
                 reason=f"a median of {found['steps']} steps of one run"),
        Headline(name="peak memory", value=found["memory"], unit="bytes", reason=once),
        Headline(name="tokens per second", value=tokens_per_step / step, reason=once),
        *([Headline(name="predicted seconds", value=predicted, unit="seconds", reason="predicted")]
          if predicted is not None else []),
    ]  # fmt: skip
    headlines.write(run.folder, "plan run", subject, numbers)
    return measurement


def _parts(found: pd.Series) -> tuple[float, float, float]:
    """Seconds of a step for each of ``pages.running.PARTS``, of what the planner says."""
    computed, stepped = float(found["compute"]), float(found["optimizer_step"])
    return computed, stepped, float(found["seconds"]) - computed - stepped


def _here(plan: Plan) -> int:
    """Processes on this machine: all, or those that torchrun started here."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", plan.layout.devices))


def _losses(folder: Path) -> list[float]:
    from parsimony.core.events import read_events

    return [event["loss"] for event in read_events(folder / "events.jsonl") if "loss" in event]
