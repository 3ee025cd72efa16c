# Long because every figure that can be checked is a claim of its own.
"""Job-SDF: A Multi-Granularity Dataset for Job Skill Demand Forecasting and Benchmarking."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

from parsimony.papers.claim import Measurement, claim

if TYPE_CHECKING:
    import numpy as np

    from parsimony.estimate.demand import DemandForecaster, DemandTable

CARD = {
    "slug": "job-sdf",
    "title": (
        "Job-SDF: A Multi-Granularity Dataset for Job Skill Demand Forecasting and Benchmarking"
    ),
    "authors": None,
    "year": 2024,
    "arxiv": "2406.11920",
    "venue": "NeurIPS 2024 (datasets and benchmarks)",
    "areas": ("estimate",),
    "mechanism": "estimate/demand",
    "summary": (
        "Fits and scores forecasters of monthly skill demand at several granularities and "
        "says which to trust for which series."
    ),
    "official_code": ("Job-SDF/benchmark",),
    "licence": "no licence file",
}

SEEDS = tuple(range(8))
"""Of the generated hierarchies: 200 skills in 7 regions, 36 months."""


def over_seeds(values: list[float], note: str) -> Measurement:
    """Mean with its t interval of 95 %."""
    import numpy as np
    from scipy import stats

    mean, error = float(np.mean(values)), float(stats.sem(values))
    low, high = stats.t.interval(0.95, len(values) - 1, mean, error)
    return Measurement(mean, (float(low), float(high)), note=f"{note}; {len(values)} seeds")


def pair(forecast: float, actual: float) -> dict[str, float | None]:
    """The metrics of one value."""
    import numpy as np

    from parsimony.estimate.demand import metrics

    return metrics.score(*(np.full((1, 1, 1), v) for v in (actual, forecast)))


@functools.cache
def fitted(seed: int) -> DemandForecaster:
    """The quick forecasters and their ensemble on a generated hierarchy."""
    from parsimony.estimate.demand import DemandForecaster
    from parsimony.estimate.demand.generate import generate

    return DemandForecaster(seed=seed).fit(generate(200, 7, seed=seed).table)


def estimate(seed: int, model: str, metric: str = "mae", subset: str = "all") -> float:
    """One figure of a fit's summary."""
    return float(fitted(seed).summary_.loc[(model, subset, metric), "estimate"])


@functools.cache
def real(level: str) -> DemandTable:
    """The benchmark's own table, where the user has it as CSV."""
    from parsimony.estimate.demand.table import from_frame
    from parsimony.papers.tables import published

    name = f"job_sdf_{level}.csv"
    origin = f"Job-SDF/benchmark, the demand table of {level}, written as CSV"
    return from_frame(published(name, origin), source=name)


def baseline(name: str, metric: str) -> Measurement:
    """A simple forecaster on the benchmark's r0."""
    from parsimony.estimate.demand import metrics
    from parsimony.estimate.demand.forecaster import forecasters, rolling
    from parsimony.estimate.demand.protocol import Protocol

    values, protocol = real("r0").values, Protocol()
    origins = protocol.origins("test")
    found = rolling(forecasters()[name](), values, origins, protocol.horizon)
    value = metrics.score(protocol.targets(values, origins), found)[metric]
    return Measurement(float(value or 0), note=f"{name}, 4 windows of 3 months")


@claim(
    name="smape-three-for-one",
    statement="SMAPE of a forecast of 3 where 1 was.",
    published=50.0,
    source="derived",
    unit="percent",
    direction="equal",
    level="exact",
    tolerance=1e-12,
)
def smape_three_for_one() -> Measurement:
    return Measurement(pair(3, 1)["smape"] or 0, note="metrics.score")


@claim(
    name="smape-nothing-for-five",
    statement="SMAPE of a forecast of 0 where 5 was.",
    published=100.0,
    source="derived",
    unit="percent",
    direction="equal",
    level="exact",
    tolerance=1e-12,
)
def smape_nothing_for_five() -> Measurement:
    return Measurement(pair(0, 5)["smape"] or 0, note="metrics.score")


