"""``adapt``: from a model, data and a budget to a chosen adapter and its evidence.

Phases, each leaving its files before the next starts, so that a killed run goes on where it was:
plan (``data/``, ``plan.json``), search (``trials/``), choice (``result.json``,
``leaderboard.csv``, the artifact), report, manifest.
"""

from __future__ import annotations

import math
import os
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from parsimony.adapt import outcome, search, solve
from parsimony.adapt.method import method, methods
from parsimony.adapt.setup import Plan, Setup
from parsimony.core import (
    artifacts,
    data,
    devices,
    inputs,
    pretrained,
    thrift,
    training,
    units,
    workers,
)
from parsimony.core.budget import Budget
from parsimony.core.console import Console
from parsimony.core.errors import InputError, require
from parsimony.core.run import Run, provenance
from parsimony.core.scoring import BESIDE, METRICS, searched
from parsimony.core.thrift import Thrift


@dataclass(frozen=True)
class Request:
    """What the user asked for; ``None`` means 'decide for me'.

    Attributes:
        model: built-in name, folder or hub name.
        data: see ``core.data.load``.
        budget: limits.
        text: text column(s), or the column of sounds.
        label: label column.
        task: see ``core.data.Task``.
        methods: names to consider; all when empty.
        epochs: passes over the training data.
        configurations: drawn per method.
        finalists: methods in the final comparison.
        seeds: of the final comparison, at least 3.
        batch: rows per step.
        window: longest input, in tokens of text or frames of sound.
        limit: use this many rows of the data.
        answers: held-out rows of a split that each finalist answers, of the task code.
        new_tokens: longest answer, in tokens.
        device: ``"cpu"`` or ``"cuda"``.
        workers: trials side by side.
        base: form of the frozen weights (see ``core.thrift``), or ``"auto"``.
        checkpointing: compute activations again instead of keeping them.
        accumulation: parts that the rows of a step are split into.
        engine: ``"local"`` or ``"ray"``.
        address: of a Ray cluster.
        processes: that torchrun started to share each training.
        seed: every random choice derives from it.
    """

    model: str = "minilm"
    data: str = "stdlib-docs"
    budget: Budget = field(default_factory=Budget)
    text: str | None = None
    label: str | None = None
    task: str | None = None
    methods: tuple[str, ...] = ()
    epochs: float | None = None
    configurations: int | None = None
    finalists: int | None = None
    seeds: int | None = None
    batch: int = 16
    window: int | None = None
    limit: int | None = None
    answers: int = 64
    new_tokens: int = 128
    device: str | None = None
    workers: int | None = None
    base: str = "auto"
    checkpointing: bool | None = None
    accumulation: int | None = None
    engine: str = "local"
    address: str | None = None
    processes: int = 1
    seed: int = 0


def adapt(request: Request, folder: Path, console: Console) -> dict[str, Any]:
    """Run the whole of ``parsimony adapt`` into a new folder; returns ``result.json``.

    Raises:
        InputError: a setting, the model or the data is at fault.
        BudgetError: nothing fits the budget.
    """
    check(request)
    began = time.perf_counter()
    try:
        run = Run.create(folder, provenance(request, Request()), request.seed)
    except OSError as error:
        raise InputError(
            f"the run folder must be writable ({error.strerror})", got=str(folder),
            hint="Choose another --out",
        ) from error  # fmt: skip
    with run.locked():
        try:
            _plan(request, run, console, began)
        except Exception:
            # Nothing was spent yet; an empty shell would only be in the way of the next try.
            shutil.rmtree(folder)
            raise
        return _carry_out(run, request, console, began)


def resume(folder: Path, console: Console) -> dict[str, Any]:
    """Go on with a run that was stopped; a complete one is only read.

    Raises:
        ArtifactError: not a run folder.
    """
    run = Run.open(folder)
    with run.locked():
        if run.complete:
            console.say(f"{folder} is complete; nothing to do")
            found: dict[str, Any] = run.read("result.json")
            return found
        request = _request(run)
        if request.processes != devices.count():
            raise InputError(
                "a run goes on with as many processes as it began with", got=devices.count(),
                hint=f"Continue it with: {resume_command(folder, request.processes)}",
            )  # fmt: skip
        run.write("resumed.json", {"resumed": True})
        began = time.perf_counter()
        if not run.has("plan.json"):
            _plan(request, run, console, began)
        return _carry_out(run, request, console, began)


def resume_command(folder: Path, processes: int) -> str:
    """The command that goes on with a run."""
    launch = f"torchrun --nproc-per-node {processes} -m " if processes > 1 else ""
    return f"{launch}parsimony adapt --resume {shlex.quote(str(folder))}"


