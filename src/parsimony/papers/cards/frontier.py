# Long because every figure of the paper is a claim of its own.
"""Optimizing Distributed Training on Frontier for Large Language Models."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

from parsimony.papers.claim import Measurement, claim

if TYPE_CHECKING:
    import pandas as pd

    from parsimony.plan.running.equivalence import Answer

CARD = {
    "slug": "frontier",
    "title": "Optimizing Distributed Training on Frontier for Large Language Models",
    "authors": None,
    "year": 2023,
    "arxiv": "2312.12705",
    "venue": "ISC High Performance 2024",
    "areas": ("plan",),
    "mechanism": "plan/cluster and its runner",
    "summary": (
        "Finds which mix of tensor, pipeline and data parallelism fits in memory and trains a "
        "given model fastest on a given cluster."
    ),
    "official_code": (),
    "licence": None,
}

# The paper speaks of its models by round counts; what the exact ones change is in the notes.
ROUND = {"gpt-175b": 175e9, "gpt-1t": 1e12}
# Recalled: micro-batch 1, ZeRO-1, flash attention, checkpointing; (t, p, sequences per replica).
RECIPES = {"gpt-175b": (4, 16, 640), "gpt-1t": (8, 64, 1600)}
# The paper does not give the layout of its 22B figure: one node, the fastest tensor group.
RECIPES |= {"gpt-22b": (2, 4, 128)}


def recipe(model: str, replicas: int = 1) -> pd.Series:
    """The paper's layout of a model on Frontier, costed."""
    from parsimony.plan.cluster import hardware, layouts, model_shape
    from parsimony.plan.cluster.training import Training

    t, p, batch = RECIPES[model]
    fixed = f"tensor={t},pipeline={p},zero=1,micro_batch=1,recompute=full,chunks=1"
    cluster = hardware.load("frontier").of(t * p * replicas)
    training = Training(batch * replicas, states="frontier")
    space = layouts.Space.parse(fixed)
    return layouts.plan(model_shape.NAMED[model], cluster, training, space).iloc[0]


def parameters(model: str) -> Measurement:
    """All parameters by the rule."""
    from parsimony.plan.cluster.model_shape import NAMED, RULE

    return Measurement(NAMED[model].parameters, note=RULE)


def core(model: str) -> Measurement:
    """Parameters in the matrices of the layers."""
    from parsimony.plan.cluster.model_shape import NAMED

    return Measurement(NAMED[model].core)


def states(model: str, divided: float) -> tuple[float, float]:
    """Bytes of the model states over ``divided``, of the round and of the exact count."""
    from parsimony.plan.cluster.memory import STATES
    from parsimony.plan.cluster.model_shape import NAMED

    total = STATES["frontier"].total
    return total * ROUND[model] / divided, total * NAMED[model].parameters / divided


def operations(model: str) -> Measurement:
    """Operations per sample of 2,048 tokens, with recompute."""
    from parsimony.plan.cluster import time
    from parsimony.plan.cluster.model_shape import NAMED

    return Measurement(float(time.operations(NAMED[model], 2048, 2048, "full")))


def activations(model: str, flash: bool = False, recompute: str = "none") -> Measurement:
    """MiB that a layer keeps of a micro-batch of one sequence."""
    from parsimony.plan.cluster.memory import layer_activations
    from parsimony.plan.cluster.model_shape import NAMED
    from parsimony.plan.cluster.training import Training

    training = Training(1, 2048, flash=flash)
    kept, _ = layer_activations(NAMED[model], training, RECIPES[model][0], 1, recompute)
    return Measurement(float(kept) / 2**20)


def bubble(stages: int, micro_batches: int) -> Measurement:
    """Idle time over working time, in percent."""
    from parsimony.plan.cluster.time import bubble_share

    return Measurement(100 * bubble_share(stages, micro_batches))


def share_of_peak(model: str) -> Measurement:
    """Percent of the peak that the recipe is predicted to reach, recomputed operations counted."""
    found = recipe(model)
    return Measurement(
        100 * found["hardware_share"],
        note=f"one efficiency, calibrated on the 22B figure at an assumed layout (t = 2, p = 4; at "
        f"t = 8, p = 1 the other two would miss); {100 * found['model_share']:.2f} % without "
        "recomputed operations",
    )