@claim(
    name="smape-nothing-for-nothing",
    statement="SMAPE of a forecast of 0 where 0 was; the official code yields NaN.",
    published=0.0,
    source="derived",
    unit="percent",
    direction="equal",
    level="exact",
)
def smape_nothing_for_nothing() -> Measurement:
    found = pair(0, 0)
    return Measurement(
        found["smape"] or 0, note=f"share of 0/0 told beside it: {found['smape_zero_share']:g}"
    )


@claim(
    name="windows-train",
    statement="Windows of 6 + 3 months in the part train of 36 months.",
    published=19.0,
    source="official code",
    unit="windows",
    direction="equal",
    level="exact",
)
def windows_train() -> Measurement:
    from parsimony.estimate.demand import Protocol

    return Measurement(float(len(Protocol().origins("train"))), note="27/3/6 months")


@claim(
    name="windows-validation",
    statement="Windows of 6 + 3 months in the part validation of 36 months.",
    published=1.0,
    source="official code",
    unit="windows",
    direction="equal",
    level="exact",
)
def windows_validation() -> Measurement:
    from parsimony.estimate.demand import Protocol

    return Measurement(float(len(Protocol().origins("validation"))), note="27/3/6 months")


@claim(
    name="windows-test",
    statement="Windows of 6 + 3 months in the part test of 36 months.",
    published=4.0,
    source="official code",
    unit="windows",
    direction="equal",
    level="exact",
)
def windows_test() -> Measurement:
    from parsimony.estimate.demand import Protocol

    return Measurement(float(len(Protocol().origins("test"))), note="27/3/6 months")


@claim(
    name="first-test-origin",
    statement="The first test window forecasts from month 30.",
    published=30.0,
    source="official code",
    unit="month",
    direction="equal",
    level="exact",
)
def first_test_origin() -> Measurement:
    from parsimony.estimate.demand import Protocol

    origins = Protocol().origins("test")
    return Measurement(float(origins[0]), note=f"origins {origins}")


@claim(
    name="no-test-month-is-used",
    statement="Test months change nothing of scaling, choice or the first test forecast.",
    published=0.0,
    source="derived",
    unit="values that differ",
    direction="equal",
    level="exact",
)
def no_test_month_is_used() -> Measurement:
    import numpy as np

    from parsimony.estimate.demand import DemandForecaster
    from parsimony.estimate.demand.generate import generate

    table = generate(20, 3).table
    spoiled = table.values.copy()
    spoiled[:, 30:] = np.random.default_rng(0).integers(0, 1000, spoiled[:, 30:].shape)
    one, other = (
        DemandForecaster("naive,ses,ridge").fit(table.with_values(table.months, values))
        for values in (table.values, spoiled)
    )
    differ = sum(
        int((found[:, 0] != other.forecasts_[name][:, 0]).sum())
        for name, found in one.forecasts_.items()
    )
    differ += int((one.selection_.weights != other.selection_.weights).to_numpy().sum())
    differ += int((one.selection_.errors != other.selection_.errors).to_numpy().sum())
    return Measurement(float(differ), note="after all test months were replaced by noise")


@claim(
    name="leakage-is-refused",
    statement="More months than those of training are refused for scaling, as leakage.",
    published=1.0,
    source="derived",
    unit="refusals",
    direction="equal",
    level="exact",
)
def leakage_is_refused() -> Measurement:
    import numpy as np

    from parsimony.core.errors import InputError
    from parsimony.estimate.demand import Protocol

    try:
        Protocol().scaler(np.ones((2, 36)))
    except InputError as error:
        return Measurement(1.0, note=str(error))
    return Measurement(0.0, note="not refused")


@claim(
    name="additive-check",
    statement="The check of levels names the first mismatch: level, month and difference.",
    published=7.0,
    source="derived",
    unit="demand",
    direction="equal",
    level="exact",
)
def additive_check() -> Measurement:
    import re

    from parsimony.core.errors import DataError
    from parsimony.estimate.demand.generate import generate
    from parsimony.estimate.demand.hierarchy import by_keys

    table = generate(30, 7).table
    levels = by_keys(table, ["skill_id"])
    values = levels.aggregate(table.values)
    levels.check(values, table.months, "drawn")
    values[3, 8] += 7
    try:
        levels.check(values, table.months, "drawn")
    except DataError as error:
        found = re.search(r"level 'skill_id'.* in 2021-09 differs by ([+-]\d+)", str(error))
        return Measurement(float(found[1]) if found else 0.0, note=str(error))
    return Measurement(0.0, note="not seen")