def preview(request: Request, scratch: Path, console: Console) -> dict[str, Any]:
    """``--dry-run``: validate and predict; nothing is trained but a few timed steps, once.

    Args:
        scratch: an empty folder that the caller deletes.
    """
    check(request)
    run = Run.create(scratch / "run", provenance(request, Request()), request.seed)
    plan, record = _plan(request, run, console, time.perf_counter(), weights=False)
    return {
        "candidates": [
            {"candidate": label, **{key: figure["value"] for key, figure in footprint.items()}}
            for label, footprint in record["options"].items()
        ],
        "dropped": record["dropped"],
        "steps": plan.steps,
        "configurations": len(plan.candidates),
        "seeds": len(plan.seeds),
        "predicted_seconds": record["seconds"],
        "data": record["data"],
    }


def check(request: Request) -> None:
    """Refuse settings that no model or data could make good.

    Raises:
        InputError: names the setting.
    """
    if request.seeds is not None and request.seeds < 3:
        raise InputError(
            "an interval over seeds needs at least three of them", got=request.seeds,
            hint="Use --seeds 3 or more",
        )  # fmt: skip
    for name in request.methods:
        method(name)
    for option in ("configurations", "finalists", "batch", "epochs", "window", "limit", "workers",
                   "answers", "new_tokens"):  # fmt: skip
        value = getattr(request, option)
        if value is not None and not 0 < value < math.inf:
            name = option.replace("_", "-")
            raise InputError(f"--{name} must be a positive number", got=value)
    if not 0 <= request.seed < 2**31:
        raise InputError("--seed must be a whole number from 0 to 2147483647", got=request.seed)
    for key in ("size", "latency", "energy"):
        if getattr(request.budget, key) is not None:
            raise InputError(
                f"adapt cannot keep a limit on '{key}'", got=str(request.budget),
                hint="Use trainable=, memory= and time=",
            )  # fmt: skip
    devices.check_batch(request.batch)
    allowed(request)
    if request.device not in (None, "cpu", "cuda"):
        raise InputError("--device is cpu or cuda", got=request.device)
    if request.device == "cuda" and training.default_device() != "cuda":
        raise InputError("--device cuda needs a CUDA device, and torch sees none")
    if (request.device or training.default_device()) == "cuda":
        devices.check_cuda()


def allowed(request: Request) -> thrift.Allowed:
    """What may be done to need less memory, with the rows of one process."""
    rows = request.batch // request.processes
    return thrift.allowed(request.base, request.checkpointing, request.accumulation, rows)


def _request(run: Run) -> Request:
    settings = run.settings
    return Request(
        **{
            **settings,
            "budget": Budget.parse(settings["budget"]),
            "methods": tuple(settings["methods"]),
        }
    )


def read(
    request: Request, folder: Path, console: Console, weights: bool = True
) -> tuple[Setup, dict[str, int], list[str]]:
    """Load model and data, and keep the encoded splits in ``folder``.

    Args:
        request: see ``Request``.
        folder: of the splits.
        console: where notices go.
        weights: the model must have them; without, its costs can be counted all the same.

    Returns:
        What all trainings share, the rows of each split, and what there is to say about the data.
    """
    console.say("Reading model and data")
    model = pretrained.find(request.model, weights)
    found = data.load(
        request.data,
        text=request.text,
        label=request.label,
        task=request.task,  # type: ignore[arg-type]
        seed=request.seed,
        limit=request.limit,
    )
    if found.task not in METRICS:
        raise InputError(
            "adapt trains on text and sounds", got=f"{found.name} is {found.task}",
            hint="Use it from Python: parsimony.core.data.load",
        )  # fmt: skip
    if model.sha256 and found.task in pretrained.NEXT_TOKEN:
        pretrained.load(model, found.task)  # refuses a model whose predictions see what follows
    reads = inputs.of(model, found.task)
    config = pretrained.config(model, found.task, found.labels)
    window, said = reads.window(found, config, request.window)
    rows = reads.keep(found, folder, window)
    setup = Setup(
        model=model,
        data=found.name,
        task=found.task,
        labels=found.labels,
        text=found.text,
        label=found.label,
        fingerprint=found.fingerprint,
        window=window,
        batch=request.batch,
        device=request.device or training.default_device(),
        threads=1,
        folder=folder,
        processes=request.processes,
    )
    notices = [*found.notices, *said]
    if found.task in BESIDE:
        setup = replace(setup, asked=request.answers, new_tokens=request.new_tokens)
        notices += _questions(setup, rows)
    for notice in notices:
        console.say(f"  {notice}")
    return setup, rows, notices


def _questions(setup: Setup, rows: dict[str, int]) -> Iterator[str]:
    """Sentences about the rows that are answered."""
    require("codebleu", "code")  # refuse its absence now, not after the search
    for split in ("validation", "test"):
        asked = len(setup.questions(split))
        if not asked:
            raise InputError(
                f"no prompt of the {split} split leaves room for an answer of "
                f"{setup.new_tokens} tokens in the window of {setup.window}",
                hint="Lower --new-tokens, or raise --window",
            )
        yield (
            f"finalists answer {asked} of the {rows[split]} {split} rows: the first whose prompt "
            f"leaves room for {setup.new_tokens} tokens in the window"
        )


