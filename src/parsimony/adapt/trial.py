"""One trial: one candidate, one seed, up to one rung. Runs in a process of its own.

A trial folder holds what a resumed or promoted trial needs: the newest checkpoint, the events, the
validation scores of each evaluation, and ``rung-<steps>.json``, written last, for each rung done.
Of several processes that share the training, the first keeps the folder and measures itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from parsimony.adapt.method import method
from parsimony.adapt.setup import Candidate, Plan, Setup
from parsimony.core import artifacts, code_scores, cost, devices, scoring, training
from parsimony.core.footprint import Figure, Footprint
from parsimony.core.meter import Meter, forget_peak
from parsimony.core.run import lock
from parsimony.core.thrift import Thrift
from parsimony.core.training import TrainSettings

_SCORED = 32  # held-out rows at a time, where steps are not split into parts
_PARTLY = Figure.unknown("it went on from a checkpoint: no single call saw all of it")


def folder_of(run: Path, candidate: Candidate, seed: int) -> Path:
    """Where a trial lives."""
    return run / "trials" / f"{candidate.id}-s{seed}"


def scores_of(folder: Path, split: str, step: int, name: str = "scores") -> np.ndarray:
    """Per-row scores that a trial stored; shape (rows,).

    Args:
        name: of a metric of answers (see ``core.code_scores``), which has a row per question.
    """
    return load_file(_score_file(folder, split, step))[name]


def _score_file(folder: Path, split: str, step: int) -> Path:
    return folder / "scores" / f"{split}-{step}.safetensors"


def run_trial(job: dict[str, Any], progress: Callable[[float], None]) -> dict[str, Any]:
    """Bring one trial to ``job["stop"]`` steps.

    Args:
        job: ``run`` (folder), ``candidate`` (index), ``seed``, ``stop`` (steps).
        progress: told of every step.

    Returns:
        ``{"validation": mean score or None, "loss": mean loss or None, "diverged": text or None}``;
        nothing in a process that only takes part in the training
    """
    run, stop = Path(job["run"]), int(job["stop"])
    plan = Plan.read(run)
    candidate = plan.candidates[job["candidate"]]
    folder = folder_of(run, candidate, job["seed"])
    done = folder / f"rung-{stop}.json"
    # A worker orphaned by a kill may live for a moment; the lock keeps it from writing here.
    with lock(folder / ".lock", wait=True) if devices.leads() else nullcontext():
        if not devices.agreed(done.is_file):
            if not devices.leads():
                _train(plan, candidate, job["seed"], stop, folder, progress)
                return {}
            fresh = training.newest_checkpoint(folder / "checkpoints") is None
            with Meter(plan.setup.device) as meter:
                result, model = _run(plan, candidate, job["seed"], stop, folder, progress)
            measured = replace(
                _measured(plan, candidate.thrift, model, folder)
                if stop == plan.steps
                else Footprint(),
                peak_memory=meter.peak_memory,
                seconds=meter.seconds if fresh else _PARTLY,
                energy=meter.energy if fresh else _PARTLY,
            )
            artifacts.write_json(folder / f"measured-{stop}.json", measured.as_dict())
            artifacts.write_json(done, result)
    found: dict[str, Any] = artifacts.read_json(done)
    return found


def _run(
    plan: Plan,
    candidate: Candidate,
    seed: int,
    stop: int,
    folder: Path,
    progress: Callable[[float], None],
) -> tuple[dict[str, Any], nn.Module]:
    """Train, score on test rows at the end, and keep the artifact."""
    model, diverged = _train(plan, candidate, seed, stop, folder, progress)
    if diverged:
        return {"validation": None, "loss": None, "diverged": diverged}, model
    if stop == plan.steps:
        setup = plan.setup
        _score(setup, model, setup.rows("test"), folder, "test", stop, candidate.thrift)
        if setup.asks:
            for split in ("validation", "test"):
                _ask(setup, model, folder, split, stop, candidate.thrift)
        save_artifact(model, folder / "artifact")
    held = load_file(_score_file(folder, "validation", stop))
    result = {
        "validation": float(held["scores"].mean()),
        "loss": float(held["loss"][0]),
        "diverged": None,
    }
    return result, model


def _train(
    plan: Plan,
    candidate: Candidate,
    seed: int,
    stop: int,
    folder: Path,
    progress: Callable[[float], None],
) -> tuple[nn.Module, str | None]:
    """The trained model, and why its training diverged, if it did."""
    setup = plan.setup
    torch.set_num_threads(setup.threads)
    way = method(candidate.method)
    thrift = candidate.thrift
    model = setup.adapted(candidate.method, candidate.size, candidate.dropout, seed, thrift.base)
    forget_peak(setup.device)  # reading the weights is over
    validation = setup.rows("validation")

    def evaluate(trained: nn.Module, step: int) -> float:
        return _score(setup, trained, validation, folder, "validation", step, thrift)

    try:
        if way.trains:
            training.train(
                model,
                setup.rows("train"),
                setup.collator,
                TrainSettings(
                    learning_rate=candidate.learning_rate,
                    head_learning_rate=way.head_rate(setup.facts, candidate.learning_rate),
                    steps=plan.steps,
                    batch_size=setup.batch,
                    seed=seed,
                    threads=setup.threads,
                    device=setup.device,
                    checkpointing=thrift.checkpointing,
                    accumulation=thrift.accumulation,
                ),
                folder,
                head=setup.facts.head,
                scale=way.rate_scale,
                callbacks=way.callbacks(model, plan.steps),
                stop_after=stop,
                evaluate=evaluate,
                evaluate_at=plan.evaluations,
                on_step=lambda _: progress(1),
            )
        elif devices.leads():
            evaluate(model, stop)
    except training.DivergedError as error:
        return model, str(error)
    return model, None


def _score(
    setup: Setup,
    model: nn.Module,
    rows: scoring.Rows,
    folder: Path,
    split: str,
    step: int,
    thrift: Thrift,
) -> float:
    found = scoring.score(model, rows, setup.collator, setup.task, _scored(setup, thrift))
    data = save({"scores": found.scores, "loss": np.array([found.loss])})
    artifacts.write_bytes(_score_file(folder, split, step), data)
    return float(found.scores.mean())


def _scored(setup: Setup, thrift: Thrift) -> int:
    """Held-out rows at a time: no more memory than a step on a part of its rows takes."""
    return max(1, _SCORED // (setup.processes * thrift.accumulation))


def _ask(
    setup: Setup, model: nn.Module, folder: Path, split: str, step: int, thrift: Thrift
) -> None:
    """Add the scores of what the model writes to those of a split."""
    questions = setup.questions(split)
    written = setup.written(model, questions, _scored(setup, thrift))
    found = code_scores.scores([question.answer for question in questions], written)
    file = _score_file(folder, split, step)
    artifacts.write_bytes(file, save(load_file(file) | found))


def save_artifact(model: nn.Module, folder: Path) -> None:
    """The adapter in peft's format (or the model, where it was trained in full), sealed."""
    model.save_pretrained(folder, safe_serialization=True)  # type: ignore[operator]
    artifacts.seal(folder)