@claim(
    name="dropped-batch",
    statement=(
        "Dropping the last, smaller batch changes the mean absolute error; all are scored here."
    ),
    published=None,
    source="official code",
    unit="percent",
    direction="at least",
    level="exact",
    published_text="The test loader drops the last batch",
)
def dropped_batch() -> Measurement:
    import numpy as np

    from parsimony.estimate.demand import Protocol, metrics
    from parsimony.estimate.demand.generate import generate

    values, protocol = generate(30, 3).table.values, Protocol()
    actual = protocol.targets(values, protocol.origins("test"))
    naive = np.repeat(values[:, 29:33, None], 3, axis=2)
    whole = metrics.score(actual, naive)["mae"] or 0
    kept = metrics.score(actual[:64], naive[:64])["mae"] or 0
    change = 100 * abs(kept / whole - 1)
    return Measurement(change, note="90 series in batches of 64", holds=change > 0)


@claim(
    name="chow-size",
    statement="A known date: share of 5,000 series without a break that are rejected at 5 %.",
    published=5.0,
    source="derived",
    unit="percent",
    direction="equal",
    level="exact",
    tolerance=1.0,
)
def chow_size() -> Measurement:
    import numpy as np

    from parsimony.estimate.demand import breaks

    noise = np.random.default_rng(0).normal(size=(5000, 36))
    share = float((breaks.chow(noise, 18).p < 0.05).mean())
    half = 196 * (share * (1 - share) / 5000) ** 0.5
    return Measurement(
        100 * share, (100 * share - half, 100 * share + half), note="constant and trend, month 18"
    )


@claim(
    name="chow-power",
    statement="The power of the test at a known date rises with the size of the break.",
    published=0.0,
    source="derived",
    unit="percent",
    direction="at least",
    level="exact",
)
def chow_power() -> Measurement:
    import numpy as np

    from parsimony.estimate.demand import breaks

    noise = np.random.default_rng(1).normal(size=(2000, 36))
    after = np.arange(36) >= 18
    power = [
        100 * float((breaks.chow(noise + size * after, 18).p < 0.05).mean())
        for size in (0, 0.5, 1, 2, 3)
    ]
    told = ", ".join(f"{p:.1f}" for p in power)
    return Measurement(
        float(np.diff(power).min()), note=f"smallest rise; power at 0, 0.5, 1, 2, 3 sd: {told} %"
    )


@claim(
    name="any-date-uncorrected",
    statement="Without a correction the largest F over all dates rejects far more than 5 %.",
    published=10.0,
    source="derived",
    unit="percent",
    direction="at least",
    level="exact",
)
def any_date_uncorrected() -> Measurement:
    import numpy as np

    from parsimony.estimate.demand import breaks

    noise = np.random.default_rng(2).normal(size=(5000, 36))
    share = {
        rule: 100 * float((breaks.sup_f(noise, rule=rule).p < 0.05).mean())
        for rule in ("none", "bonferroni", "simulated")
    }
    return Measurement(
        share["none"], note=", ".join(f"{rule} {value:.1f} %" for rule, value in share.items())
    )


@claim(
    name="load-in-three-seconds",
    statement="A CSV of 32,690 series of 36 months is read and checked in under 3 s.",
    published=3.0,
    source="derived",
    unit="seconds",
    direction="at most",
    level="cpu",
)
def load_in_three_seconds() -> Measurement:
    import tempfile
    from pathlib import Path

    from parsimony.estimate.demand import table
    from parsimony.estimate.demand.generate import generate

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "r1.csv"
        table.write(generate(2335, 14).table, file)
        spent = []
        for _ in range(5):
            start = time.process_time()
            table.read(file)
            spent.append(time.process_time() - start)
    return Measurement(max(spent), (min(spent), max(spent)), note="slowest of 5, processor time")


@claim(
    name="ridge-beats-naive",
    statement=(
        "The shared ridge on differences has a MAE at least 5 % below naive on generated data."
    ),
    published=5.0,
    source="derived",
    unit="percent",
    direction="at least",
    level="cpu",
)
def ridge_beats_naive() -> Measurement:
    gains = [100 * (1 - estimate(s, "ridge") / estimate(s, "naive")) for s in SEEDS]
    return over_seeds(gains, "below the naive MAE, 200 skills in 7 regions")


