"""The catalogue for one model: what each method costs there, and which of them keep some rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parsimony.adapt import catalogue, solve
from parsimony.adapt.catalogue import Entry, traits
from parsimony.adapt.catalogue.traits import TRAITS, Verdict
from parsimony.adapt.method import method
from parsimony.adapt.setup import Setup
from parsimony.core import cost, pretrained, units
from parsimony.core.budget import Budget
from parsimony.core.console import Console
from parsimony.core.errors import InputError, nearest
from parsimony.core.footprint import Figure, Footprint

LIMITS = ("trainable", "memory")
PEAK_RULE = "traced tensors of one step; the framework's own memory comes on top"


@dataclass(frozen=True)
class Rules:
    """What a method must keep.

    Attributes:
        budget: ``trainable`` counts the task head; ``memory`` is of one training step.
        traits: names from ``TRAITS``.
    """

    budget: Budget = field(default_factory=Budget)
    traits: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Rules:
        """Parse ``"memory=8GiB, mergeable, no-latency"``.

        Raises:
            InputError: an unknown trait, or a limit that the catalogue cannot check.
        """
        words = [word.strip() for word in text.split(",") if word.strip()]
        limits = [word for word in words if "=" in word]
        names = [word for word in words if "=" not in word]
        for limit in limits:
            key = limit.partition("=")[0].strip()
            if key not in LIMITS:
                raise InputError(
                    "a limit of --fits is on memory or trainable",
                    got=limit,
                    hint=nearest(key, LIMITS),
                )
        for name in names:
            if name not in TRAITS:
                raise InputError(f"unknown trait '{name}'", hint=nearest(name, TRAITS))
        return cls(Budget.parse(",".join(limits)), tuple(dict.fromkeys(names)))


@dataclass(frozen=True)
class Row:
    """One method on one model.

    Attributes:
        entry: which.
        title: what was counted: the method with its size.
        footprint: unknown figures carry the reason.
        traits: those that were asked for.
        rejected: why it does not keep the rules; empty when it does.
    """

    entry: Entry
    title: str
    footprint: Footprint
    traits: dict[str, Verdict]
    rejected: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "name": self.entry.name,
            "classes": self.entry.classes,
            "formula": self.entry.formula or None,
            "where": self.entry.where,
            "available": bool(self.entry.method or self.entry.peft),
            "counted": self.title or None,
            "footprint": self.footprint.as_dict(),
            "traits": {k: {"value": v.value, "reason": v.reason} for k, v in self.traits.items()},
            "fits": not self.rejected,
            "rejected": list(self.rejected),
        }


def setup_of(model: str, task: str, batch: int, window: int) -> Setup:
    """What the costs refer to; no data is needed.

    Raises:
        InputError: there is no such model; it cannot do the task.
    """
    found = Setup(
        model=pretrained.find(model), data="", task=task, labels=("0", "1"), text=(), label=None,
        fingerprint="", window=window, batch=batch, device="cpu", threads=1, folder=Path(),
    )  # fmt: skip
    if not 1 <= window <= found.positions:
        raise InputError(
            f"--window must be 1 to {found.positions} {found.inputs.unit} for this model",
            got=window,
        )
    if batch < 1:
        raise InputError("--batch must be a positive whole number", got=batch)
    return found


def rows(setup: Setup, rules: Rules, console: Console) -> list[Row]:
    """The whole catalogue on a model, in the table's order; each with what speaks against it."""
    found = catalogue.entries(setup.facts)
    total, head = solve.base_parameters(setup), solve.head_parameters(setup)
    made = []
    with console.phase("Trying the methods on this model", len(found)) as phase:
        for entry in found:
            made.append(_row(entry, setup, rules, total, head))
            phase.advance()
    return made


def _row(entry: Entry, setup: Setup, rules: Rules, total: int, head: int) -> Row:
    if not (entry.method or entry.peft):
        reason = f"can be had as: {entry.via}" if entry.via else "not available here"
        against = (reason,) if rules != Rules() else ()
        asked = {name: traits.probe(entry, name) for name in rules.traits}
        return Row(entry, "", _unknown(reason, total, head), asked, against)
    title, footprint, against = _cost(entry, setup, rules, total, head)
    asked = {name: traits.probe(entry, name) for name in rules.traits}
    if rules == Rules():
        against = []  # what cannot be counted is shown too
    for name, verdict in asked.items():
        if verdict.value is None:
            against.append(f"{name} is unknown: {verdict.reason}")
        elif not verdict.value:
            against.append(f"not {name}: {verdict.reason}")
    return Row(entry, title, footprint, asked, tuple(against))


def _cost(
    entry: Entry, setup: Setup, rules: Rules, total: int, head: int
) -> tuple[str, Footprint, list[str]]:
    """(what was counted, its figures, limits it breaks) of the best size that keeps the limits."""
    reason = solve.refusal(method(entry.method), setup) if entry.method else None
    if reason:
        return "", _unknown(reason, total, head), [reason]
    title, footprint, against = "", _unknown("no size suits this model", total, head), [""]
    for size in catalogue.sizes(entry, setup):
        title = catalogue.title(entry, size)
        try:
            footprint = _footprint(entry, setup, size, rules.budget.memory is not None, total, head)
        except Exception as error:  # whatever the method says to this model
            said = " ".join(str(error).split())[:160].rstrip(". ")
            reason = f"cannot be tried on this model: {said or type(error).__name__}"
            return "", _unknown(reason, total, head), [reason]
        against = _broken(footprint, rules.budget, total)
        if not against:
            break
    return title, footprint, against


def _footprint(
    entry: Entry, setup: Setup, size: int, peak: bool, total: int, head: int
) -> Footprint:
    facts = setup.facts

    def build() -> cost.nn.Module:
        return pretrained.build(facts.config, setup.task)

    model = cost.on_meta(lambda: catalogue.wrap(entry, build, facts, size))
    trainable = cost.count(model)[1]
    known = Footprint(
        parameters=Figure(float(total), "computed", "of the base with its head, tied ones once"),
        trainable=Figure(float(trainable), "computed", "task head included"),
        head=Figure(float(head), "computed"),
    )
    if not peak:
        return known
    step, stored = solve.traced_cost(setup, model)
    return Footprint(
        parameters=known.parameters,
        trainable=known.trainable,
        head=known.head,
        stored_bytes=Figure(float(stored), "computed", "tensor data"),
        flops=Figure(float(step.flops), "computed", "one step, FlopCounterMode rules"),
        peak_memory=Figure(float(step.peak_bytes), "computed", PEAK_RULE),
    )


def _unknown(reason: str, total: int, head: int) -> Footprint:
    return Footprint(
        parameters=Figure(float(total), "computed", "of the base with its head, tied ones once"),
        trainable=Figure.unknown(reason),
        head=Figure(float(head), "computed"),
        peak_memory=Figure.unknown(reason),
    )


def _broken(footprint: Footprint, budget: Budget, total: int) -> list[str]:
    """The limits that a method breaks."""
    found = []
    trainable, peak = footprint.trainable.value, footprint.peak_memory.value
    if budget.trainable is not None and trainable is not None:
        share = trainable / total
        if share > budget.trainable:
            found.append(f"trains {units.format_share(share)} of the parameters, more than "
                         f"trainable={units.format_share(budget.trainable)}")  # fmt: skip
    if budget.memory is not None and peak is not None and peak > budget.memory:
        found.append(f"predicted peak {units.format_bytes(peak)} is more than "
                     f"memory={units.format_bytes(budget.memory)}")  # fmt: skip
    return found
