"""Solve every method's size for the budget, and predict what it will cost.

Costs are counted on fake tensors (``core.cost``); what no count can know, the framework's own
memory and this machine's speed, comes from a few real steps of one method (``Calibration``).
"""

from __future__ import annotations

import functools
import hashlib
import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import peft
import torch

from parsimony.adapt.method import Method, method, methods
from parsimony.adapt.setup import Setup, label
from parsimony.core import artifacts, cost, precision, pretrained, training, units
from parsimony.core.budget import Budget
from parsimony.core.errors import BudgetError, InputError, ParsimonyError
from parsimony.core.footprint import Figure, Footprint
from parsimony.core.run import machine, versions
from parsimony.core.thrift import PLAIN, Allowed, Thrift
from parsimony.core.workers import Engine

_CALIBRATION_STEPS = 6
_PLAINLY = Allowed()


@dataclass(frozen=True)
class Option:
    """A method at one size that fits the budget.

    Attributes:
        method: its name.
        size: value of its size knob.
        smaller: the next smaller sizes, largest first; they fit too.
        step: traced cost of one training step.
        head: trainable parameters of the task head.
        stored_bytes: tensor bytes of the saved artifact.
        thrift: how it saves memory.
    """

    method: str
    size: int
    smaller: tuple[int, ...]
    step: cost.StepCost
    head: int
    stored_bytes: int
    thrift: Thrift = PLAIN

    @property
    def label(self) -> str:
        return label(self.method, self.size, self.thrift)


@dataclass(frozen=True)
class Dropped:
    """A method that was not tried, and why."""

    method: str
    reason: str


@dataclass(frozen=True)
class Calibration:
    """What a few real steps told about this machine.

    Attributes:
        startup: seconds from process start to the first step.
        per_flop: seconds per traced floating-point operation of a step.
        row: seconds to score one held-out row.
        answer: seconds to write one answer, where answers are scored.
        overhead: bytes of the process beyond the traced ones.
    """

    startup: float
    per_flop: float
    row: float
    overhead: float
    answer: float = 0.0


@functools.lru_cache(maxsize=512)
def step_cost(
    setup: Setup, name: str, size: int, thrift: Thrift = PLAIN
) -> tuple[cost.StepCost, int]:
    """(traced cost of one step, tensor bytes of the saved artifact) of a method at a size."""
    return traced_cost(setup, _wrapped(setup, name, size, thrift), thrift)


def traced_cost(
    setup: Setup, model: cost.nn.Module, thrift: Thrift = PLAIN
) -> tuple[cost.StepCost, int]:
    """The same of a model on the meta device that is adapted already; it is changed in place."""
    settings = training.TrainSettings(1e-3, 1)
    if thrift.checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
    traced = cost.trace_step(
        model,
        setup.example(thrift.accumulation),
        lambda parameters: training.optimizer_for(list(parameters), settings),
        setup.device,
        thrift.accumulation,
    )
    if setup.processes > 1:  # what is exchanged lies beside the gradients, all the time
        traced = replace(traced, peak_bytes=traced.peak_bytes + traced.trainable_bytes)
    if isinstance(model, peft.PeftModel) and model.active_peft_config.is_prompt_learning:
        # What trains is what is saved, and so are virtual tokens that do not train.
        fixed = [p for p in model.prompt_encoder.parameters() if not p.requires_grad]
        return traced, traced.trainable_bytes + sum(p.numel() * p.element_size() for p in fixed)
    if isinstance(model, peft.PeftModel):
        kept = list(peft.get_peft_model_state_dict(model, save_embedding_layers=False).values())
    else:
        # A tied weight has two names and is stored once.
        kept = list({id(t): t for t in model.state_dict(keep_vars=True).values()}.values())
    return traced, sum(tensor.numel() * tensor.element_size() for tensor in kept)


def option(
    setup: Setup, name: str, size: int, smaller: tuple[int, ...] = (), thrift: Thrift = PLAIN
) -> Option:
    """Trace a method at a size."""
    step, stored = step_cost(setup, name, size, thrift)
    return Option(name, size, smaller, step, head_parameters(setup), stored, thrift)


def _wrapped(setup: Setup, name: str, size: int, thrift: Thrift = PLAIN) -> cost.nn.Module:
    facts = setup.facts

    def build() -> cost.nn.Module:
        base = pretrained.build(facts.config, setup.task)
        base = precision.stand_in(base, thrift.base, facts.head)
        return setup.wrapped(base, name, size)

    return cost.on_meta(build)