def weak_scaling(model: str, few: int, many: int) -> Measurement:
    """Throughput per device of many replicas over that of few, in percent."""
    before, after = (recipe(model, n)["tflops"] for n in (few, many))
    return Measurement(100 * after / before, note=f"{few} to {many} replicas, nothing overlapped")


def fits(model: str) -> Measurement:
    """GB that the heaviest stage of the recipe needs."""
    found = recipe(model)
    return Measurement(
        found["memory"] / 1e9,
        note=f"{found['stage']} stage, of 64 GB; states and activations, one moment of Adam",
        holds=found["reason"] == "",
    )


@claim(
    name="parameters-22b",
    statement="The 22B model with V = 51,200 and s = 2,048 has N parameters.",
    published=22_074_273_792,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def parameters_22b() -> Measurement:
    return parameters("gpt-22b")


@claim(
    name="parameters-175b",
    statement="The 175B model with V = 51,200 and s = 2,048 has N parameters.",
    published=174_615_846_912,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def parameters_175b() -> Measurement:
    return parameters("gpt-175b")


@claim(
    name="parameters-1t",
    statement="The 1T model with V = 51,200 and s = 2,048 has N parameters.",
    published=1_008_038_758_400,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def parameters_1t() -> Measurement:
    return parameters("gpt-1t")


@claim(
    name="core-22b",
    statement="The matrices of the 22B model's layers have 12 L h^2.",
    published=21_743_271_936,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def core_22b() -> Measurement:
    return core("gpt-22b")


@claim(
    name="core-175b",
    statement="The matrices of the 175B model's layers have 12 L h^2.",
    published=173_946_175_488,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def core_175b() -> Measurement:
    return core("gpt-175b")


@claim(
    name="core-1t",
    statement="The matrices of the 1T model's layers have 12 L h^2.",
    published=1_006_632_960_000,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def core_1t() -> Measurement:
    return core("gpt-1t")


@claim(
    name="states-175b",
    statement="At 14 bytes a parameter the 175B model's states take this.",
    published=2.45,
    source="derived",
    unit="TB",
    direction="equal",
    tolerance=0.005,
    level="exact",
)
def states_175b() -> Measurement:
    rounded, exact = states("gpt-175b", 1e12)
    return Measurement(rounded, note=f"{exact:.4g} TB of the exact count")


@claim(
    name="states-1t",
    statement="At 14 bytes a parameter the 1T model's states take this.",
    published=14,
    source="paper",
    unit="TB",
    direction="equal",
    tolerance=0.005,
    level="exact",
)
def states_1t() -> Measurement:
    rounded, exact = states("gpt-1t", 1e12)
    return Measurement(rounded, note=f"{exact:.4g} TB of the exact count")


@claim(
    name="devices-175b",
    statement="Devices of 64 GB that hold the 175B model's states.",
    published=39,
    source="derived",
    unit="devices",
    direction="equal",
    level="exact",
)
def devices_175b() -> Measurement:
    rounded, exact = states("gpt-175b", 64e9)
    return Measurement(math.ceil(rounded), note=f"{math.ceil(exact)} for the exact count")


@claim(
    name="devices-1t",
    statement="Devices of 64 GB that hold the 1T model's states.",
    published=219,
    source="derived",
    unit="devices",
    direction="equal",
    level="exact",
)
def devices_1t() -> Measurement:
    rounded, exact = states("gpt-1t", 64e9)
    return Measurement(math.ceil(rounded), note=f"{math.ceil(exact)} for the exact count")


@claim(
    name="states-per-device-175b",
    statement="The 175B model's states on the 64 devices of a replica, on average.",
    published=38.3,
    source="derived",
    unit="GB",
    direction="equal",
    tolerance=0.05,
    level="exact",
)
def states_per_device_175b() -> Measurement:
    rounded, exact = states("gpt-175b", 64 * 1e9)
    heaviest = 14 * recipe("gpt-175b")["parameters"] / 1e9
    note = f"{exact:.4g} GB of the exact count; {heaviest:.4g} GB on the heaviest stage"
    return Measurement(rounded, note=note)


@claim(
    name="states-per-device-1t",
    statement="The 1T model's states on the 512 devices of a replica, on average.",
    published=27.3,
    source="derived",
    unit="GB",
    direction="equal",
    tolerance=0.05,
    level="exact",
)
def states_per_device_1t() -> Measurement:
    rounded, exact = states("gpt-1t", 512 * 1e9)
    heaviest = 14 * recipe("gpt-1t")["parameters"] / 1e9
    note = f"{exact:.4g} GB of the exact count; {heaviest:.4g} GB on the heaviest stage"
    return Measurement(rounded, note=note)


@claim(
    name="fits-175b",
    statement="The 175B recipe fits 64 devices of 64 GB.",
    published=None,
    published_text="TP 4, PP 16, micro-batch 1, ZeRO-1",
    source="recalled",
    unit="GB",
    direction="equal",
    level="exact",
)
def fits_175b() -> Measurement:
    return fits("gpt-175b")


@claim(
    name="fits-1t",
    statement="The 1T recipe fits 512 devices of 64 GB.",
    published=None,
    published_text="TP 8, PP 64, micro-batch 1, ZeRO-1",
    source="recalled",
    unit="GB",
    direction="equal",
    level="exact",
)
def fits_1t() -> Measurement:
    return fits("gpt-1t")


@claim(
    name="training-1t",
    statement="1T parameters on 20T tokens take 6 N T, 120 million exaFLOP.",
    published=120,
    source="abstract",
    unit="million exaFLOP",
    direction="equal",
    tolerance=0.5,
    level="exact",
)
def training_1t() -> Measurement:
    from parsimony.plan.cluster.model_shape import NAMED

    exact = 6 * NAMED["gpt-1t"].parameters * 20e12 / 1e24
    return Measurement(6 * ROUND["gpt-1t"] * 20e12 / 1e24, note=f"{exact:.2f} for the exact count")


@claim(
    name="operations-22b",
    statement="Operations per sample of the 22B model with recompute at s = 2,048.",
    published=3.798984e14,
    source="derived",
    unit="FLOP",
    direction="equal",
    tolerance=5e7,
    level="exact",
)
def operations_22b() -> Measurement:
    return operations("gpt-22b")


@claim(
    name="operations-1t",
    statement="Operations per sample of the 1T model with recompute at s = 2,048.",
    published=1.672868e16,
    source="derived",
    unit="FLOP",
    direction="equal",
    tolerance=5e9,
    level="exact",
)
def operations_1t() -> Measurement:
    return operations("gpt-1t")


@claim(
    name="activations-175b",
    statement="A layer of the 175B model at its t keeps all.",
    published=864,
    source="derived",
    unit="MiB",
    direction="equal",
    level="exact",
)
def activations_175b() -> Measurement:
    return activations("gpt-175b")


@claim(
    name="activations-175b-flash",
    statement="A layer of the 175B model at its t keeps all but the scores.",
    published=384,
    source="derived",
    unit="MiB",
    direction="equal",
    level="exact",
)
def activations_175b_flash() -> Measurement:
    return activations("gpt-175b", flash=True)


@claim(
    name="activations-175b-input",
    statement="A layer of the 175B model at its t keeps its input only.",
    published=48,
    source="derived",
    unit="MiB",
    direction="equal",
    level="exact",
)
def activations_175b_input() -> Measurement:
    return activations("gpt-175b", recompute="full")


@claim(
    name="activations-1t",
    statement="A layer of the 1T model at its t keeps all.",
    published=970,
    source="derived",
    unit="MiB",
    direction="equal",
    level="exact",
)
def activations_1t() -> Measurement:
    return activations("gpt-1t")


@claim(
    name="activations-1t-flash",
    statement="A layer of the 1T model at its t keeps all but the scores.",
    published=650,
    source="derived",
    unit="MiB",
    direction="equal",
    level="exact",
)
def activations_1t_flash() -> Measurement:
    return activations("gpt-1t", flash=True)


@claim(
    name="activations-1t-input",
    statement="A layer of the 1T model at its t keeps its input only.",
    published=100,
    source="derived",
    unit="MiB",
    direction="equal",
    level="exact",
)
def activations_1t_input() -> Measurement:
    return activations("gpt-1t", recompute="full")


@claim(
    name="bubble-16-640",
    statement="16 stages and 640 micro-batches idle (p - 1) / m of their working time.",
    published=2.34,
    source="derived",
    unit="%",
    direction="equal",
    tolerance=0.005,
    level="exact",
)
def bubble_16_640() -> Measurement:
    return bubble(16, 640)


@claim(
    name="bubble-64-1600",
    statement="64 stages and 1600 micro-batches idle (p - 1) / m of their working time.",
    published=3.94,
    source="derived",
    unit="%",
    direction="equal",
    tolerance=0.005,
    level="exact",
)
def bubble_64_1600() -> Measurement:
    return bubble(64, 1600)


@claim(
    name="bubble-8-8",
    statement="8 stages and 8 micro-batches idle (p - 1) / m of their working time.",
    published=87.5,
    source="derived",
    unit="%",
    direction="equal",
    tolerance=0.005,
    level="exact",
)
def bubble_8_8() -> Measurement:
    return bubble(8, 8)


@claim(
    name="tflops-22b",
    statement="38.38 % of a GCD's peak, the 22B model's share, is this.",
    published=73.5,
    source="paper",
    unit="TFLOPS",
    direction="equal",
    tolerance=0.05,
    level="exact",
)
def tflops_22b() -> Measurement:
    from parsimony.plan.cluster import hardware

    return Measurement(0.3838 * hardware.load("frontier").peak_tflops)


@claim(
    name="tflops-1t",
    statement="31.96 % of a GCD's peak, the 1T model's share, is this.",
    published=61.2,
    source="derived",
    unit="TFLOPS",
    direction="equal",
    tolerance=0.05,
    level="exact",
)
def tflops_1t() -> Measurement:
    from parsimony.plan.cluster import hardware

    return Measurement(0.3196 * hardware.load("frontier").peak_tflops)


@claim(
    name="peak-22b",
    statement="The 22B model reaches this share of the peak.",
    published=38.38,
    source="abstract",
    unit="%",
    direction="equal",
    tolerance=0.05,
    level="exact",
)
def peak_22b() -> Measurement:
    return share_of_peak("gpt-22b")


@claim(
    name="peak-175b",
    statement="The 175B model reaches this share of the peak.",
    published=36.14,
    source="abstract",
    unit="%",
    direction="equal",
    tolerance=4,
    level="exact",
)
def peak_175b() -> Measurement:
    return share_of_peak("gpt-175b")


@claim(
    name="peak-1t",
    statement="The 1T model reaches this share of the peak.",
    published=31.96,
    source="abstract",
    unit="%",
    direction="equal",
    tolerance=4,
    level="exact",
)
def peak_1t() -> Measurement:
    return share_of_peak("gpt-1t")


@claim(
    name="weak-scaling-175b",
    statement="Weak scaling of the 175B model to 1,024 devices.",
    published=100,
    source="abstract",
    unit="%",
    direction="equal",
    tolerance=2,
    level="exact",
)
def weak_175b() -> Measurement:
    return weak_scaling("gpt-175b", 1, 16)


@claim(
    name="weak-scaling-1t",
    statement="Weak scaling of the 1T model to 3,072 devices.",
    published=100,
    source="abstract",
    unit="%",
    direction="equal",
    tolerance=2,
    level="exact",
)
def weak_1t() -> Measurement:
    return weak_scaling("gpt-1t", 2, 6)


@cache
def answers() -> dict[str, Answer]:
    """What every layout of the runner's tests did on two and four processes."""
    from parsimony.plan.running.equivalence import FOUR, OTHERS, PIPELINES, together

    return {**together({**PIPELINES, **OTHERS}, 2), **together(FOUR, 4)}


@cache
def expected() -> dict[str, Answer]:
    """What one process did in their place."""
    from parsimony.plan.running.equivalence import FOUR, OTHERS, PIPELINES, alone

    return alone({**PIPELINES, **OTHERS, **FOUR})


def bits(names: Any) -> Measurement:
    """Losses and weights that differ in any bit."""
    wrong = compared = 0
    for name in names:
        got, alone = answers()[name], expected()[name]
        pairs = [*zip(got.losses, alone.losses, strict=True)]
        pairs += [(got.weights.get(key), digest) for key, digest in alone.weights.items()]
        compared += len(pairs)
        wrong += sum(a != b for a, b in pairs)
    return Measurement(wrong, note=f"of {compared}; gloo, 3 steps: {'; '.join(names)}")


def losses(names: Any) -> Measurement:
    """The largest difference of a loss."""
    worst = max(
        abs(a - b)
        for name in names
        for a, b in zip(answers()[name].losses, expected()[name].losses, strict=True)
    )
    return Measurement(worst, note=f"gloo, 3 steps: {'; '.join(names)}")


@claim(
    name="pipelines-bit-identical",
    statement="GPipe, 1F1B, interleaved and zero-bubble give one process's losses and weights.",
    published=0,
    source="derived",
    unit="values that differ",
    direction="equal",
    level="cpu",
)
def pipelines_bit_identical() -> Measurement:
    from parsimony.plan.running.equivalence import PIPELINES

    return bits(list(PIPELINES))


@claim(
    name="sharded-losses",
    statement="FSDP2, tensor parallelism and tied ends on two processes give one process's losses.",
    published=0,
    source="derived",
    unit="nats",
    direction="equal",
    tolerance=1e-6,
    level="cpu",
)
def sharded_losses() -> Measurement:
    from parsimony.plan.running.equivalence import OTHERS

    return losses(list(OTHERS))


@claim(
    name="combined-losses",
    statement="TP2 x PP2, DP2 x TP2 and DP2 x PP2 on four processes give one process's losses.",
    published=0,
    source="derived",
    unit="nats",
    direction="equal",
    tolerance=1e-6,
    level="cpu",
)
def combined_losses() -> Measurement:
    from parsimony.plan.running.equivalence import FOUR

    return losses(list(FOUR))


@claim(
    name="parameters-per-process",
    statement="Every stage of a 12-layer GPT holds the planner's parameters, for every (t, p, z).",
    published=0,
    source="derived",
    unit="processes that differ",
    direction="equal",
    level="cpu",
)
def parameters_per_process() -> Measurement:
    from parsimony.plan.cluster import hardware
    from parsimony.plan.cluster.model_shape import ModelShape
    from parsimony.plan.cluster.plan_file import Layout, Plan
    from parsimony.plan.cluster.training import Training
    from parsimony.plan.running import rehearsal

    shape, wrong, total = ModelShape(12, 768, 12, 50_304, 1_024), 0, 0
    for t in (1, 2, 4):
        for p in (1, 2, 3, 4, 6, 12):
            for zero in range(4):
                layout = Layout(t, p, 2, zero, 1, "none", 1)
                cluster = hardware.load("frontier").of(layout.devices)
                plan = Plan(shape, cluster, Training(24, 1_024), layout)
                found = rehearsal.parameters(plan, range(0, layout.devices, 2 * t))
                total += len(found)
                wrong += sum(built != planned for built, planned in found)
    note = "between steps, on the meta device, two replicas, one process of each stage"
    return Measurement(wrong, note=f"of {total}; {note}")


@claim(
    name="optimizer-per-process",
    statement="After a step each process holds the planner's bytes of weights and Adam's moments.",
    published=0,
    source="derived",
    unit="processes that differ",
    direction="equal",
    level="cpu",
)
def optimizer_per_process() -> Measurement:
    from parsimony.plan.running.equivalence import FOUR, OTHERS, PIPELINES

    cases = {**PIPELINES, **OTHERS, **FOUR}
    names = [name for name, case in cases.items() if case.optimizer == "adamw"]
    pairs = [
        pair
        for name in names
        for pair in zip(answers()[name].optimizer_bytes, answers()[name].planned_bytes, strict=True)
    ]
    wrong = sum(held != planned for held, planned in pairs)
    return Measurement(wrong, note=f"of {len(pairs)}; {'; '.join(names)}")


@claim(
    name="bubble-measured",
    statement="A pipeline of two sleeping stages takes 1 + (p - 1) / m of its working time.",
    published=0,
    source="derived",
    unit="%",
    direction="equal",
    tolerance=10,
    level="cpu",
)
def bubble_measured() -> Measurement:
    from parsimony.plan.cluster.time import bubble_share
    from parsimony.plan.running import bubble

    found = bubble.measure()
    ratios = [found[m] for m in bubble.MICRO_BATCHES]
    if ratios != sorted(ratios, reverse=True):
        return Measurement(float("nan"), note=f"more micro-batches must cost less: {found}")
    errors = [
        100 * (ratio / (1 + bubble_share(bubble.STAGES, m)) - 1) for m, ratio in found.items()
    ]
    told = ", ".join(f"{m}: {ratio:.3f}" for m, ratio in found.items())
    return Measurement(max(errors, key=abs), note=f"1F1B; by micro-batches {told}; falls with each")
