"""What a layout must keep to, each rule with the words that say how it was broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from parsimony.core import units
from parsimony.core.errors import InputError
from parsimony.plan.cluster.hardware import Cluster
from parsimony.plan.cluster.model_shape import ModelShape
from parsimony.plan.cluster.time import bubble_share
from parsimony.plan.cluster.training import Training

PLAUSIBLE = 0.75
"""Share of the peak above which its figure is doubted."""


@dataclass(frozen=True)
class Rule:
    """One rule.

    Attributes:
        columns: those of a layout that it looks at.
        broken: of arrays of those columns, where they break it.
        words: of one layout's values, what is wrong and what would be right.
    """

    columns: tuple[str, ...]
    broken: Callable[..., Any]
    words: Callable[..., str]


def divisors(number: int) -> list[int]:
    """Divisors of a positive number, ascending."""
    low = [n for n in range(1, int(number**0.5) + 1) if number % n == 0]
    return sorted({*low, *(number // n for n in low)})


def choices(number: int) -> str:
    """Divisors for people; of many, the smallest."""
    found = divisors(number)
    return ", ".join(map(str, found[:16])) + (", ..." if len(found) > 16 else "")


def form(shape: ModelShape, cluster: Cluster, training: Training) -> list[Rule]:
    """Rules about the numbers of a layout: what divides what, and what holds what."""
    heads, layers, batch = shape.heads, shape.layers, training.batch
    keys = shape.kv_heads or heads
    node = min(cluster.per_node, cluster.devices)

    def near(t: int, p: int, d: int) -> str:
        found = sorted(
            ((a, b, cluster.devices // a // b)
             for a in divisors(cluster.devices) for b in divisors(cluster.devices // a)),
            key=lambda c: (abs(c[0] - t) + abs(c[1] - p) + abs(c[2] - d), c),
        )  # fmt: skip
        return " or ".join(" x ".join(map(str, choice)) for choice in found[:2])

    def leaves(t: int) -> str:
        inside, outside = (cluster.bandwidth(n) / 1e9 for n in (node, t))
        return (
            f"tensor={t} leaves the node of {node} devices, and a device would send "
            f"{outside:.4g} GB/s instead of {inside:.4g}; --across-nodes lets it"
        )

    return [
        Rule(
            ("tensor", "pipeline", "data"),
            lambda t, p, d: t * p * d != cluster.devices,
            lambda t, p, d: f"tensor x pipeline x data = {t} x {p} x {d} = {t * p * d} must be the "
            f"{cluster.devices} devices; nearest: {near(t, p, d)}",
        ),
        Rule(
            ("tensor",),
            lambda t: heads % t != 0,
            lambda t: f"tensor={t} does not divide the {heads} heads; divisors: {choices(heads)}",
        ),
        Rule(
            ("tensor",),
            lambda t: keys % t != 0,
            lambda t: f"tensor={t} does not divide the {keys} heads of the keys; divisors: "
            f"{choices(keys)}",
        ),
        Rule(
            ("tensor",),
            lambda t: (shape.hidden % t != 0) | (shape.inner % t != 0),
            lambda t: f"tensor={t} does not divide the widths {shape.hidden} and {shape.inner}",
        ),
        Rule(("tensor",), lambda t: (t > node) & (not training.across_nodes), leaves),
        Rule(
            ("pipeline",),
            lambda p: p > layers,
            lambda p: f"pipeline={p} is more stages than the {layers} layers",
        ),
        Rule(
            ("pipeline",),
            lambda p: layers % p != 0,
            lambda p: f"pipeline={p} does not divide the {layers} layers; divisors: "
            f"{choices(layers)}",
        ),
        Rule(
            ("chunks", "pipeline"),
            lambda v, p: v * p > layers,
            lambda v, p: f"chunks={v} on pipeline={p} stages are {v * p} pieces, more than the "
            f"{layers} layers",
        ),
        Rule(
            ("chunks", "pipeline"),
            lambda v, p: layers % (v * p) != 0,
            lambda v, p: f"chunks={v} on pipeline={p} stages are {v * p} pieces, which do not "
            f"divide the {layers} layers; divisors: {choices(layers)}",
        ),
        Rule(
            ("chunks", "pipeline"),
            lambda v, p: (v > 1) & ((p == 1) | (training.schedule == "gpipe")),
            lambda v, p: f"chunks={v} need a pipeline of several stages under 1f1b",
        ),
        Rule(
            ("micro_batch", "data"),
            lambda b, d: batch % (b * d) != 0,
            lambda b, d: f"micro_batch={b} on data={d} replicas do not divide the batch of "
            f"{batch}; divisors: {choices(batch)}",
        ),
        Rule(
            ("micro_batches", "pipeline", "chunks"),
            lambda m, p, v: (v > 1) & (m % p != 0),
            lambda m, p, v: f"{m} micro-batches are not a multiple of pipeline={p}, which "
            f"chunks={v} need; micro-batches that are: {p}, {2 * p}, {3 * p}, ...",
        ),
    ]  # fmt: skip


def memory(cluster: Cluster) -> Rule:
    """The rule that the heaviest stage fits."""
    usable = f"{units.format_bytes(cluster.usable)} ({cluster.usable / 1e9:.4g} GB)"
    return Rule(
        ("memory", "stage"),
        lambda need, stage: need > cluster.usable,
        lambda need, stage: (
            f"a device of the {stage} stage needs {units.format_bytes(need)} "
            f"({need / 1e9:.4g} GB), of which {usable} are usable"
        ),
    )


def reasons(layouts: pd.DataFrame, rules: list[Rule]) -> pd.Series:
    """The words of the first rule that each layout breaks; "" where it keeps to all."""
    found = np.full(len(layouts), "", dtype=object)
    for rule in rules:
        values = [layouts[name].to_numpy() for name in rule.columns]
        rows = np.flatnonzero(rule.broken(*values) & (found == ""))
        if rows.size:
            cases = pd.MultiIndex.from_arrays([column[rows] for column in values])
            codes, distinct = pd.factorize(cases)
            words = np.array([rule.words(*case) for case in distinct], dtype=object)
            found[rows] = words[codes]
    return pd.Series(found, layouts.index, name="reason")


def check(
    shape: ModelShape, cluster: Cluster, training: Training, space: dict[str, tuple[Any, ...]]
) -> None:
    """Refuse what a space fixes where it cannot be, whatever the other knobs are.

    Args:
        shape, cluster, training: as for ``form``.
        space: the values of each knob; a knob with one value is fixed.

    Raises:
        InputError: with the words of the first rule that is broken.
    """
    fixed = {knob: values[0] for knob, values in space.items() if len(values) == 1}
    degrees = [fixed.get(knob, 1) for knob in ("tensor", "pipeline", "data")]
    if len({"tensor", "pipeline", "data"} - set(fixed)) < 3:
        left, rest = divmod(cluster.devices, int(np.prod(degrees)))
        free = [knob for knob in ("tensor", "pipeline", "data") if knob not in fixed]
        if len(free) == 1 and left and not rest:
            fixed[free[0]] = left
        elif rest or not left:
            fixed |= dict(zip(("tensor", "pipeline", "data"), degrees, strict=True))
    if {"micro_batch", "data"} <= set(fixed):
        fixed["micro_batches"] = training.batch // (fixed["micro_batch"] * fixed["data"])
    for rule in form(shape, cluster, training):
        if set(rule.columns) <= set(fixed):
            values = [fixed[name] for name in rule.columns]
            if rule.broken(*map(np.asarray, values)):
                raise InputError(rule.words(*values))


def doubts(layout: pd.Series) -> list[str]:
    """What is odd about a layout that works, for people."""
    p, m, v = layout["pipeline"], layout["micro_batches"], layout["chunks"]
    found = []
    if m < p:
        found.append(
            f"{m} micro-batches leave the {p} stages idle for {bubble_share(p, m, v):.0%} of the "
            "working time; is the batch that of all replicas?"
        )
    if layout["model_share"] > PLAUSIBLE:
        found.append(
            f"{layout['model_share']:.0%} of the peak is more than trainings reach; is "
            "peak_tflops that of this precision, without sparsity?"
        )
    return found
