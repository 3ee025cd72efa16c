"""What the benchmarks share: a row of a result, its table, times in turns, the memory of a step."""

from __future__ import annotations

import gc
import json
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["KINETO_LOG_LEVEL"] = "6"  # the profiler would note its every start and stop

import torch
from torch.profiler import ProfilerActivity, profile

from parsimony.core import run
from parsimony.core.errors import ParsimonyError

FEWEST = 5  # repetitions below which no spread is printed
_FORMS = {
    "ratio": (1, "{:.3f}"),
    "relative error": (100, "{:+.1f} %"),
    "count": (1, "{:,.0f}"),
    "milliseconds": (1, "{:.2f}"),
}


@dataclass(frozen=True)
class Row:
    """One line of the result.

    Attributes:
        name: what is compared with what.
        unit: ``"ratio"``, ``"relative error"``, ``"count"`` or ``"milliseconds"``.
        values: one per repetition, at least ``FEWEST`` and all finite.
    """

    name: str
    unit: str
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.values) < FEWEST or not all(map(math.isfinite, self.values)):
            raise ParsimonyError(
                f"'{self.name}' needs {FEWEST} finite measurements to be printed", got=self.values
            )

    def as_dict(self) -> dict[str, Any]:
        """Median, extremes and the values themselves; ready for JSON."""
        return {
            "name": self.name,
            "unit": self.unit,
            "median": statistics.median(self.values),
            "min": min(self.values),
            "max": max(self.values),
            "values": list(self.values),
        }

    def cells(self) -> tuple[str, str, str, str]:
        """Name, median, spread and repetitions as text."""
        scale, form = _FORMS[self.unit]
        middle, low, high = (
            form.format(scale * v)
            for v in (statistics.median(self.values), min(self.values), max(self.values))
        )
        return self.name, middle, f"{low} .. {high}", str(len(self.values))


def spent(call: Callable[[], object]) -> float:
    """Seconds of processor time."""
    start = time.process_time()
    call()
    return time.process_time() - start


def ratios(ours: Callable[[], object], peer: Callable[[], object], times: int) -> tuple[float, ...]:
    """Time of ours over the peer's; the two take turns, and the first of a turn changes."""
    found = []
    for repetition in range(FEWEST):
        sums = {ours: 0.0, peer: 0.0}
        for turn in range(times):
            for call in (ours, peer) if (repetition + turn) % 2 else (peer, ours):
                sums[call] += spent(call)
        found.append(sums[ours] / sums[peer])
    return tuple(found)


def peaks(step: Callable[[], None], standing: Iterable[torch.Tensor]) -> list[int]:
    """Most tensor bytes alive in each of ``FEWEST`` calls of ``step``, as torch's profiler sees it.

    Args:
        step: takes no more memory than it gives back; called once before, so that it does.
        standing: all tensors that are alive between two calls.
    """
    base = storage_bytes(standing)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(FEWEST):
            gc.collect()
            with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
                step()
            file = Path(folder) / "profile.json"
            profiler.export_chrome_trace(str(file))
            changes = [
                event for event in json.loads(file.read_text())["traceEvents"]
                if event.get("name") == "[memory]"
            ]  # fmt: skip
            if not changes:
                raise ParsimonyError("torch's profiler saw no allocation; nothing was measured")
            now = peak = base
            for change in sorted(changes, key=lambda event: event["ts"]):
                now += change["args"]["Bytes"]
                peak = max(peak, now)
            found.append(peak)
    return found


def storage_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of the storages behind ``tensors``, shared ones once."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage() for t in tensors}
    return sum(storage.nbytes() for storage in storages.values())


def show(rows: list[Row], as_json: bool, not_run: Sequence[str] = ()) -> None:
    """Print the rows as a table, or as JSON with the environment they were measured in.

    Args:
        rows: what was measured.
        as_json: instead of a table.
        not_run: what was not, and why.
    """
    if as_json:
        record = {"rows": [row.as_dict() for row in rows], **run.environment(seed=0)}
        record |= {"not_run": list(not_run)} if not_run else {}
        json.dump(record, sys.stdout, indent=2, allow_nan=False)
        print()
        return
    table = [("", "median", "min .. max", "n"), *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(4)]
    for line in table:
        print(f"{line[0]:<{widths[0]}}  " + "  ".join(
            f"{cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True)
        ))  # fmt: skip
    for reason in not_run:
        print(f"not run: {reason}")