def solve(
    setup: Setup,
    budget: Budget,
    names: Sequence[str],
    overhead: Callable[[Thrift], float],
    allowed: Allowed = _PLAINLY,
    size: int | None = None,
) -> tuple[dict[str, Option], list[Dropped]]:
    """For every method its largest size that fits, and the methods that do not fit.

    Args:
        setup: model, batch and window.
        budget: ``trainable`` counts the head too; ``memory`` is compared with the prediction.
        names: methods to consider.
        overhead: gives the framework's bytes; called only when there is a memory limit.
        allowed: what may be done to keep it. Base before base, from most to fewest bits, a method
            does no more than it must, and what changes no result comes first.
        size: the one to consider; all when ``None``.

    Raises:
        BudgetError: nothing fits; carries the nearest budget that some method meets.
        InputError: every method refuses the model, whatever the budget, or has no such size.
    """
    options: dict[str, Option] = {}
    dropped: list[Dropped] = []
    needed: list[tuple[float, float]] = []  # of each method's smallest size: share and peak
    total = base_parameters(setup)
    for name in names:
        reason = refusal(method(name), setup)
        if reason:
            dropped.append(Dropped(name, reason))
            continue
        counts = _counts(setup, name)
        if size is not None:
            if size not in counts:
                raise InputError(
                    f"{name} takes {method(name).size_name} of {', '.join(map(str, counts))} on "
                    "this model", got=size, hint="Choose one of them",
                )  # fmt: skip
            counts = {size: counts[size]}
        smallest = min(counts, key=lambda size: counts[size])
        share = counts[smallest] / total
        limit = 1.0 if budget.trainable is None else budget.trainable
        fitting = [size for size, number in counts.items() if number / total <= limit]
        if not fitting:
            if not options:
                peak = None
                if budget.memory is not None:
                    none = replace(budget, memory=0.0)
                    _, peak, _ = _plainest(setup, none, name, [smallest], overhead, allowed)
                needed.append((share, peak or 0.0))
            dropped.append(
                Dropped(name, f"needs at least {units.format_share(share)} of the parameters, "
                              f"more than trainable={units.format_share(limit)}")
            )  # fmt: skip
            continue
        found, peak, reason = _plainest(setup, budget, name, fitting, overhead, allowed)
        if found is not None:
            options[name] = found
        else:
            dropped.append(Dropped(name, reason))
            if peak is not None:
                needed.append((share, peak))
    if not options and not needed:
        raise InputError(
            "none of the methods can adapt this model",
            got={d.method: d.reason for d in dropped},
            hint="Choose other --methods",
        )
    if not options:
        raise BudgetError(
            "no method fits the budget",
            nearest=_nearest(budget, needed),
            got=str(budget),
        )
    return options, dropped


def _plainest(
    setup: Setup,
    budget: Budget,
    name: str,
    sizes: list[int],
    overhead: Callable[[Thrift], float],
    allowed: Allowed,
) -> tuple[Option | None, float | None, str]:
    """The largest of ``sizes`` under the plainest thrift that keeps the memory limit.

    Returns:
        The option; or ``None``, the lowest predicted peak (``None`` where every form of the base
        is refused) and the reason.
    """
    limit = math.inf if budget.memory is None else budget.memory
    tried: dict[Thrift, int] = {}  # peak of the smallest size, overhead not included
    heavy: list[str] = []  # bases whose weights alone are too many
    refusals: list[str] = []

    @functools.cache
    def traced(size: int, thrift: Thrift) -> Option:
        smaller = tuple(reversed(sizes[: sizes.index(size)]))
        return option(setup, name, size, smaller, thrift)

    def fits(size: int, thrift: Thrift) -> bool:
        peak = traced(size, thrift).step.peak_bytes
        # The overhead takes a training to measure: not where the tensors alone are too many.
        return limit == math.inf or (peak <= limit and peak + overhead(thrift) <= limit)

    for base in allowed.bases:
        if _base_bytes(setup, base) > limit:  # no need to trace, which takes seconds at 7B
            heavy.append(base)
            continue
        if refused := base_refusal(setup, name, sizes[0], base):
            refusals.append(refused)
            continue
        for checkpointing in allowed.checkpointing:
            if checkpointing and (refused := _checkpointing_refusal(setup, name, sizes[0])):
                refusals.append(refused)
                continue
            if limit < math.inf:
                least = Thrift(base, checkpointing, allowed.accumulation[-1])
                tried[least] = traced(sizes[0], least).step.peak_bytes
                if tried[least] > limit:
                    continue
            for parts in allowed.accumulation:
                thrift = Thrift(base, checkpointing, parts)
                if fits(sizes[0], thrift):
                    size = next(size for size in reversed(sizes) if fits(size, thrift))
                    return traced(size, thrift), None, ""
    for base in [] if tried else reversed(heavy):
        if refused := base_refusal(setup, name, sizes[0], base):
            refusals.append(refused)
            continue
        again = allowed.checkpointing[-1] and not _checkpointing_refusal(setup, name, sizes[0])
        least = Thrift(base, again, allowed.accumulation[-1])
        tried[least] = traced(sizes[0], least).step.peak_bytes
        break
    if not tried:
        return None, None, "; ".join(dict.fromkeys(refusals))
    least = min(tried, key=lambda thrift: tried[thrift])
    lowest = tried[least] + overhead(least)
    reason = (
        f"predicted peak {units.format_bytes(lowest)} is more than "
        f"memory={units.format_bytes(limit)}"
    )
    return None, lowest, "; ".join([reason, *dict.fromkeys(refusals)])