@claim(
    name="ensemble-beats-naive",
    statement=(
        "The ensemble chosen before the test has a MAE at least 5 % below naive on generated data."
    ),
    published=5.0,
    source="derived",
    unit="percent",
    direction="at least",
    level="cpu",
)
def ensemble_beats_naive() -> Measurement:
    gains = [100 * (1 - estimate(s, "ensemble") / estimate(s, "naive")) for s in SEEDS]
    return over_seeds(gains, "below the naive MAE, 200 skills in 7 regions")


@claim(
    name="ensemble-near-the-best",
    statement=(
        "The ensemble is at most 2 % worse than the best single baseline, known only afterwards."
    ),
    published=2.0,
    source="derived",
    unit="percent",
    direction="at most",
    level="cpu",
)
def ensemble_near_the_best() -> Measurement:
    gaps = []
    for seed in SEEDS:
        mae = fitted(seed).summary_.xs(("all", "mae"), level=("subset", "metric"))["estimate"]
        gaps.append(100 * (mae["ensemble"] / mae.drop("ensemble").min() - 1))
    return over_seeds(gaps, "above the best of six in each seed")


@claim(
    name="no-model-wins-everywhere",
    statement="No model is the best on every subset.",
    published=2.0,
    source="recalled",
    unit="models",
    direction="at least",
    level="cpu",
)
def no_model_wins_everywhere() -> Measurement:
    import numpy as np

    counts, best = [], set()
    for seed in SEEDS:
        mae = fitted(seed).summary_.xs("mae", level="metric")["estimate"].unstack("subset")
        mae = mae.drop("ensemble")[["low-frequency", "structural-break", "non-break"]]
        winners = set(mae.idxmin())
        counts.append(len(winners))
        best |= winners
    return Measurement(
        float(np.mean(counts)),
        (float(min(counts)), float(max(counts))),
        note=f"best models over 3 subsets of each of {len(SEEDS)} seeds; in all {sorted(best)}",
    )


@claim(
    name="breaks-stay-hard",
    statement="Series with a structural break are harder than the others, for the ensemble.",
    published=1.0,
    source="recalled",
    unit="ratio",
    direction="at least",
    level="cpu",
)
def breaks_stay_hard() -> Measurement:
    ratios = [
        estimate(s, "ensemble", "mase", "structural-break")
        / estimate(s, "ensemble", "mase", "non-break")
        for s in SEEDS
    ]
    return over_seeds(ratios, "MASE with a break over MASE without")


@functools.cache
def reconciled(method: str) -> tuple[float, list[float]]:
    """Largest incoherence, and change of the bottom's RMSE in percent, of Theta on 60 skills."""

    from parsimony.estimate.demand import Protocol, metrics
    from parsimony.estimate.demand.forecaster import forecasters, rolling
    from parsimony.estimate.demand.generate import generate
    from parsimony.estimate.demand.hierarchy import by_keys
    from parsimony.estimate.demand.reconcile import reconcile

    protocol, gaps, changes = Protocol(), [], []
    for seed in SEEDS:
        table = generate(60, 7, seed=seed).table
        levels = by_keys(table, ["skill_id"])
        values, model = levels.aggregate(table.values), forecasters()["theta"]()

        def flat(found: np.ndarray) -> np.ndarray:
            return found.reshape(len(found), -1)

        early, late = protocol.choosing(), protocol.origins("test")
        before = rolling(model, values, early, 3)
        after = rolling(model, values, late, 3)
        found = reconcile(
            levels, flat(after), method, flat(protocol.targets(values, early)), flat(before)
        ).reshape(after.shape)
        actual = protocol.targets(values, late)[-levels.bottom :]
        base, made = (
            metrics.score(actual, f[-levels.bottom :])["rmse"] or 0.0 for f in (after, found)
        )
        gaps.append(levels.incoherence(found))
        changes.append(100 * (made / base - 1))
    return max(gaps), changes


@claim(
    name="ols-is-coherent",
    statement="Forecasts reconciled by OLS add up to 1e-8 in every level, window and month.",
    published=0.0,
    source="derived",
    unit="demand",
    direction="equal",
    level="cpu",
    tolerance=1e-08,
)
def ols_is_coherent() -> Measurement:
    return Measurement(reconciled("ols")[0], note="largest |node - sum of its parts|, Theta")


