"""What the cells of a study say: intervals over prompts, and differences that exclude zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from parsimony.compress.generation_study.design import Cell, plain
from parsimony.core import trials
from parsimony.core.errors import InputError
from parsimony.core.generation import Sampling
from parsimony.core.run import Run

if TYPE_CHECKING:
    from parsimony.compress.generation_study.study import Job

KIND = "generation-study"
COUNTED = ("nats", "distinct_1", "distinct_2", "distinct_3", "repetition", "length")
_EPSILON = 1e-12
_SHARED = ("texts", "settings", "lengths", "seeds")


def resilience(curve: Sequence[float], seeds: np.ndarray) -> float:
    """1 - (max - min of the curve) / (spread that seeds alone make): 1 is one that never moves, 0
    one that moves as far as the original does from seed to seed, below 0 one that moves further.

    Args:
        curve: a method's figure at each temperature of an interval, at least two.
        seeds: the same figure of the original, [seeds, temperatures]; its spread is the largest
            max - min over seeds.

    Raises:
        InputError: fewer than two temperatures or seeds.
    """
    if len(curve) < 2 or len(seeds) < 2:
        raise InputError(
            "resilience needs two temperatures and two seeds",
            got=f"{len(curve)} and {len(seeds)}",
        )
    spread = float((seeds.max(0) - seeds.min(0)).max())
    return 1 - (max(curve) - min(curve)) / (spread + _EPSILON)


def told(difference: trials.Interval, words: tuple[str, str]) -> dict[str, Any]:
    """A difference and what may be said of it: ``words`` for below and above, or none found."""
    below, above = words
    verdict = above if difference.estimate > 0 else below
    if difference.spans_zero:
        verdict = "no difference found"
    return {**difference.as_dict(), "verdict": verdict}


@dataclass(frozen=True)
class Cells:
    """Reads what a run keeps."""

    run: Run
    job: Job

    def counted(self, method: str, how: tuple[float, int | None], tokens: int) -> dict[str, Any]:
        """Values of every text by what is counted, [seeds, prompts]."""
        temperature, top_k = how
        read = [
            self.run.read(Cell(method, Sampling(temperature, top_k, seed), tokens).file)
            for seed in self.job.design.seeds_of(temperature)
        ]
        return {name: np.array([cell[name] for cell in read]) for name in COUNTED}

    def other(self, method: str, kind: str) -> dict[str, Any]:
        """``predictions`` or ``cost`` of a method."""
        found: dict[str, Any] = self.run.read(f"cells/{plain(method)}_{kind}.json")
        return found


def analyse(run: Run, job: Job) -> dict[str, Any]:
    """The contents of ``result.json``."""
    cells = Cells(run, job)
    methods = [_method(cells, job, method) for method in job.methods]
    compared = sum(len(each["samples"]) * len(COUNTED) for each in methods[1:])
    notes = [
        *job.notes,
        f"a difference from {job.reference} is called where its 95 % interval over prompts (and "
        f"seeds, where tokens are drawn) excludes 0; of {compared} comparisons of written texts "
        f"about {math.ceil(0.05 * compared)} would do so by chance alone",
        f"the perplexity of texts is that under {job.reference}",
    ]
    return {
        "kind": KIND,
        "model": {"name": job.original.name, "sha256": job.original.sha256},
        "reference": job.reference,
        "device": job.model.device.type,
        "identity": job.identity(),
        "between": list(job.request.between),
        "methods": methods,
        "notes": notes,
    }


def _method(cells: Cells, job: Job, method: str) -> dict[str, Any]:
    first = method == job.reference
    own, base = (cells.other(m, "predictions") for m in (method, job.reference))
    spent = cells.other(method, "cost")
    nats = np.array([own["nats"]])
    found: dict[str, Any] = {
        "method": method,
        "nats": trials.bootstrap(nats).as_dict(),
        "bytes": spent["bytes"],
        "peak_memory": spent["peak_memory"],
        "paces": spent["paces"],
        "form": spent["form"],
        "samples": [
            _sample(cells, job, method, setting, tokens)
            for tokens in job.design.lengths
            for setting in job.design.settings
        ],
    }
    if first:
        return found
    gap = trials.paired(nats, np.array([base["nats"]]))
    return {
        **found,
        "difference": told(gap, ("better", "worse")),
        "agreement": _interval(own["agreement"]),
        "divergence": [
            {
                "temperature": each["temperature"],
                "top_k": each["top_k"],
                **{name: _interval(each[name]) for name in ("kl", "total_variation")},
            }
            for each in own["divergence"]
        ],
        "resilience": _resilience(cells, job, method),
    }


def _interval(values: list[float]) -> dict[str, float]:
    return trials.bootstrap(np.array([values])).as_dict()


def _sample(
    cells: Cells, job: Job, method: str, setting: tuple[float, int | None], tokens: int
) -> dict[str, Any]:
    mine, base = (cells.counted(m, setting, tokens) for m in (method, job.reference))
    temperature, top_k = setting
    found: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "tokens": tokens}
    for name in COUNTED:
        found[name] = trials.bootstrap(mine[name]).as_dict()
        if method != job.reference:
            gap = trials.paired(mine[name], base[name])
            found[name]["difference"] = told(gap, ("lower", "higher"))
    found["perplexity"] = {end: math.exp(found["nats"][end]) for end in ("estimate", "low", "high")}
    return found


def _resilience(cells: Cells, job: Job, method: str) -> list[dict[str, Any]]:
    """Of the change in the nats per token of what is written, over ``between``; one for each top-k
    and length with two temperatures in it and two seeds.
    """
    low, high = job.request.between
    inside = [s for s in job.design.settings if low <= s[0] <= high and s[0] > 0]
    found = []
    for top_k in dict.fromkeys(k for _, k in inside):
        warm = [setting for setting in inside if setting[1] == top_k]
        if len(warm) < 2 or len(job.design.seeds) < 2:
            continue
        for tokens in job.design.lengths:
            mine, base = (
                np.stack([cells.counted(m, s, tokens)["nats"].mean(1) for s in warm], axis=1)
                for m in (method, job.reference)
            )
            curve = (mine - base).mean(0)
            value = resilience(curve.tolist(), base)
            found.append({"top_k": top_k, "tokens": tokens, "value": value})
    return found


def together(results: Sequence[dict[str, Any]]) -> None:
    """Refuse to put studies in one table that did not go on with the same texts, alike.

    Args:
        results: contents of ``result.json``.

    Raises:
        InputError: names what differs.
    """
    first, *others = results
    for other in others:
        if other.get("kind") != first["kind"]:
            raise InputError("only studies of generation stand in one table",
                             got=other.get("kind"))  # fmt: skip
        for name in _SHARED:
            mine, theirs = first["identity"][name], other["identity"][name]
            if mine != theirs:
                what = {"texts": "prompts and windows", "settings": "temperatures and top-k"}
                raise InputError(
                    f"studies in one table need the same {what.get(name, name)}",
                    got=f"{mine} and {theirs}",
                    hint="Run one of them again with the settings of the other",
                )
