"""Every layout of a space, what it costs, and why it does not work where it does not."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from parsimony.core.errors import InputError, nearest
from parsimony.plan.cluster import memory, rules, time
from parsimony.plan.cluster.hardware import Cluster
from parsimony.plan.cluster.model_shape import ModelShape
from parsimony.plan.cluster.training import Training

KNOBS = ("tensor", "pipeline", "data", "zero", "micro_batch", "recompute", "chunks")
"""What a layout decides; the first columns of a plan."""

RECOMPUTE = ("none", "selective", "full")


@dataclass(frozen=True)
class Space:
    """What each knob may be; an empty one may be anything that divides, a power of two for
    ``micro_batch``.

    Attributes:
        tensor, pipeline, data: degrees of parallelism; they multiply to the devices.
        zero: stages of ZeRO, 0 to 3.
        micro_batch: sequences that go through the pipeline together.
        recompute: of ``RECOMPUTE``.
        chunks: parts of a pipeline stage; more than one is interleaved.
    """

    tensor: tuple[int, ...] = ()
    pipeline: tuple[int, ...] = ()
    data: tuple[int, ...] = ()
    zero: tuple[int, ...] = (0, 1, 2, 3)
    micro_batch: tuple[int, ...] = ()
    recompute: tuple[str, ...] = RECOMPUTE
    chunks: tuple[int, ...] = (1, 2, 4)

    @classmethod
    def parse(cls, text: str) -> Space:
        """``"tensor=2|4, recompute=full"``; what is not named stays free.

        Raises:
            InputError: an unknown knob or value.
        """
        given: dict[str, tuple[int | str, ...]] = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            knob, _, values = (word.strip() for word in part.partition("="))
            if knob not in KNOBS:
                raise InputError(f"unknown knob '{knob}' of a layout", hint=nearest(knob, KNOBS))
            given[knob] = tuple(_value(knob, word.strip()) for word in values.split("|"))
        return cls(**given)  # type: ignore[arg-type]


def _value(knob: str, word: str) -> int | str:
    if knob == "recompute":
        if word not in RECOMPUTE:
            raise InputError(f"unknown recompute '{word}'", hint=nearest(word, RECOMPUTE))
        return word
    least, most = (0, 3) if knob == "zero" else (1, None)
    if not word.isdecimal() or int(word) < least or (most is not None and int(word) > most):
        rule = "0, 1, 2 or 3" if most else "a positive whole number"
        raise InputError(f"{knob} must be {rule}", got=word)
    return int(word)


def candidates(cluster: Cluster, training: Training, space: Space) -> pd.DataFrame:
    """All layouts of a space that use all devices, whether they work or not.

    Returns:
        The columns ``KNOBS`` and ``micro_batches``, how many a replica runs in a step. What would
        be the same twice is there once: ZeRO without replicas, and selective recompute under
        flash attention, which has no scores to drop.

    Raises:
        InputError: no degrees of the space multiply to the devices.
    """
    n = cluster.devices
    degrees = [
        (t, p, n // t // p)
        for t in space.tensor or rules.divisors(n) if n % t == 0
        for p in space.pipeline or rules.divisors(n // t) if n // t % p == 0
        if not space.data or n // t // p in space.data
    ]  # fmt: skip
    if not degrees:
        raise InputError(
            f"tensor, pipeline and data must multiply to the {n} devices",
            got=(space.tensor, space.pipeline, space.data),
            hint=f"Divisors: {rules.choices(n)}",
        )
    sizes = space.micro_batch or [b for b in rules.divisors(training.batch) if b & (b - 1) == 0]
    rest = list(product(space.zero, sizes, space.recompute, space.chunks))
    left, right = np.divmod(np.arange(len(degrees) * len(rest)), len(rest))
    columns = {
        **{name: np.array([d[i] for d in degrees], int)[left] for i, name in enumerate(KNOBS[:3])},
        **{name: np.array([r[i] for r in rest])[right] for i, name in enumerate(KNOBS[3:])
           if name != "recompute"},
        "recompute": np.array([r[2] for r in rest], dtype=object)[right],
    }  # fmt: skip
    found = pd.DataFrame(columns)[list(KNOBS)]
    found = found[(found["data"] > 1) | (found["zero"] == min(space.zero))]
    if training.flash and len(space.recompute) > 1:
        found = found[found["recompute"] != "selective"]
    found = found.reset_index(drop=True)
    replica = found["micro_batch"] * found["data"]
    return found.assign(micro_batches=np.maximum(training.batch // replica, 1))


def plan(
    shape: ModelShape, cluster: Cluster, training: Training, space: Space | None = None
) -> pd.DataFrame:
    """The table of all layouts: memory, time, throughput, and the reason against each.

    Args:
        shape: of the model.
        cluster: all of its devices are used.
        training: what is trained.
        space: of the knobs; everything where left out.

    Raises:
        InputError: what the space fixes cannot be, whatever the rest.

    Returns:
        One row for each of ``candidates``, the fastest first among those that work and they before
        the others; the columns of ``memory.heaviest_stage`` and ``time.step``; and ``reason``, ""
        where a layout works.
    """
    space = space or Space()
    rules.check(shape, cluster, training, vars(space))
    found = evaluate(candidates(cluster, training, space), shape, cluster, training)
    order = np.lexsort((found["memory"], found["seconds"], found["reason"] != ""))
    return found.iloc[order].reset_index(drop=True)


def evaluate(
    layouts: pd.DataFrame, shape: ModelShape, cluster: Cluster, training: Training
) -> pd.DataFrame:
    """``layouts`` with what each costs and the reason against it."""
    costed = pd.concat([layouts, memory.heaviest_stage(layouts, shape, training)], axis=1)
    costed = pd.concat([costed, time.step(costed, shape, cluster, training)], axis=1)
    kept_to = [*rules.form(shape, cluster, training), rules.memory(cluster)]
    return costed.assign(reason=rules.reasons(costed, kept_to))


def near_misses(table: pd.DataFrame, number: int) -> pd.DataFrame:
    """Layouts that would be faster than the best one that works, had a device more memory.

    Args:
        table: as ``plan`` returns it.
        number: of rows at most, the least excess first. Where nothing works, the layouts that
            lack least.
    """
    works = table["reason"] == ""
    best = table.loc[works, "seconds"].min() if works.any() else np.inf
    short = table["reason"].str.startswith("a device of") & (table["seconds"] < best)
    return table[short].sort_values(["memory", "seconds"], kind="stable").head(number)
