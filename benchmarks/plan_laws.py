"""What a Chinchilla fit costs beside a loop of SciPy's BFGS, on one thread, in one process.

``python benchmarks/plan_laws.py [--json]`` prints two ratios with their spread, SciPy's time over
ours for 72 starts and for 4,000 resamples from the optimum (SciPy's share of which is timed on
100), and the largest relative difference of the losses, ours over SciPy's minus 1. Both have the
same starts, weights, analytic gradient and scaled objective. The runs are Epoch AI's 240 points
where ``PARSIMONY_DATA`` has them, and else 240 made-up ones.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
from scipy.optimize import minimize as scipy_minimize

from parsimony.core.fitting import Loss
from parsimony.core.fitting.law import Array
from parsimony.core.fitting.solver import SCALE, minimise
from parsimony.papers.tables import MissingTableError, published
from parsimony.plan.laws.chinchilla import EPOCH, Chinchilla, epoch_runs

REPETITIONS = 5
RESAMPLES, TIMED = 4000, 100
LAW, LOSS = Chinchilla(), Loss(Chinchilla.delta)


def runs() -> pd.DataFrame:
    """240 runs: N, D, loss."""
    try:
        return epoch_runs(published("chinchilla_epoch_extracted_245.csv", "Epoch AI"))
    except MissingTableError:
        random = np.random.default_rng(0)
        size, ratio = 10 ** random.uniform(7.7, 10.2, 240), 10 ** random.uniform(0, 2, 240)
        loss = EPOCH.loss(size, size * ratio) * np.exp(random.laplace(0, 0.004, 240))
        return pd.DataFrame({"N": size, "D": size * ratio, "loss": loss})


def loop(starts: Array, x: dict[str, Array], y: Array, weights: Array) -> Array:
    """SciPy's losses, one problem after the other."""

    def objective(theta: Array, weight: Array) -> tuple[float, Array]:
        value, gradient = LAW.evaluate(theta, x)
        residual = value - y
        loss = SCALE * float(LOSS.value(residual, weight))
        return loss, SCALE * gradient @ LOSS.slope(residual, weight)

    found = [
        scipy_minimize(objective, start, weight, method="BFGS", jac=True).fun
        for start, weight in zip(starts, weights, strict=True)
    ]
    return np.array(found) / SCALE


def measure(seed: int) -> tuple[float, float, float]:
    """Ratio of the starts, ratio of the resamples, largest difference of a loss."""
    table = runs()
    x = {name: table[name].to_numpy() for name in ("N", "D")}
    y, count = np.log(table["loss"].to_numpy()), len(table)
    starts, even = LAW.starts(x, y), np.ones((72, count))
    random = np.random.default_rng(seed)
    drawn = random.multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(float)

    clock = [time.perf_counter()]
    thetas, ours = minimise(LAW, starts, x, y, even, LOSS)
    clock.append(time.perf_counter())
    theirs = loop(starts, x, y, even)
    clock.append(time.perf_counter())
    best = np.tile(thetas[ours.argmin()], (RESAMPLES, 1))
    _, resampled = minimise(LAW, best, x, y, drawn, LOSS)
    clock.append(time.perf_counter())
    alone = loop(best[:TIMED], x, y, drawn[:TIMED])
    clock.append(time.perf_counter())
    first, second, third, fourth = np.diff(clock)
    differences = [ours.min() / theirs.min() - 1, *(resampled[:TIMED] / alone - 1)]
    return second / first, fourth * RESAMPLES / TIMED / third, max(differences)


def main(arguments: list[str]) -> None:
    names = ("72 starts, SciPy over ours", "4,000 resamples, SciPy over ours", "loss, ours over "
             "SciPy's minus 1, largest")  # fmt: skip
    measured = [measure(seed) for seed in range(REPETITIONS)]
    rows = [
        {"name": name, "median": statistics.median(v), "min": min(v), "max": max(v)}
        for name, v in zip(names, map(list, zip(*measured, strict=True)), strict=True)
    ]
    if arguments == ["--json"]:
        json.dump(rows, sys.stdout, indent=2)
    else:
        for row in rows:
            print(f"{row['name']}: {row['median']:.3g} ({row['min']:.3g} .. {row['max']:.3g})")


if __name__ == "__main__":
    main(sys.argv[1:])
