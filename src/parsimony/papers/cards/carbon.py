# Long because every figure that can be checked is a claim of its own.
"""Improve Machine Learning carbon footprint using Nvidia GPU and Mixed Precision training for
classification models, Part I."""

from __future__ import annotations

import json
from pathlib import Path

from parsimony.core.errors import require
from parsimony.papers.claim import Measurement, claim

CARD = {
    "slug": "carbon",
    "title": (
        "Improve Machine Learning carbon footprint using Nvidia GPU and Mixed Precision "
        "training for classification models, Part I"
    ),
    "authors": ("A. Antonopoulos",),
    "year": 2024,
    "arxiv": "2409.07853",
    "venue": "master's dissertation, 2024",
    "areas": ("core", "plan"),
    "mechanism": "core/energy, plan/energy_study",
    "summary": (
        "Meters the energy of a training in full and in mixed precision and tests whether the "
        "saving is real."
    ),
    "official_code": (),
    "licence": None,
}

A = [182.1, 179.4, 185.3, 180.8, 183.9]
B = [175.2, 177.8, 172.9, 176.4, 178.1]
C = [181.0, 178.2, 183.5, 179.9, 182.4]


def intensity(country: str) -> Measurement:
    """Carbon intensity of a country's electricity."""
    from parsimony.core import carbon

    return Measurement(carbon.intensity(country), note="CodeCarbon's table for 2023")


def kilograms(joules: float, country: str, pue: float = 1.0) -> Measurement:
    """Carbon of an amount of electricity."""
    from parsimony.core import carbon

    found = carbon.kilograms(joules, carbon.intensity(country), pue)
    return Measurement(found, note="PUE * kWh * g/kWh / 1000")


def runs_needed(effect: float) -> Measurement:
    """Runs per group for a two-sided t test at 0.05 with power 0.8."""
    from parsimony.core import power

    return Measurement(power.runs_needed(effect), note="noncentral F")


def simulated(runs: int, difference: float, **settings: bool | float) -> Measurement:
    """Share of 5,000 simulated studies that find a difference at noise of 12 W."""
    from parsimony.plan.energy_study.simulation import rejection_rate

    rate = rejection_rate(runs, difference, 12.0, **settings)  # type: ignore[arg-type]
    return Measurement(rate, note="5,000 studies, seed 0")


@claim(
    name="intensity-france",
    statement="Carbon intensity of electricity in France, 2023.",
    published=56.039,
    source="official data",
    unit="g/kWh",
    direction="equal",
    level="exact",
)
def intensity_france() -> Measurement:
    return intensity("FRA")


@claim(
    name="intensity-usa",
    statement="Carbon intensity of electricity in the USA, 2023.",
    published=369.473,
    source="official data",
    unit="g/kWh",
    direction="equal",
    level="exact",
)
def intensity_usa() -> Measurement:
    return intensity("USA")


@claim(
    name="intensity-uk",
    statement="Carbon intensity of electricity in the UK, 2023.",
    published=237.589,
    source="official data",
    unit="g/kWh",
    direction="equal",
    level="exact",
)
def intensity_uk() -> Measurement:
    return intensity("GBR")


@claim(
    name="intensity-germany",
    statement="Carbon intensity of electricity in Germany, 2023.",
    published=380.95,
    source="official data",
    unit="g/kWh",
    direction="equal",
    level="exact",
)
def intensity_germany() -> Measurement:
    return intensity("DEU")


@claim(
    name="intensity-china",
    statement="Carbon intensity of electricity in China, 2023.",
    published=582.317,
    source="official data",
    unit="g/kWh",
    direction="equal",
    level="exact",
)
def intensity_china() -> Measurement:
    return intensity("CHN")


@claim(
    name="intensity-sweden",
    statement="Carbon intensity of electricity in Sweden, 2023.",
    published=40.695,
    source="official data",
    unit="g/kWh",
    direction="equal",
    level="exact",
)
def intensity_sweden() -> Measurement:
    return intensity("SWE")


