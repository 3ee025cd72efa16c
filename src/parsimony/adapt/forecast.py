"""What one fine-tuning by a given method will cost, told before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from parsimony.adapt import search, solve, workflow
from parsimony.adapt.method import method
from parsimony.adapt.workflow import Request
from parsimony.core import units
from parsimony.core.console import Console
from parsimony.core.errors import BudgetError, InputError
from parsimony.core.footprint import Footprint


@dataclass(frozen=True)
class Forecast:
    """One training, not yet run.

    Attributes:
        candidate: method, size and thrift, for people.
        method: its name.
        size: value of its size knob; 0 where it has none.
        footprint: of the training and its scores, every figure with its provenance.
        memory: bytes at the peak of a step, by part.
        base_parameters: of the model with its task head.
        steps: optimizer steps.
        batch: rows of a step.
        window: longest input, in tokens or frames.
        device: ``"cpu"`` or ``"cuda"``.
        rows: of each split.
    """

    candidate: str
    method: str
    size: int
    footprint: Footprint
    memory: dict[str, float]
    base_parameters: int
    steps: int
    batch: int
    window: int
    device: str
    rows: dict[str, int]


def forecast(request: Request, size: int | None, scratch: Path, console: Console) -> Forecast:
    """Predict a training by ``request.methods[0]``, as ``adapt`` predicts each of its own.

    Args:
        request: its budget limits this one training; ``epochs`` is 3 where not given.
        size: value of the method's size knob; the largest that fits where ``None``.
        scratch: an empty folder that the caller deletes.
        console: where notices go.

    Raises:
        InputError: a setting, the model, the data or the size is at fault.
        BudgetError: it does not fit the budget.
    """
    workflow.check(request)
    (name,) = request.methods
    if size is not None and not method(name).size_name:
        raise InputError(f"the method {name} has no size", got=size, hint="Leave out --size")
    setup, rows, _ = workflow.read(request, scratch, console, weights=False)
    timed, budget = bool(setup.model.sha256), request.budget
    fixed = {} if request.epochs is None else {"epochs": request.epochs}
    scale = search.scale_untimed(replace(budget, time=None) if timed else budget, fixed)
    calibrated = workflow.calibrations(setup, 1, console)
    options, _ = solve.solve(
        setup, budget, [name],
        lambda form: calibrated(form).overhead if timed else 0.0, workflow.allowed(request), size,
    )  # fmt: skip
    option = options[name]
    steps = search.total_steps(rows["train"], setup.batch, scale.epochs)
    footprint = solve.predict(
        option, calibrated(option.thrift) if timed else None, steps, search.rows_scored(rows),
        2 * setup.asked,
    )  # fmt: skip
    seconds = footprint.seconds.value
    if budget.time is not None and seconds is not None and seconds > budget.time:
        raise BudgetError(
            f"{option.label} is predicted to train for {units.format_seconds(seconds)}",
            nearest=str(replace(budget, time=solve.rounded_up(seconds))),
            got=str(budget),
        )
    step, peak = option.step, footprint.peak_memory.value or 0.0
    memory = {
        "weights": float(step.weight_bytes),
        "optimizer state": float(step.state_bytes),
        "gradients and activations": float(step.peak_bytes - step.weight_bytes - step.state_bytes),
        "framework, measured": peak - step.peak_bytes,
    }
    return Forecast(
        option.label, name, option.size, footprint, memory, solve.base_parameters(setup), steps,
        setup.batch, setup.window, setup.device, rows,
    )  # fmt: skip