@functools.lru_cache(maxsize=16)
def _base_bytes(setup: Setup, base: str) -> int:
    """Bytes of the weights alone, before anything is added."""
    facts = setup.facts
    model = cost.on_meta(
        lambda: precision.stand_in(pretrained.build(facts.config, setup.task), base, facts.head)
    )
    tensors = {id(t): t for t in [*model.parameters(), *model.buffers()]}
    return sum(tensor.nbytes for tensor in tensors.values())


@functools.lru_cache(maxsize=256)
def base_refusal(setup: Setup, name: str, size: int, base: str) -> str | None:
    """Why a method cannot adapt a base of this form (see ``core.thrift``): it is tried on fakes."""
    if base == PLAIN.base:
        return None
    own = f"it trains weights of the base itself, which a {base} base stores too coarsely"
    if method(name).full:
        return own
    thrift = Thrift(base)
    try:
        model = _wrapped(setup, name, size, thrift)
        if any(p.requires_grad and p.dtype != torch.float32 for p in model.parameters()):
            return own
        step_cost(setup, name, size, thrift)
    except (ArithmeticError, AttributeError, LookupError, NotImplementedError, ParsimonyError,
            RuntimeError, TypeError, ValueError) as error:  # fmt: skip
        return f"its cost on a {base} base cannot be told ({str(error).partition(chr(10))[0]})"
    return None


def _checkpointing_refusal(setup: Setup, name: str, size: int) -> str | None:
    """Why a method cannot train with checkpointing."""
    model = cost.on_meta(lambda: pretrained.build(setup.facts.config, setup.task))
    if not getattr(model, "supports_gradient_checkpointing", False):
        return "the model has no checkpointing"
    way = method(name)
    if not way.full and isinstance(way.config(setup.facts, size, 0.0), peft.PrefixTuningConfig):
        return "checkpointing would drop its keys and values"
    return None


def base_parameters(setup: Setup) -> int:
    """All parameters of the model with its task head, tied ones once."""
    return cost.count(cost.on_meta(lambda: pretrained.build(setup.facts.config, setup.task)))[0]


def refusal(way: Method, setup: Setup) -> str | None:
    if way.baseline and way.full and not setup.facts.linear:
        return "the model has no linear layer"
    if reason := way.refusal(setup.facts):
        return reason
    if sizes(way, setup):
        return None
    if not (all_ := way.sizes(setup.facts)):
        return "no size suits this model and window"
    tokens = _virtual(way, setup, all_[0])
    return (
        f"{way.size_name}={all_[0]} puts up to {tokens} tokens in front of a window of "
        f"{setup.window}, and the model takes {setup.positions}"
    )


def sizes(way: Method, setup: Setup) -> list[int]:
    """The method's sizes whose virtual tokens, where it has any, leave room for the window."""
    return [
        size
        for size in way.sizes(setup.facts)
        if setup.window + _virtual(way, setup, size) <= setup.positions
    ]


def _virtual(way: Method, setup: Setup, size: int) -> int:
    if way.full:
        return 0
    return getattr(way.config(setup.facts, size, 0.0), "num_virtual_tokens", 0)


def _counts(setup: Setup, name: str) -> dict[int, int]:
    """Trainable parameters by size; sizes that add none over a smaller one are left out."""
    counts: dict[int, int] = {}
    for size in sizes(method(name), setup):
        number = cost.count(_wrapped(setup, name, size))[1]
        if number > max(counts.values(), default=0) or not method(name).trains:
            counts[size] = number
    return counts


def head_parameters(setup: Setup) -> int:
    """Parameters of the task head."""
    model = cost.on_meta(lambda: pretrained.build(setup.facts.config, setup.task))
    return sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if set(name.split(".")) & set(setup.facts.head)
    )