@claim(
    name="ols-lowers-the-error",
    statement="Reconciling by OLS lowers the RMSE of the bottom series on average.",
    published=0.0,
    source="derived",
    unit="percent",
    direction="at most",
    level="cpu",
)
def ols_lowers_the_error() -> Measurement:
    return over_seeds(reconciled("ols")[1], "change of the RMSE of Theta, 60 skills in 7 regions")


@claim(
    name="mint-is-coherent",
    statement="Forecasts reconciled by MinT add up to 1e-8 in every level, window and month.",
    published=0.0,
    source="derived",
    unit="demand",
    direction="equal",
    level="cpu",
    tolerance=1e-08,
)
def mint_is_coherent() -> Measurement:
    return Measurement(reconciled("mint")[0], note="largest |node - sum of its parts|, Theta")


@claim(
    name="mint-lowers-the-error",
    statement="Reconciling by MinT lowers the RMSE of the bottom series on average.",
    published=0.0,
    source="derived",
    unit="percent",
    direction="at most",
    level="cpu",
)
def mint_lowers_the_error() -> Measurement:
    return over_seeds(reconciled("mint")[1], "change of the RMSE of Theta, 60 skills in 7 regions")


def trained(name: str) -> Measurement:
    """Seconds of one thread to train a model on a table of r1's size."""
    from parsimony.estimate.demand.forecaster import forecasters
    from parsimony.estimate.demand.generate import generate

    values = generate(2335, 14).table.values[:, :30]
    model = forecasters()[name]()
    start = time.process_time()
    model.fit(values)
    spent = time.process_time() - start
    return Measurement(
        spent,
        note=f"{len(values):,} series, {len(model.losses_)} epochs, {model.parameters_:,} weights",
    )


@claim(
    name="dlinear-trains-in-minutes",
    statement="DLinear trains on 32,690 series in under 5 minutes of a CPU.",
    published=300.0,
    source="derived",
    unit="seconds",
    direction="at most",
    level="cpu",
)
def dlinear_trains_in_minutes() -> Measurement:
    return trained("dlinear")


@claim(
    name="segrnn-trains-in-minutes",
    statement="SegRNN trains on 32,690 series in under 5 minutes of a CPU.",
    published=300.0,
    source="derived",
    unit="seconds",
    direction="at most",
    level="cpu",
)
def segrnn_trains_in_minutes() -> Measurement:
    return trained("segrnn")


@claim(
    name="patchtst-trains-in-minutes",
    statement="PatchTST trains on 32,690 series in under 5 minutes of a CPU.",
    published=300.0,
    source="derived",
    unit="seconds",
    direction="at most",
    level="cpu",
)
def patchtst_trains_in_minutes() -> Measurement:
    return trained("patchtst")


@claim(
    name="total-demand-r0",
    statement="Total demand in the table of r0.",
    published=81322833.0,
    source="official data",
    unit="demand",
    direction="equal",
    level="exact",
    tolerance=0.5,
)
def total_demand_r0() -> Measurement:
    return Measurement(float(real("r0").values.sum()), note="sum of all cells")


@claim(
    name="total-demand-region",
    statement="Total demand in the table of region.",
    published=81322833.0,
    source="official data",
    unit="demand",
    direction="equal",
    level="exact",
    tolerance=0.5,
)
def total_demand_region() -> Measurement:
    return Measurement(float(real("region").values.sum()), note="sum of all cells")


@claim(
    name="demand-in-2021-01",
    statement="Total demand of the month 2021-01.",
    published=1274931.0,
    source="official data",
    unit="demand",
    direction="equal",
    level="exact",
    tolerance=0.5,
)
def demand_in_2021_01() -> Measurement:
    return Measurement(float(real("r0").values[:, 0].sum()), note="r0")


@claim(
    name="demand-in-2023-12",
    statement="Total demand of the month 2023-12.",
    published=2715940.0,
    source="official data",
    unit="demand",
    direction="equal",
    level="exact",
    tolerance=0.5,
)
def demand_in_2023_12() -> Measurement:
    return Measurement(float(real("r0").values[:, -1].sum()), note="r0")