@claim(
    name="intensity-world",
    statement="Carbon intensity where the country is not known.",
    published=475,
    source="official data",
    unit="g/kWh",
    direction="equal",
    level="exact",
)
def intensity_world() -> Measurement:
    from parsimony.core.carbon import WORLD_AVERAGE

    package = Path(str(require("codecarbon", "energy").__file__)).parent
    table = package / "data" / "private_infra" / "carbon_intensity_per_source.json"
    theirs = json.loads(table.read_text(encoding="utf-8"))["world_average"]
    return Measurement(WORLD_AVERAGE, note=f"CodeCarbon's table says {theirs:g}")


@claim(
    name="kwh-france",
    statement="Carbon of 1 kWh in France at PUE 1.0.",
    published=0.056039,
    source="derived",
    unit="kg",
    direction="equal",
    tolerance=1e-12,
    level="exact",
)
def kwh_france() -> Measurement:
    return kilograms(3.6e6, "FRA")


@claim(
    name="kwh-france-pue",
    statement="Carbon of 1 kWh in France at PUE 1.2.",
    published=0.0672468,
    source="derived",
    unit="kg",
    direction="equal",
    tolerance=1e-12,
    level="exact",
)
def kwh_france_pue() -> Measurement:
    return kilograms(3.6e6, "FRA", 1.2)


@claim(
    name="two-hours-kwh",
    statement="Energy of 250 W for two hours.",
    published=0.5,
    source="derived",
    unit="kWh",
    direction="equal",
    tolerance=1e-12,
    level="exact",
)
def two_hours_kwh() -> Measurement:
    from parsimony.core.energy.reading import trapezoid

    return Measurement(trapezoid([0, 7200], [250, 250], 0, 7200) / 3.6e6, note="trapezoid rule")


@claim(
    name="two-hours-uk",
    statement="Carbon of 250 W for two hours in the UK.",
    published=0.1187945,
    source="derived",
    unit="kg",
    direction="equal",
    tolerance=1e-09,
    level="exact",
)
def two_hours_uk() -> Measurement:
    return kilograms(250 * 7200, "GBR")


@claim(
    name="cpu-per-thread",
    statement="Power that CodeCarbon takes for a thread of a processor it does not know.",
    published=4,
    source="official code",
    unit="W",
    direction="equal",
    level="exact",
)
def cpu_per_thread() -> Measurement:
    model = require("codecarbon.core.cpu", "energy")
    return Measurement(model.DEFAULT_POWER_PER_CORE, note="times threads and load")


@claim(
    name="memory-24gb",
    statement="Power that CodeCarbon's model gives to the memory of a 24 GB server.",
    published=20,
    source="official code",
    unit="W",
    direction="equal",
    level="exact",
)
def memory_24gb() -> Measurement:
    ram = require("codecarbon.external.ram", "energy")

    class Server(ram.RAM):  # type: ignore[misc,name-defined]
        """An x86 machine with 24 GB."""

        machine_memory_GB = 24.0  # noqa: N815 (CodeCarbon's name)

        def _detect_arm_cpu(self) -> bool:
            return False

    return Measurement(Server().total_power().W, note="5 W per memory module, four of them")


@claim(
    name="runs-for-d-0-2",
    statement="Runs per group that see a difference of 0.2 standard deviations, power 0.8.",
    published=394,
    source="derived",
    unit="runs",
    direction="equal",
    level="exact",
)
def runs_for_d_0_2() -> Measurement:
    return runs_needed(0.2)


@claim(
    name="runs-for-d-0-5",
    statement="Runs per group that see a difference of 0.5 standard deviations, power 0.8.",
    published=64,
    source="derived",
    unit="runs",
    direction="equal",
    level="exact",
)
def runs_for_d_0_5() -> Measurement:
    return runs_needed(0.5)


@claim(
    name="runs-for-d-0-8",
    statement="Runs per group that see a difference of 0.8 standard deviations, power 0.8.",
    published=26,
    source="derived",
    unit="runs",
    direction="equal",
    level="exact",
)
def runs_for_d_0_8() -> Measurement:
    return runs_needed(0.8)


@claim(
    name="runs-for-d-1",
    statement="Runs per group that see a difference of 1.0 standard deviations, power 0.8.",
    published=17,
    source="derived",
    unit="runs",
    direction="equal",
    level="exact",
)
def runs_for_d_1() -> Measurement:
    return runs_needed(1.0)