def _nearest(budget: Budget, needed: list[tuple[float, float]]) -> str:
    """The budget with the smallest change of its limits that one method meets, as text.

    Args:
        budget: the one that nothing fits.
        needed: (share of the parameters, peak bytes) of the smallest size of each method.
    """
    share_limit, memory_limit = budget.trainable or 1.0, budget.memory or math.inf
    share, peak = min(needed, key=lambda n: max(n[0] / share_limit, n[1] / memory_limit))
    # Rounded up in the last digit shown, so that the printed budget really fits.
    if budget.trainable is not None and share > budget.trainable:
        budget = replace(budget, trainable=min(1.0, rounded_up(100 * share) / 100))
    if budget.memory is not None and peak > budget.memory:
        budget = replace(budget, memory=rounded_up(1.01 * peak))
    return str(budget)


def rounded_up(value: float) -> float:
    """To three significant digits."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 2)
    return float(f"{math.ceil(value / unit) * unit:.3g}")


def calibrate(setup: Setup, engine: Engine, workers: int, thrift: Thrift = PLAIN) -> Calibration:
    """Time a few steps of a mid-sized method, on as many workers as will run side by side.

    Cached per machine, versions, model, task, batch, window, device, threads, processes, workers
    and thrift in the user's cache folder (``PARSIMONY_CACHE`` or ``~/.cache/parsimony``).
    """
    key = hashlib.sha256(
        artifacts.dumps(
            [machine(), versions(), setup.model.sha256, setup.task, setup.batch, setup.window,
             setup.device, setup.threads, setup.processes, workers, asdict(thrift),
             setup.new_tokens]
        ).encode()
    ).hexdigest()[:32]  # fmt: skip
    file = artifacts.cache() / "calibration" / f"{key}.json"
    if file.is_file():
        return Calibration(**artifacts.read_json(file))
    name, size = _reference(setup, thrift.base)
    step, _ = step_cost(setup, name, size, thrift)
    with tempfile.TemporaryDirectory() as scratch:
        readings = engine.map(
            "parsimony.adapt.trial:calibrate",
            [
                {"setup": setup.as_dict(), "folder": str(setup.folder), "method": name,
                 "size": size, "thrift": asdict(thrift), "steps": _CALIBRATION_STEPS,
                 "scratch": f"{scratch}/{index}"}
                for index in range(workers)
            ],
            lambda _: None,
        )  # fmt: skip
    mean = {key: sum(r[key] for r in readings) / len(readings) for key in readings[0]}
    found = Calibration(
        startup=mean["startup"],
        per_flop=mean["step"] / step.flops,
        row=mean["row"],
        answer=mean["answer"],
        overhead=mean["peak_bytes"] - step.peak_bytes,
    )
    artifacts.write_json(file, asdict(found))
    return found


def _reference(setup: Setup, base: str) -> tuple[str, int]:
    """The method that is timed: the first adapter that fits the model at its smallest size."""
    for name, way in methods().items():
        if not way.baseline and not refusal(way, setup):
            size = sizes(way, setup)[0]
            if not base_refusal(setup, name, size, base):
                return name, size
    return "full", 0


def predict(
    option: Option, calibration: Calibration | None, steps: int, scored: int, answered: int = 0
) -> Footprint:
    """The footprint of ``steps`` training steps, ``scored`` rows and ``answered`` questions.

    Without calibration, as of a model without weights, the time is unknown and the peak is that of
    the tensors alone.
    """
    seconds = Figure.unknown("a model without weights runs no step that could be timed")
    peak = Figure(float(option.step.peak_bytes), "computed",
                  "traced tensors alone; the framework adds its share")  # fmt: skip
    if calibration is not None:
        seconds = Figure(
            calibration.startup
            + (steps if method(option.method).trains else 0)
            * option.step.flops
            * calibration.per_flop
            + scored * calibration.row
            + answered * calibration.answer,
            "estimated", "a few timed steps, scaled by operations",
        )  # fmt: skip
        peak = Figure(option.step.peak_bytes + calibration.overhead, "estimated",
                      "traced tensors and the framework's measured share")  # fmt: skip
    return Footprint(
        parameters=Figure(float(option.step.parameters), "computed", "tied ones once"),
        trainable=Figure(float(option.step.trainable), "computed", "task head included"),
        head=Figure(float(option.head), "computed"),
        stored_bytes=Figure(float(option.stored_bytes), "computed", "tensor data"),
        flops=Figure(float(option.step.flops), "computed", "one step, FlopCounterMode rules"),
        peak_memory=peak,
        seconds=seconds,
        energy=Figure.unknown("no energy model; it is measured where a counter exists"),
    )  # fmt: skip