@claim(
    name="zero-cells-r0",
    statement="Share of cells that are 0 in the table of r0.",
    published=8.99,
    source="official data",
    unit="percent",
    direction="equal",
    level="exact",
    tolerance=0.005,
)
def zero_cells_r0() -> Measurement:
    return Measurement(100 * float((real("r0").values == 0).mean()), note="all months")


@claim(
    name="zero-cells-region",
    statement="Share of cells that are 0 in the table of region.",
    published=30.27,
    source="official data",
    unit="percent",
    direction="equal",
    level="exact",
    tolerance=0.005,
)
def zero_cells_region() -> Measurement:
    return Measurement(100 * float((real("region").values == 0).mean()), note="all months")


@claim(
    name="zero-cells-r1",
    statement="Share of cells that are 0 in the table of r1.",
    published=52.91,
    source="official data",
    unit="percent",
    direction="equal",
    level="exact",
    tolerance=0.005,
)
def zero_cells_r1() -> Measurement:
    return Measurement(100 * float((real("r1").values == 0).mean()), note="all months")


@claim(
    name="zero-cells-r2",
    statement="Share of cells that are 0 in the table of r2.",
    published=72.4,
    source="official data",
    unit="percent",
    direction="equal",
    level="exact",
    tolerance=0.005,
)
def zero_cells_r2() -> Measurement:
    return Measurement(100 * float((real("r2").values == 0).mean()), note="all months")


@claim(
    name="all-zero-series-r0",
    statement="Series of r0 without any demand.",
    published=16.0,
    source="official data",
    unit="series",
    direction="equal",
    level="exact",
)
def all_zero_series_r0() -> Measurement:
    return Measurement(float((real("r0").values == 0).all(axis=1).sum()), note="36 months")


@claim(
    name="all-zero-series-region",
    statement="Series of region without any demand.",
    published=1119.0,
    source="official data",
    unit="series",
    direction="equal",
    level="exact",
)
def all_zero_series_region() -> Measurement:
    return Measurement(float((real("region").values == 0).all(axis=1).sum()), note="36 months")


@claim(
    name="all-zero-series-r1",
    statement="Series of r1 without any demand.",
    published=6948.0,
    source="official data",
    unit="series",
    direction="equal",
    level="exact",
)
def all_zero_series_r1() -> Measurement:
    return Measurement(float((real("r1").values == 0).all(axis=1).sum()), note="36 months")


@claim(
    name="all-zero-series-r2",
    statement="Series of r2 without any demand.",
    published=50805.0,
    source="official data",
    unit="series",
    direction="equal",
    level="exact",
)
def all_zero_series_r2() -> Measurement:
    return Measurement(float((real("r2").values == 0).all(axis=1).sum()), note="36 months")


@claim(
    name="rare-series-r0",
    statement="Series of r0 with at most one month that is not zero.",
    published=28.0,
    source="official data",
    unit="series",
    direction="equal",
    level="exact",
)
def rare_series_r0() -> Measurement:
    from parsimony.estimate.demand.subsets import low_frequency

    return Measurement(float(low_frequency(real("r0").values).sum()), note="low_frequency")


@claim(
    name="rare-series-region",
    statement="Series of region with at most one month that is not zero.",
    published=1609.0,
    source="official data",
    unit="series",
    direction="equal",
    level="exact",
)
def rare_series_region() -> Measurement:
    from parsimony.estimate.demand.subsets import low_frequency

    return Measurement(float(low_frequency(real("region").values).sum()), note="low_frequency")


@claim(
    name="naive-mae-r0",
    statement="MAE of naive on r0.",
    published=189.8751,
    source="official data",
    unit="demand",
    direction="equal",
    level="exact",
    tolerance=5.1e-05,
)
def naive_mae_r0() -> Measurement:
    return baseline("naive", "mae")


@claim(
    name="naive-rmse-r0",
    statement="RMSE of naive on r0.",
    published=925.2619,
    source="official data",
    unit="demand",
    direction="equal",
    level="exact",
    tolerance=5.1e-05,
)
def naive_rmse_r0() -> Measurement:
    return baseline("naive", "rmse")