def _plan(
    request: Request, run: Run, console: Console, began: float, weights: bool = True
) -> tuple[Plan, dict[str, Any]]:
    """Load the data, solve the sizes, time a few steps, draw the configurations."""
    setup, rows, notices = read(request, run.folder / "data", console, weights)
    timed = bool(setup.model.sha256)
    side_by_side = _workers(request, setup)
    workers.engine(request.engine, side_by_side, request.address)  # refuse it now, not later
    console.say("Counting what fits the budget")
    calibrated = calibrations(setup, side_by_side, console)
    options, dropped = solve.solve(
        setup, request.budget, request.methods or list(methods()),
        lambda form: calibrated(form).overhead if timed else 0.0, allowed(request),
    )  # fmt: skip
    fixed = {
        name: getattr(request, name)
        for name in ("epochs", "configurations", "finalists", "seeds")
        if getattr(request, name) is not None
    }
    speeds, seconds = {}, None
    if timed:
        speeds = {o.thrift.base: calibrated(o.thrift) for o in options.values()}
        side_by_side = _within_memory(side_by_side, options, speeds, request.budget)
        spent = time.perf_counter() - began
        scale, seconds = search.choose_scale(
            setup, options, speeds, rows, request.budget, spent, side_by_side, fixed
        )
    else:
        scale = search.scale_untimed(request.budget, fixed)
    steps = search.total_steps(rows["train"], setup.batch, scale.epochs)
    scored = search.rows_scored(rows)
    plan = search.draw(setup, options, scale, steps, request.seed, run.folder)
    traced = {o.label: o for o in options.values()}
    for drawn in sorted(plan.candidates, key=lambda c: (c.method, c.size)):
        if drawn.label not in traced:
            traced[drawn.label] = solve.option(setup, drawn.method, drawn.size, (), drawn.thrift)
    footprints = {
        name: solve.predict(
            option, speeds.get(option.thrift.base), steps, scored, 2 * setup.asked
        ).as_dict()
        for name, option in traced.items()
    }
    record = {
        "options": footprints,
        "base_parameters": solve.base_parameters(setup),
        "dropped": [asdict(d) for d in dropped],
        "seconds": seconds,
        "workers": side_by_side,
        "data": {
            "name": setup.data,
            "task": setup.task,
            "fingerprint": setup.fingerprint,
            "rows": rows,
            "classes": len(setup.labels) or None,
            "notices": notices,
        },
    }
    run.write("prediction.json", record)
    console.say(
        f"Plan: {len(plan.candidates)} configurations of {len(options)} methods, {plan.steps} "
        f"steps, {len(plan.seeds)} seeds; predicted "
        + ("memory only" if seconds is None else units.format_seconds(seconds))
    )
    plan.write(run.folder)
    return plan, record


def calibrations(
    setup: Setup, side_by_side: int, console: Console
) -> Callable[[Thrift], solve.Calibration]:
    """Tells a calibration; the first question about a form of the base times a few steps."""
    local = workers.engine("local", side_by_side)
    known: dict[str, solve.Calibration] = {}

    def calibrated(form: Thrift) -> solve.Calibration:
        if form.base not in known:
            console.say(f"Timing a few steps on a base in {form.base}")
            known[form.base] = solve.calibrate(setup, local, side_by_side, form)
        return known[form.base]

    return calibrated


def _within_memory(
    side_by_side: int,
    options: dict[str, solve.Option],
    speeds: dict[str, solve.Calibration],
    budget: Budget,
) -> int:
    """As many trainings side by side as the memory limit holds: it is a limit on all of them."""
    if budget.memory is None:
        return side_by_side
    peak = max(o.step.peak_bytes + speeds[o.thrift.base].overhead for o in options.values())
    return max(1, min(side_by_side, int(budget.memory // peak)))


def _workers(request: Request, setup: Setup) -> int:
    if request.workers is not None:
        return request.workers
    if setup.device != "cpu" or setup.processes > 1:
        return 1
    return max(1, min(os.cpu_count() or 1, 8))


def _carry_out(run: Run, request: Request, console: Console, began: float) -> dict[str, Any]:
    """Search, choose, report."""
    plan = Plan.read(run.folder)
    metric = METRICS[plan.setup.task]
    side_by_side = run.read("prediction.json")["workers"]
    engine = workers.engine(request.engine, side_by_side, request.address)
    sign = searched(plan.setup.task).sign
    outcomes, finalists = search.search(plan, run.folder, engine, sign, console.phase)
    result = outcome.write(run, plan, request.budget, outcomes, finalists, metric)
    outcome.grade(run, plan, finalists, time.perf_counter() - began)
    return result


def finish(run: Run) -> None:
    """Delete what only a resume needs, and seal the run."""
    for folder in (run.folder / "trials").glob("*"):
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        shutil.rmtree(folder / "artifact", ignore_errors=True)
        (folder / ".lock").unlink(missing_ok=True)
    artifacts.sweep(run.folder)
    run.finish()
