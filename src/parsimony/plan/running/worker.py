"""What each process of a run does: ``python -m parsimony.plan.running.worker FOLDER`` by torchrun.

Where it fails it says why in ``failures/``, and ends at once: the others may wait for it.
"""

from __future__ import annotations

import math
import os
import statistics
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from parsimony.core import artifacts, meter, workers
from parsimony.core.energy import synchronise
from parsimony.core.errors import ParsimonyError
from parsimony.core.events import Events
from parsimony.core.run import Run
from parsimony.plan.cluster import plan_file
from parsimony.plan.running import checkpoint, profile, tokens
from parsimony.plan.running.data_parallel import to_local
from parsimony.plan.running.launch import FAILURES
from parsimony.plan.running.layout import Part, build


def train(folder: Path) -> None:
    """Train what ``config.json`` and ``plan.json`` of a run folder say, from its last checkpoint.

    Writes events, checkpoints and, at the end, ``measured.json``.

    Raises:
        ParsimonyError: a loss that is not finite.
    """
    run = Run(folder)
    settings = run.settings
    plan = plan_file.parse(run.read("plan.json"), "plan.json")
    device = _device(settings["backend"])
    torch.manual_seed(settings["seed"])
    distributed.init_process_group(
        settings["backend"], timeout=timedelta(seconds=settings["timeout"])
    )
    measured = _profile(plan, device, settings)
    meter.forget_peak(device.type)
    before = meter.peak_memory(device.type).value or 0.0
    part = build(plan, device, settings["schedule"], settings["precision"], settings["seed"])
    optimizer = optimizer_for(part, settings["optimizer"], settings["learning_rate"])
    # One step at least is trained, and so measured, also where only the end was missing.
    kept = checkpoint.steps(folder / "checkpoints")
    done = max((step for step in kept if step < settings["steps"]), default=0)
    if done:
        checkpoint.load(folder / "checkpoints", done, part, optimizer)
    events = Events(folder / "events.jsonl", keep_until=done)
    events.add(step=done, layout=str(plan.layout))
    times = [
        _step(folder, step, part, optimizer, events, settings)
        for step in range(done + 1, settings["steps"] + 1)
    ]
    # The first step of a process also sets torch up.
    counted = times[1:] or times
    for name in times[0] if times else ():
        median = statistics.median(each[name] for each in counted)
        measured[f"{name}_seconds"] = profile.largest(median, device)
    own = (meter.peak_memory(device.type).value or 0.0) - before
    measured["memory"] = profile.largest(own, device)
    measured["parameters"] = profile.largest(count(part), device)
    if distributed.get_rank() == 0:
        run.write("measured.json", {**measured, "steps": len(counted)})
    distributed.barrier()
    distributed.destroy_process_group()


def take_part(job: workers.Job, progress: workers.Progress) -> workers.Job:
    """``train`` for processes that torchrun has started already, in the folder of ``job``."""
    train(Path(job["folder"]))
    return {}


def count(part: Part) -> int:
    """Parameters that a process holds between steps."""
    return sum(to_local(parameter).numel() for parameter in part.named.values())


def optimizer_for(part: Part, name: str, rate: float) -> torch.optim.Optimizer:
    """AdamW or SGD on a process's parameters, which may be tensors of several kinds.

    Args:
        part: of the process.
        name: ``"adamw"`` or ``"sgd"``.
        rate: learning rate.
    """
    kind = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[name]
    return kind(list(part.named.values()), lr=rate, foreach=False)


def _profile(plan: plan_file.Plan, device: torch.device, settings: dict[str, Any]) -> Any:
    """What the machine does by itself, measured before the model takes its memory."""
    from torch.distributed.device_mesh import init_device_mesh

    layout = plan.layout
    mesh = init_device_mesh(
        device.type,
        (layout.pipeline, layout.data, layout.tensor),
        mesh_dim_names=("pp", "dp", "tp"),
    )
    return {
        "compute": profile.compute(plan, device, settings["precision"]),
        "links": profile.links(plan, mesh, device),
    }


def _step(
    folder: Path,
    step: int,
    part: Part,
    optimizer: torch.optim.Optimizer,
    events: Events,
    settings: dict[str, Any],
) -> dict[str, float]:
    """One step, its event and its checkpoint; the seconds of it and of the optimizer."""
    batch = tokens.batch(folder, part.plan, settings["seed"], step)
    begin = _now(part.device)
    loss = float(part.step(batch))
    updated = _now(part.device)
    if not math.isfinite(loss):
        raise ParsimonyError(f"the loss must stay finite, step {step}", got=loss,
                             hint="Lower --learning-rate")  # fmt: skip
    optimizer.step()
    optimizer.zero_grad()
    end = _now(part.device)
    rate = part.plan.training.batch * part.plan.training.sequence / (end - begin)
    events.add(step=step, loss=loss, seconds=end - begin, tokens_per_second=rate)
    if step % settings["checkpoint_every"] == 0 or step == settings["steps"]:
        checkpoint.save(folder / "checkpoints", step, part, optimizer)
    return {"step": end - begin, "optimizer": end - updated}


def _now(device: torch.device) -> float:
    synchronise(device.type)
    return time.perf_counter()


def _device(backend: str) -> torch.device:
    if backend == "nccl":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        return torch.device("cuda", torch.cuda.current_device())
    torch.set_num_threads(1)
    return torch.device("cpu")


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, even if killed."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def main(folder: Path) -> None:
    """Train, and where that fails say why and end at once."""
    _end_with_parent()
    artifacts.write_json(folder / "processes" / f"{os.environ['RANK']}.json", os.getpid())
    try:
        train(folder)
    except Exception as error:
        import traceback

        traceback.print_exc()
        ours = isinstance(error, ParsimonyError)
        text = str(error) if ours else f"{type(error).__name__}: {error}"
        said = {"kind": type(error).__name__ if ours else "bug", "text": text}
        artifacts.write_json(folder / FAILURES / f"{os.environ['RANK']}.json", said)
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