@claim(
    name="naive-smape-r0",
    statement="SMAPE of naive on r0.",
    published=21.0806,
    source="official data",
    unit="percent",
    direction="equal",
    level="exact",
    tolerance=5.1e-05,
)
def naive_smape_r0() -> Measurement:
    return baseline("naive", "smape")


@claim(
    name="naive-rrmse-pred-r0",
    statement="RRMSE over the forecast of naive on r0.",
    published=20.074,
    source="official data",
    unit="percent",
    direction="equal",
    level="exact",
    tolerance=5.1e-05,
)
def naive_rrmse_pred_r0() -> Measurement:
    return baseline("naive", "rrmse_pred")


@claim(
    name="naive-rrmse-r0",
    statement="RRMSE of naive on r0.",
    published=19.3922,
    source="official data",
    unit="percent",
    direction="equal",
    level="exact",
    tolerance=5.1e-05,
)
def naive_rrmse_r0() -> Measurement:
    return baseline("naive", "rrmse")


@claim(
    name="window-mean-mae-r0",
    statement="MAE of window-mean on r0.",
    published=171.3815,
    source="official data",
    unit="demand",
    direction="equal",
    level="exact",
    tolerance=5.1e-05,
)
def window_mean_mae_r0() -> Measurement:
    return baseline("window-mean", "mae")


@claim(
    name="window-mean-rmse-r0",
    statement="RMSE of window-mean on r0.",
    published=874.9773,
    source="official data",
    unit="demand",
    direction="equal",
    level="exact",
    tolerance=5.1e-05,
)
def window_mean_rmse_r0() -> Measurement:
    return baseline("window-mean", "rmse")


@claim(
    name="window-mean-smape-r0",
    statement="SMAPE of window-mean on r0.",
    published=20.5643,
    source="official data",
    unit="percent",
    direction="equal",
    level="exact",
    tolerance=5.1e-05,
)
def window_mean_smape_r0() -> Measurement:
    return baseline("window-mean", "smape")


@claim(
    name="window-mean-rrmse-pred-r0",
    statement="RRMSE over the forecast of window-mean on r0.",
    published=19.7455,
    source="official data",
    unit="percent",
    direction="equal",
    level="exact",
    tolerance=5.1e-05,
)
def window_mean_rrmse_pred_r0() -> Measurement:
    return baseline("window-mean", "rrmse_pred")


@claim(
    name="window-mean-rrmse-r0",
    statement="RRMSE of window-mean on r0.",
    published=18.3383,
    source="official data",
    unit="percent",
    direction="equal",
    level="exact",
    tolerance=5.1e-05,
)
def window_mean_rrmse_r0() -> Measurement:
    return baseline("window-mean", "rrmse")


@claim(
    name="ses-mae-r0",
    statement="MAE of ses on r0.",
    published=171.562,
    source="official data",
    unit="demand",
    direction="equal",
    level="exact",
    tolerance=0.00051,
)
def ses_mae_r0() -> Measurement:
    return baseline("ses", "mae")


@claim(
    name="ses-rmse-r0",
    statement="RMSE of ses on r0.",
    published=877.236,
    source="official data",
    unit="demand",
    direction="equal",
    level="exact",
    tolerance=0.00051,
)
def ses_rmse_r0() -> Measurement:
    return baseline("ses", "rmse")


@claim(
    name="ses-smape-r0",
    statement="SMAPE of ses on r0.",
    published=23.431,
    source="official data",
    unit="percent",
    direction="equal",
    level="exact",
    tolerance=0.00051,
)
def ses_smape_r0() -> Measurement:
    return baseline("ses", "smape")


@claim(
    name="ses-rrmse-pred-r0",
    statement="RRMSE over the forecast of ses on r0.",
    published=19.772,
    source="official data",
    unit="percent",
    direction="equal",
    level="exact",
    tolerance=0.00051,
)
def ses_rrmse_pred_r0() -> Measurement:
    return baseline("ses", "rrmse_pred")


@claim(
    name="ses-rrmse-r0",
    statement="RRMSE of ses on r0.",
    published=18.386,
    source="official data",
    unit="percent",
    direction="equal",
    level="exact",
    tolerance=0.00051,
)
def ses_rrmse_r0() -> Measurement:
    return baseline("ses", "rrmse")


