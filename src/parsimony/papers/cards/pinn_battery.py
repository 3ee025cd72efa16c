# Long because every figure of the tables is a claim of its own.
"""PINN surrogate of Li-ion battery models for parameter inference. Part I: Implementation and
multi-fidelity hierarchies for the single-particle model."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from parsimony.papers.claim import Measurement, claim

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from parsimony.estimate.battery.estimator import BatteryCalibrator
    from parsimony.estimate.battery.hierarchy import Step
    from parsimony.estimate.battery.surrogate import Surrogate

CARD = {
    "slug": "pinn-battery",
    "title": (
        "PINN surrogate of Li-ion battery models for parameter inference. Part I: "
        "Implementation and multi-fidelity hierarchies for the single-particle model"
    ),
    "authors": None,
    "year": 2023,
    "arxiv": "2312.17329",
    "venue": "Journal of Energy Storage 98, 113103, 2024",
    "areas": ("estimate",),
    "mechanism": "estimate/battery",
    "summary": (
        "Trains a small network that stands in for a lithium-ion cell's equations, so that "
        "unknown parameters can be inferred from a discharge curve quickly."
    ),
    "official_code": ("NREL/PINNSTRIPES",),
    "licence": "BSD-3",
}

FORMULA = "closed form of the cell's constants"
SOLVER = "own finite volumes, 60 shells, 72 steps"
TIMES = tuple(range(0, 1351, 135))
TABLES = {
    ("linear", 0.5, 1): (
        4.08606, 3.98440, 3.91236, 3.84365, 3.78293, 3.73320, 3.69316, 3.65862, 3.62634, 3.59631,
        3.57013,
    ),
    ("full", 0.5, 1): (
        4.08618, 3.98446, 3.91240, 3.84370, 3.78297, 3.73324, 3.69321, 3.65867, 3.62640, 3.59638,
        3.57020,
    ),
    ("linear", 2, 2): (
        4.09520, 4.00425, 3.93112, 3.86082, 3.79823, 3.74658, 3.70474, 3.66868, 3.63564, 3.60631,
        3.58218,
    ),
    ("linear", 4, 10): (
        4.09672, 4.01586, 3.94217, 3.87091, 3.80707, 3.75408, 3.71094, 3.67374, 3.63998, 3.61089,
        3.58814,
    ),
}  # fmt: skip
"""Voltages at ``TIMES`` by kinetics, k1 and k2, of a solver with 400 shells that agrees with PyBaMM
within 0.001 mV."""


def _table(kinetics: str, k1: float, k2: float) -> Measurement:
    """Greatest difference of our solver from a table, mV."""
    import numpy as np

    from parsimony.estimate.battery.cell import Cell
    from parsimony.estimate.battery.solver import solve

    found = solve([k1, k2], TIMES, Cell(kinetics=kinetics)).voltage[0]
    away = np.abs(found - TABLES[kinetics, k1, k2])
    return Measurement(1000 * float(away.max()), note=f"at 11 times; {SOLVER}")


def _surface(side: str, k2: float) -> Measurement:
    from parsimony.estimate.battery.solver import solve

    found = solve([0.5, k2], [1350.0])
    value = found.surface_a[0] if side == "anode" else found.surface_c[0, 0]
    return Measurement(float(value), note=SOLVER)


@claim(
    name="flux-anode",
    statement="Flux out of the anode's particles at 2C.",
    published=1.561458678e-08,
    source="derived",
    unit="kmol/m2/s",
    direction="equal",
    level="exact",
    tolerance=5e-19,
)
def flux_anode() -> Measurement:
    from parsimony.estimate.battery.cell import Cell

    return Measurement(float(Cell().j_a), note=FORMULA)


@claim(
    name="flux-cathode",
    statement="Flux out of the cathode's particles at 2C.",
    published=-8.387492905e-09,
    source="derived",
    unit="kmol/m2/s",
    direction="equal",
    level="exact",
    tolerance=5e-20,
)
def flux_cathode() -> Measurement:
    from parsimony.estimate.battery.cell import Cell

    return Measurement(float(Cell().j_c), note=FORMULA)


@claim(
    name="potential-anode-start",
    statement="Equilibrium potential of the anode at x = 0.91.",
    published=0.0847788699,
    source="derived",
    unit="V",
    direction="equal",
    level="exact",
    tolerance=5e-11,
)
def potential_anode_start() -> Measurement:
    from parsimony.estimate.battery.cell import ANODE, Cell

    return Measurement(float(Cell().U_a(0.91 * ANODE.c_max)), note=FORMULA)


@claim(
    name="potential-cathode-start",
    statement="Equilibrium potential of the cathode at x = 0.39.",
    published=4.1874305624,
    source="derived",
    unit="V",
    direction="equal",
    level="exact",
    tolerance=5e-11,
)
def potential_cathode_start() -> Measurement:
    from parsimony.estimate.battery.cell import CATHODE, Cell

    return Measurement(float(Cell().U_c(0.39 * CATHODE.c_max)), note=FORMULA)


@claim(
    name="exchange-anode-start",
    statement="Exchange current density of the anode at the start, k1 = 1.",
    published=6.4604556733,
    source="derived",
    unit="A/m2",
    direction="equal",
    level="exact",
    tolerance=5e-11,
)
def exchange_anode_start() -> Measurement:
    from parsimony.estimate.battery.cell import ANODE, Cell

    return Measurement(float(Cell().i0_a(ANODE.c_0, 1.0)), note=FORMULA)


@claim(
    name="exchange-cathode-start",
    statement="Exchange current density of the cathode at the start.",
    published=4.7992504389,
    source="derived",
    unit="A/m2",
    direction="equal",
    level="exact",
    tolerance=5e-11,
)
def exchange_cathode_start() -> Measurement:
    from parsimony.estimate.battery.cell import CATHODE, Cell

    return Measurement(float(Cell().i0_c(CATHODE.c_0)), note=FORMULA)


@claim(
    name="diffusivity-cathode-start",
    statement="Diffusivity of the cathode at the start, k2 = 1.",
    published=4.617185939e-15,
    source="derived",
    unit="m2/s",
    direction="equal",
    level="exact",
    tolerance=5e-25,
)
def diffusivity_cathode_start() -> Measurement:
    from parsimony.estimate.battery.cell import CATHODE, Cell

    return Measurement(float(Cell().D_c(CATHODE.c_0, 1.0)), note=FORMULA)


@claim(
    name="potential-anode-half",
    statement="Equilibrium potential of the anode at x = 0.5.",
    published=0.11313,
    source="derived",
    unit="V",
    direction="equal",
    level="exact",
    tolerance=5e-07,
)
def potential_anode_half() -> Measurement:
    from parsimony.estimate.battery.cell import ANODE, Cell

    return Measurement(float(Cell().U_a(0.5 * ANODE.c_max)), note=FORMULA)


@claim(
    name="potential-cathode-later",
    statement="Equilibrium potential of the cathode at x = 0.6.",
    published=3.83628,
    source="derived",
    unit="V",
    direction="equal",
    level="exact",
    tolerance=5e-07,
)
def potential_cathode_later() -> Measurement:
    from parsimony.estimate.battery.cell import CATHODE, Cell

    return Measurement(float(Cell().U_c(0.6 * CATHODE.c_max)), note=FORMULA)


@claim(
    name="diffusivity-cathode-later",
    statement="Diffusivity of the cathode at x = 0.7, k2 = 1.",
    published=2.91835e-15,
    source="derived",
    unit="m2/s",
    direction="equal",
    level="exact",
    tolerance=5e-21,
)
def diffusivity_cathode_later() -> Measurement:
    from parsimony.estimate.battery.cell import CATHODE, Cell

    return Measurement(float(Cell().D_c(0.7 * CATHODE.c_max, 1.0)), note=FORMULA)


@claim(
    name="mean-anode",
    statement="Mean concentration of the anode at 1350 s.",
    published=11.972530885,
    source="derived",
    unit="kmol/m3",
    direction="equal",
    level="exact",
    tolerance=5e-10,
)
def mean_anode() -> Measurement:
    from parsimony.estimate.battery.cell import ANODE, Cell

    return Measurement(float(ANODE.mean(Cell().j_a, 1350.0)), note=FORMULA)


@claim(
    name="mean-cathode",
    statement="Mean concentration of the cathode at 1350 s.",
    published=38.215859037,
    source="derived",
    unit="kmol/m3",
    direction="equal",
    level="exact",
    tolerance=1e-09,
)
def mean_cathode() -> Measurement:
    from parsimony.estimate.battery.cell import CATHODE, Cell

    return Measurement(float(CATHODE.mean(Cell().j_c, 1350.0)), note=FORMULA)


@claim(
    name="surface-anode",
    statement="Concentration at the anode's surface at 1350 s: mean less j R / (5 D).",
    published=11.5561,
    source="derived",
    unit="kmol/m3",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def surface_anode() -> Measurement:
    from parsimony.estimate.battery.cell import ANODE, Cell

    return Measurement(
        float(
            ANODE.mean(Cell().j_a, 1350.0) - Cell().j_a * ANODE.radius / (5 * Cell().D_a(ANODE.c_0))
        ),
        note=FORMULA,
    )


@claim(
    name="surface-anode-solver",
    statement="The same from our solver.",
    published=11.5561,
    source="derived",
    unit="kmol/m3",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def surface_anode_solver() -> Measurement:
    return _surface("anode", 1.0)


@claim(
    name="electrolyte-start-half",
    statement="Potential of the electrolyte at the start, linear kinetics, k1 = 0.5.",
    published=-0.096963,
    source="derived",
    unit="V",
    direction="equal",
    level="exact",
    tolerance=5e-07,
)
def electrolyte_start_half() -> Measurement:
    from parsimony.estimate.battery.cell import Cell

    return Measurement(float(Cell().start(0.5)[0]), note=FORMULA)


@claim(
    name="electrolyte-start-two",
    statement="Potential of the electrolyte at the start, linear kinetics, k1 = 2.",
    published=-0.087825,
    source="derived",
    unit="V",
    direction="equal",
    level="exact",
    tolerance=5e-07,
)
def electrolyte_start_two() -> Measurement:
    from parsimony.estimate.battery.cell import Cell

    return Measurement(float(Cell().start(2.0)[0]), note=FORMULA)


@claim(
    name="electrolyte-start-four",
    statement="Potential of the electrolyte at the start, linear kinetics, k1 = 4.",
    published=-0.086302,
    source="derived",
    unit="V",
    direction="equal",
    level="exact",
    tolerance=5e-07,
)
def electrolyte_start_four() -> Measurement:
    from parsimony.estimate.battery.cell import Cell

    return Measurement(float(Cell().start(4.0)[0]), note=FORMULA)


@claim(
    name="voltage-linear",
    statement="Our solver less the table at k1 = 0.5, k2 = 1, linear kinetics.",
    published=0.0,
    published_text="11 voltages, see TABLES",
    source="derived",
    unit="mV, greatest difference",
    direction="equal",
    level="exact",
    tolerance=0.02,
)
def voltage_linear() -> Measurement:
    return _table("linear", 0.5, 1)


@claim(
    name="voltage-full",
    statement="Our solver less the table at k1 = 0.5, k2 = 1, full kinetics.",
    published=0.0,
    published_text="11 voltages, see TABLES",
    source="derived",
    unit="mV, greatest difference",
    direction="equal",
    level="exact",
    tolerance=0.02,
)
def voltage_full() -> Measurement:
    return _table("full", 0.5, 1)


@claim(
    name="voltage-two-two",
    statement="Our solver less the table at k1 = 2, k2 = 2, linear kinetics.",
    published=0.0,
    published_text="11 voltages, see TABLES",
    source="derived",
    unit="mV, greatest difference",
    direction="equal",
    level="exact",
    tolerance=0.02,
)
def voltage_two_two() -> Measurement:
    return _table("linear", 2, 2)


@claim(
    name="voltage-four-ten",
    statement="Our solver less the table at k1 = 4, k2 = 10, linear kinetics.",
    published=0.0,
    published_text="11 voltages, see TABLES",
    source="derived",
    unit="mV, greatest difference",
    direction="equal",
    level="exact",
    tolerance=0.02,
)
def voltage_four_ten() -> Measurement:
    return _table("linear", 4, 10)


@claim(
    name="surface-cathode",
    statement="Concentration at the cathode's surface at 1350 s, k2 = 1.",
    published=39.5385,
    source="derived",
    unit="kmol/m3",
    direction="equal",
    level="exact",
    tolerance=0.001,
)
def surface_cathode() -> Measurement:
    return _surface("cathode", 1.0)


@claim(
    name="surface-cathode-two",
    statement="Concentration at the cathode's surface at 1350 s, k2 = 2.",
    published=38.8854,
    source="derived",
    unit="kmol/m3",
    direction="equal",
    level="exact",
    tolerance=0.001,
)
def surface_cathode_two() -> Measurement:
    return _surface("cathode", 2.0)


@claim(
    name="parameters",
    statement="Parameters of the merged network.",
    published=9004,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def parameters() -> Measurement:
    from parsimony.estimate.battery.network import count

    return Measurement(count("merged")[0], note="counted from the shapes of the weights")


@claim(
    name="parameters-trained",
    statement="Of these, those that are trained: two output biases stay zero.",
    published=9002,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def parameters_trained() -> Measurement:
    from parsimony.estimate.battery.network import count

    return Measurement(count("merged")[1], note="counted from the shapes of the weights")


SEEDS = (0, 1, 2)
"""Some trainings of these were seen while the weights of the losses were chosen."""
CURRENT = "2C, linear kinetics, merged network, float64, one thread"


@functools.cache
def _physics_only(seed: int, conservation: bool) -> tuple[float, float, str]:
    """Mean error of the voltage (mV), CPU minutes, and the recipe; the reference point alone."""
    from parsimony.estimate.battery.hierarchy import Step
    from parsimony.estimate.battery.losses import PAPER, Losses
    from parsimony.estimate.battery.training import Plan

    plan = Plan(adam=20, lbfgs=600, interior=64, boundary=32, seed=seed)
    losses = Losses() if conservation else PAPER
    error, minutes = _trained([Step(share=0.0, plan=plan, losses=losses)])
    return error, minutes, f"20 epochs of Adam, 600 steps of L-BFGS, 640 + 320 points; {CURRENT}"


def _trained(steps: Sequence[Step]) -> tuple[float, float]:
    """Mean error of the voltage against the solver, mV, and CPU minutes."""
    import time

    from parsimony.estimate.battery import simulated
    from parsimony.estimate.battery.hierarchy import climb

    began = time.process_time()
    surrogate = climb(steps)[-1].surrogate
    minutes = (time.process_time() - began) / 60
    return simulated.errors(surrogate).mean, minutes


@functools.cache
def _surrogate(seed: int) -> Surrogate:
    """Of the whole box, from the equations, conservation and nine simulated curves."""
    from parsimony.estimate.battery.surrogate import Surrogate
    from parsimony.estimate.battery.trained_once import folder
    from parsimony.estimate.battery.workflow import Request

    return Surrogate.load(folder(Request(lbfgs=600, seed=seed)) / "surrogate")


@claim(
    name="solver-pybamm",
    statement="Our solver and PyBaMM agree on the four tables.",
    published=0.05,
    source="derived",
    unit="mV, greatest difference",
    direction="at most",
    level="cpu",
)
def solver_pybamm() -> Measurement:
    import numpy as np

    from parsimony.estimate.battery.cell import Cell
    from parsimony.estimate.battery.pybamm_reference import Reference
    from parsimony.estimate.battery.solver import solve

    away = []
    for kinetics in ("linear", "full"):
        k = [pair for name, *pair in TABLES if name == kinetics]
        cell = Cell(kinetics=kinetics)
        theirs = Reference(cell).voltage(np.array(k), np.array(TIMES))
        away.append(np.abs(solve(k, TIMES, cell).voltage - theirs).max())
    return Measurement(1000 * float(max(away)), note=f"at 11 times, both kinetics; {SOLVER}")


@claim(
    name="physics-only",
    statement="From the equations alone, with conservation, at the reference point.",
    published=3.0,
    source="derived",
    unit="mV, mean error of the voltage",
    direction="at most",
    level="cpu",
)
def physics_only() -> Measurement:
    from parsimony.papers.byte_models import mean_of_seeds

    found = [_physics_only(seed, True) for seed in SEEDS]
    value, interval = mean_of_seeds([error for error, _, _ in found])
    return Measurement(value, interval, f"{len(SEEDS)} seeds; {found[0][2]}")


@claim(
    name="physics-only-minutes",
    statement="The longest of these trainings.",
    published=5.0,
    source="derived",
    unit="CPU minutes",
    direction="at most",
    level="cpu",
)
def physics_only_minutes() -> Measurement:
    from parsimony.papers.byte_models import mean_of_seeds

    times = [_physics_only(seed, True)[1] for seed in SEEDS]
    return Measurement(max(times), mean_of_seeds(times)[1], "the interval is of the mean")


@claim(
    name="plain-losses",
    statement="With the paper's plain losses and weights, the same steps end this much worse.",
    published=5.0,
    source="derived",
    unit="ratio of mean errors",
    direction="at least",
    level="cpu",
)
def plain_losses() -> Measurement:
    import math

    from parsimony.papers.byte_models import mean_of_seeds

    plain = [_physics_only(seed, False)[0] for seed in SEEDS]
    ratios = [p / _physics_only(seed, True)[0] for p, seed in zip(plain, SEEDS, strict=True)]
    mean, (low, high) = mean_of_seeds([math.log(ratio) for ratio in ratios])
    told = ", ".join(f"{error:.1f}" for error in plain)
    return Measurement(
        math.exp(mean), (math.exp(low), math.exp(high)),
        f"geometric mean of {len(SEEDS)} seeds, paired; the plain errors were {told} mV",
    )  # fmt: skip


@functools.cache
def _box_errors(seed: int) -> tuple[float, float]:
    """mV of a single network, and of one that corrects a first one at the reference point.

    Both from the equations and conservation alone, on the whole box, with the same total steps.
    """
    from parsimony.estimate.battery.hierarchy import Step
    from parsimony.estimate.battery.training import Plan

    whole = Plan(adam=20, lbfgs=300, interior=32, boundary=16, seed=seed)
    half = Plan(adam=10, lbfgs=150, interior=32, boundary=16, seed=seed)
    alone, _ = _trained([Step(plan=whole)])
    chained, _ = _trained([Step(share=0.0, plan=half), Step(plan=half)])
    return alone, chained


@claim(
    name="hierarchy",
    statement="Reference point, then the whole box, beats one network of the same total steps.",
    published=2.0,
    source="derived",
    unit="ratio of mean errors, median of seeds",
    direction="at least",
    level="cpu",
)
def hierarchy() -> Measurement:
    import statistics

    found = [_box_errors(seed) for seed in SEEDS]
    ratios = [alone / chained for alone, chained in found]
    told = ", ".join(f"{alone:.2f} and {chained:.2f}" for alone, chained in found)
    return Measurement(
        statistics.median(ratios), (min(ratios), max(ratios)),
        f"equations and conservation alone, 300 steps of L-BFGS in all; the interval is the range "
        f"of {len(SEEDS)} seeds; "
        f"errors alone and chained {told} mV",
    )  # fmt: skip


@claim(
    name="nine-curves",
    statement="With data from nine simulated curves, on unseen k1 and k2 of the whole box.",
    published=2.0,
    source="derived",
    unit="mV, mean error of the voltage",
    direction="at most",
    level="cpu",
)
def nine_curves() -> Measurement:
    from parsimony.estimate.battery import simulated
    from parsimony.papers.byte_models import mean_of_seeds

    found = [simulated.errors(_surrogate(seed)) for seed in SEEDS]
    value, interval = mean_of_seeds([errors.mean for errors in found])
    worst = max(float(errors.curve.max()) for errors in found)
    return Measurement(
        value, interval,
        f"{len(SEEDS)} seeds, 64 curves; worst curve {worst:.2f} mV; 20 epochs of Adam, 600 "
        f"steps of L-BFGS, with the equations and conservation; {CURRENT}",
    )  # fmt: skip


SIGMA = 0.003
NOISE = "100 voltages of k1 = k2 = 2 with 3 mV of noise, 3 seeds of it"


@functools.cache
def _calibrated(seed: int) -> BatteryCalibrator:
    """NUTS on the surrogate, and the ensemble on the solver, at a seed of the noise."""
    from parsimony.estimate.battery.discharge import simulate
    from parsimony.estimate.battery.estimator import BatteryCalibrator

    data = simulate((2.0, 2.0), noise=SIGMA, seed=seed)
    calibrator = BatteryCalibrator(_surrogate(0), "both", SIGMA, random_state=seed)
    return calibrator.fit(data.times[:, None], data.voltage)


@claim(
    name="calibration-covers",
    statement="Intervals of 95 % hold the true parameters.",
    published=1.0,
    source="derived",
    unit="share of intervals",
    direction="equal",
    level="cpu",
)
def calibration_covers() -> Measurement:
    held = [
        low <= 2 <= high
        for seed in SEEDS
        for _, low, high in _calibrated(seed).intervals_.itertuples()
    ]
    note = f"{sum(held)} of {len(held)} intervals of NUTS on the surrogate; {NOISE}"
    return Measurement(sum(held) / len(held), note=note)


@claim(
    name="calibration-solver",
    statement="Posterior means agree with those of a sampler on the solver itself.",
    published=0.3,
    source="derived",
    unit="posterior standard deviations, greatest",
    direction="at most",
    level="cpu",
)
def calibration_solver() -> Measurement:
    found = [_calibrated(seed) for seed in SEEDS]
    gaps = [float(gap) for one in found for gap in one.agreement()]
    error = 1000 * max(abs(one.surrogate_error_).mean() for one in found)
    left = 1000 * max(one.error_left_ for one in found)
    return Measurement(
        max(gaps), (min(gaps), max(gaps)),
        f"the interval is the range of k1 and k2 over the seeds; {NOISE}; the surrogate's error, "
        f"{error:.2f} mV, was taken off on 36 curves, which leaves {left:.3f} mV",
    )  # fmt: skip


@claim(
    name="calibration-pybamm",
    statement="The solver's posterior means are those that PyBaMM's curves give.",
    published=0.3,
    source="derived",
    unit="posterior standard deviations, greatest",
    direction="at most",
    level="cpu",
)
def calibration_pybamm() -> Measurement:
    from parsimony.estimate.battery.calibration import solver_curves
    from parsimony.estimate.battery.pybamm_reference import Reference

    reference, gaps = Reference(), []
    for seed in SEEDS:
        one = _calibrated(seed)
        times, voltage = one.times_, one.voltage_

        def theirs(k: np.ndarray, times: np.ndarray = times) -> np.ndarray:
            return reference.voltage(k, times)

        moved = one.check_.moved(solver_curves(times), theirs, voltage, 200)
        gaps += moved.tolist()
    return Measurement(
        max(gaps), (min(gaps), max(gaps)),
        f"200 draws of the solver's posterior, weighted by PyBaMM's likelihood; {NOISE}",
    )  # fmt: skip


@claim(
    name="speed-pybamm",
    statement="Voltage curves of the surrogate beside those of warm PyBaMM, 100 at once.",
    published=10.0,
    source="derived",
    unit="ratio of processor time",
    direction="at least",
    level="cpu",
)
def speed_pybamm() -> Measurement:
    import statistics

    from parsimony.estimate.battery import speed
    from parsimony.estimate.battery.pybamm_reference import Reference

    reference = Reference(points=20, tolerance=1e-4)
    found = speed.ratios(_surrogate(0).voltage, reference.voltage, 100)
    return Measurement(
        statistics.median(found), (min(found), max(found)),
        f"median and range of {len(found)} turns; 100 times a curve, one thread, PyBaMM with 20 "
        "radial points, its default tolerances and all 100 parameter values in one call",
    )  # fmt: skip