@claim(
    name="runs-for-d-2",
    statement="Runs per group that see a difference of 2.0 standard deviations, power 0.8.",
    published=6,
    source="derived",
    unit="runs",
    direction="equal",
    level="exact",
)
def runs_for_d_2() -> Measurement:
    return runs_needed(2.0)


@claim(
    name="welch-t",
    statement="Welch's t of the groups A and B.",
    published=4.382456,
    source="derived",
    unit="statistic",
    direction="equal",
    tolerance=1e-06,
    level="exact",
)
def welch_t() -> Measurement:
    from parsimony.core import significance

    return Measurement(significance.welch_t(A, B).statistic)


@claim(
    name="welch-df",
    statement="Degrees of freedom of Welch's t of the groups A and B.",
    published=7.91269,
    source="derived",
    unit="degrees of freedom",
    direction="equal",
    tolerance=1e-06,
    level="exact",
)
def welch_df() -> Measurement:
    from parsimony.core import significance

    freedom = significance.welch_t(A, B).freedom
    assert freedom is not None
    return Measurement(freedom)


@claim(
    name="welch-p",
    statement="p of Welch's t of the groups A and B.",
    published=0.00240357,
    source="derived",
    unit="probability",
    direction="equal",
    tolerance=1e-08,
    level="exact",
)
def welch_p() -> Measurement:
    from parsimony.core import significance

    return Measurement(significance.welch_t(A, B).p)


@claim(
    name="student-p",
    statement="p of Student's t of the groups A and B.",
    published=0.00234107,
    source="derived",
    unit="probability",
    direction="equal",
    tolerance=1e-08,
    level="exact",
)
def student_p() -> Measurement:
    from parsimony.core import significance

    return Measurement(significance.student_t(A, B).p)


@claim(
    name="anova-f",
    statement="F of the analysis of variance of the groups A, B and C.",
    published=11.222771,
    source="derived",
    unit="statistic",
    direction="equal",
    tolerance=1e-06,
    level="exact",
)
def anova_f() -> Measurement:
    from parsimony.core import significance

    return Measurement(significance.anova(A, B, C).statistic)


@claim(
    name="anova-p",
    statement="p of the analysis of variance of the groups A, B and C.",
    published=0.00178768,
    source="derived",
    unit="probability",
    direction="equal",
    tolerance=1e-08,
    level="exact",
)
def anova_p() -> Measurement:
    from parsimony.core import significance

    return Measurement(significance.anova(A, B, C).p)


@claim(
    name="levene-p",
    statement="p of Levene's test of the groups A, B and C.",
    published=0.937398,
    source="derived",
    unit="probability",
    direction="equal",
    tolerance=1e-06,
    level="exact",
)
def levene_p() -> Measurement:
    from parsimony.core import significance

    return Measurement(significance.levene(A, B, C).p)


@claim(
    name="kruskal-h",
    statement="H of Kruskal and Wallis for the groups A, B and C.",
    published=9.62,
    source="derived",
    unit="statistic",
    direction="equal",
    tolerance=1e-06,
    level="exact",
)
def kruskal_h() -> Measurement:
    from parsimony.core import significance

    return Measurement(significance.kruskal(A, B, C).statistic)


@claim(
    name="kruskal-p",
    statement="p of Kruskal and Wallis for the groups A, B and C.",
    published=0.00814786,
    source="derived",
    unit="probability",
    direction="equal",
    tolerance=1e-08,
    level="exact",
)
def kruskal_p() -> Measurement:
    from parsimony.core import significance

    return Measurement(significance.kruskal(A, B, C).p)


@claim(
    name="cohen-d",
    statement="Cohen's d of the groups A and B.",
    published=2.771708,
    source="derived",
    unit="standard deviations",
    direction="equal",
    tolerance=1e-06,
    level="exact",
)
def cohen_d() -> Measurement:
    from parsimony.core import significance

    return Measurement(significance.cohen_d(A, B))