@claim(
    name="seasonal-naive-mae-r0",
    statement="MAE of seasonal-naive on r0.",
    published=304.8491,
    source="official data",
    unit="demand",
    direction="equal",
    level="exact",
    tolerance=5.1e-05,
)
def seasonal_naive_mae_r0() -> Measurement:
    return baseline("seasonal-naive", "mae")


@claim(
    name="seasonal-naive-rmse-r0",
    statement="RMSE of seasonal-naive on r0.",
    published=1722.3045,
    source="official data",
    unit="demand",
    direction="equal",
    level="exact",
    tolerance=5.1e-05,
)
def seasonal_naive_rmse_r0() -> Measurement:
    return baseline("seasonal-naive", "rmse")


@claim(
    name="seasonal-naive-smape-r0",
    statement="SMAPE of seasonal-naive on r0.",
    published=25.8022,
    source="official data",
    unit="percent",
    direction="equal",
    level="exact",
    tolerance=5.1e-05,
)
def seasonal_naive_smape_r0() -> Measurement:
    return baseline("seasonal-naive", "smape")


@claim(
    name="seasonal-naive-rrmse-pred-r0",
    statement="RRMSE over the forecast of seasonal-naive on r0.",
    published=47.9601,
    source="official data",
    unit="percent",
    direction="equal",
    level="exact",
    tolerance=5.1e-05,
)
def seasonal_naive_rrmse_pred_r0() -> Measurement:
    return baseline("seasonal-naive", "rrmse_pred")


@claim(
    name="seasonal-naive-rrmse-r0",
    statement="RRMSE of seasonal-naive on r0.",
    published=36.0971,
    source="official data",
    unit="percent",
    direction="equal",
    level="exact",
    tolerance=5.1e-05,
)
def seasonal_naive_rrmse_r0() -> Measurement:
    return baseline("seasonal-naive", "rrmse")


@claim(
    name="ridge-mae-r0",
    statement="MAE of the shared ridge on differences, on r0.",
    published=177.3,
    source="official data",
    unit="demand",
    direction="equal",
    level="exact",
    tolerance=0.5,
)
def ridge_mae_r0() -> Measurement:
    return baseline("ridge", "mae")


@claim(
    name="ridge-beats-naive-r0",
    statement=(
        "On r0 the shared ridge has a MAE at least 5 % below naive; the mean of 3 months is "
        "better still."
    ),
    published=5.0,
    source="official data",
    unit="percent",
    direction="at least",
    level="exact",
)
def ridge_beats_naive_r0() -> Measurement:
    ridge, naive, mean = (baseline(name, "mae").value for name in ("ridge", "naive", "window-mean"))
    return Measurement(
        100 * (1 - ridge / naive), note=f"mean of 3 months: {100 * (1 - mean / naive):.1f} %"
    )


def split_by_break(broken: bool) -> Measurement:
    """MAE of naive on the series of r0 that the published list has, or has not."""
    import numpy as np

    from parsimony.estimate.demand import Protocol, metrics
    from parsimony.estimate.demand.forecaster import forecasters, rolling
    from parsimony.papers.tables import published

    origin = "Job-SDF/benchmark, structural_breaks_index/r0.json as the column 'row' of a CSV"
    listed = published("job_sdf_r0_breaks.csv", origin)["row"]
    mask = np.isin(np.arange(len(real("r0").values)), listed) == broken
    values, protocol = real("r0").values[mask], Protocol()
    origins = protocol.origins("test")
    found = rolling(forecasters()["naive"](), values, origins, protocol.horizon)
    mae = metrics.score(protocol.targets(values, origins), found)["mae"]
    return Measurement(float(mae or 0), note=f"{int(mask.sum()):,} series")


@claim(
    name="naive-mae-r0-break",
    statement="MAE of naive on the series of r0 in the published list of breaks.",
    published=256.2488,
    source="official data",
    unit="demand",
    direction="equal",
    level="exact",
    tolerance=5.1e-05,
)
def naive_mae_r0_break() -> Measurement:
    return split_by_break(True)


@claim(
    name="naive-mae-r0-non-break",
    statement="MAE of naive on the series of r0 that are not in the published list.",
    published=68.391,
    source="official data",
    unit="demand",
    direction="equal",
    level="exact",
    tolerance=5.1e-05,
)
def naive_mae_r0_non_break() -> Measurement:
    return split_by_break(False)