def _measured(plan: Plan, thrift: Thrift, model: nn.Module, folder: Path) -> Footprint:
    """What can be counted on the trained model itself."""
    parameters, trainable, _ = cost.count(model)
    artifact = folder / "artifact"
    stored = (
        Figure(float(sum(_tensor_bytes(f) for f in artifact.glob("*.safetensors"))), "measured")
        if artifact.is_dir()
        else Figure.unknown("the training diverged")
    )
    flops = Figure.unknown("torch does not see the operations of 4-bit layers")
    if thrift.base != "4bit":
        with FlopCounterMode(display=False) as counter:
            _widest_part(plan.setup, model, thrift)
        flops = Figure(
            float(thrift.accumulation * counter.get_total_flops()),
            "measured", "one step, FlopCounterMode",
        )  # fmt: skip
    return Footprint(
        parameters=Figure(float(parameters), "measured", "tied ones once"),
        trainable=Figure(float(trainable), "measured", "task head included"),
        stored_bytes=stored,
        flops=flops,
    )


def _tensor_bytes(file: Path) -> int:
    """Bytes of tensor data in a safetensors file: all but the 8-byte length and the header."""
    with file.open("rb") as stream:
        return file.stat().st_size - 8 - int.from_bytes(stream.read(8), "little")


def _widest_part(setup: Setup, model: nn.Module, thrift: Thrift) -> None:
    """Forward, and backward where something trains, of a part of a batch that fills the window."""
    model.train()
    made = setup.example(thrift.accumulation)()
    batch = {key: value.to(setup.device) for key, value in made.items()}
    loss = model(**batch).loss
    if loss.requires_grad:
        loss.backward()
    model.zero_grad()


def calibrate(job: dict[str, Any], progress: Callable[[float], None]) -> dict[str, float]:
    """Time a few real training steps and read what the framework adds to the traced bytes.

    Args:
        job: ``setup`` (see ``Setup``), ``folder`` (of the splits), ``scratch`` (folder),
            ``method``, ``size``, ``thrift`` (see ``core.thrift``), ``steps``.
        progress: told of every step.

    Returns:
        Seconds of start-up, per step, scored row and answer, and peak bytes of the process.
    """
    begin = time.perf_counter()
    setup = Setup.from_dict(job["setup"], Path(job["folder"]))
    torch.set_num_threads(setup.threads)
    thrift = Thrift(**job["thrift"])
    model = setup.adapted(job["method"], job["size"], 0.0, 0, thrift.base)
    rows = setup.rows("train")
    ready = time.perf_counter()
    stamps: list[float] = []

    def on_step(_: int) -> None:
        stamps.append(time.perf_counter())
        progress(1)

    with Meter(setup.device) as meter:
        training.train(
            model, rows, setup.collator,
            TrainSettings(1e-4, job["steps"], batch_size=setup.batch, threads=setup.threads,
                          device=setup.device, checkpointing=thrift.checkpointing,
                          accumulation=thrift.accumulation),
            Path(job["scratch"]), on_step=on_step,
        )  # fmt: skip
        _widest_part(setup, model, thrift)
        few = setup.rows("validation", limit=64)
        trained = time.perf_counter()
        scoring.score(model, few, setup.collator, setup.task, _scored(setup, thrift))
        scored = time.perf_counter()
        asked = setup.questions("validation")[:8] if setup.asks else []
        if asked:
            setup.written(model, asked, len(asked))
        answered = time.perf_counter()
    steps = np.diff(stamps)
    assert meter.peak_memory.value is not None
    return {
        "startup": ready - begin,
        "step": float(np.median(steps)),
        "row": (scored - trained) / len(few),
        "answer": (answered - scored) / len(asked) if asked else 0.0,
        "peak_bytes": meter.peak_memory.value,
    }