@claim(
    name="trapezoid",
    statement="Energy of 100 W for 10 s and then linear to 200 W over 10 s.",
    published=2500,
    source="derived",
    unit="J",
    direction="equal",
    tolerance=1e-09,
    level="exact",
)
def trapezoid() -> Measurement:
    from parsimony.core.energy.reading import trapezoid

    return Measurement(trapezoid([0, 10, 20], [100, 100, 200], 0, 20))


@claim(
    name="rapl-wrap",
    statement="A RAPL counter of range 262143328850 uJ goes from 262143000000 to 1000000.",
    published=1.32885,
    source="derived",
    unit="J",
    direction="equal",
    tolerance=1e-12,
    level="exact",
)
def rapl_wrap() -> Measurement:
    from parsimony.core.energy.reading import wrapped

    return Measurement(wrapped(262143000000, 1000000, 262143328850) / 1e6)


@claim(
    name="power-of-five",
    statement="Power of five runs per group for 9 W at a standard deviation of 12 W.",
    published=0.18,
    source="derived",
    unit="probability",
    direction="equal",
    tolerance=0.005,
    level="exact",
)
def power_of_five() -> Measurement:
    from parsimony.core import power

    return Measurement(power.power_of(9 / 12, 5), note="so the paper's tests found nothing")


@claim(
    name="overflow",
    statement="A gradient that is infinite halves the scale of fp16 losses.",
    published=0.5,
    source="derived",
    unit="ratio",
    direction="equal",
    level="exact",
)
def overflow() -> Measurement:
    torch = require("torch", "adapt")
    weight = torch.ones(1, requires_grad=True)
    stepper = torch.optim.SGD([weight], lr=1.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=65536.0)
    scaler.scale(weight * float("inf")).sum().backward()
    scaler.step(stepper)
    scaler.update()
    assert weight.item() == 1, "the step was taken"
    return Measurement(scaler.get_scale() / 65536, note="the step was skipped")


@claim(
    name="study-of-five",
    statement="Simulated studies of five runs per group that find 9 W at 12 W of noise.",
    published=0.18,
    source="derived",
    unit="share",
    direction="equal",
    tolerance=0.02,
    level="cpu",
)
def study_of_five() -> Measurement:
    return simulated(5, -9.0, paired=False)


@claim(
    name="study-of-29",
    statement="Simulated studies of 29 runs per group that find 9 W at 12 W of noise.",
    published=0.8,
    source="derived",
    unit="share",
    direction="equal",
    tolerance=0.02,
    level="cpu",
)
def study_of_29() -> Measurement:
    return simulated(29, -9.0, paired=False)


@claim(
    name="study-of-nothing",
    statement="Simulated studies of five runs per group that find what is not there.",
    published=0.05,
    source="derived",
    unit="share",
    direction="equal",
    tolerance=0.01,
    level="cpu",
)
def study_of_nothing() -> Measurement:
    return simulated(5, 0.0, paired=False)


@claim(
    name="drift-shuffled",
    statement="Studies in shuffled blocks that take a drift of 1 W per run for an effect.",
    published=0.05,
    source="derived",
    unit="share",
    direction="equal",
    tolerance=0.01,
    level="cpu",
)
def drift_shuffled() -> Measurement:
    return simulated(10, 0.0, drift=1.0)


@claim(
    name="drift-in-order",
    statement="Studies in a fixed order that take a drift of 1 W per run for an effect.",
    published=0.1,
    published_text="well above 0.05",
    source="derived",
    unit="share",
    direction="at least",
    level="cpu",
)
def drift_in_order() -> Measurement:
    return simulated(10, 0.0, drift=1.0, shuffled=False)


@claim(
    name="bf16-accuracy",
    statement="Accuracy that bf16 costs a small network on digits, mean of three seeds.",
    published=0.01,
    published_text="the same accuracy within 1 point",
    source="derived",
    unit="share",
    direction="at most",
    level="cpu",
)
def bf16_accuracy() -> Measurement:
    from parsimony.plan.energy_study.digits import train

    lost = [
        train(seed=s)["accuracy"] - train(seed=s, precision="bf16")["accuracy"] for s in range(3)
    ]
    return Measurement(sum(lost) / 3, interval=(min(lost), max(lost)), note="CPU, autocast")
