# Long because every figure of the tables is a claim of its own.
"""The Journey Matters: Average Parameter Count over Pre-training Unifies Sparse and Dense
Scaling Laws."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from parsimony.papers.claim import Measurement, claim

if TYPE_CHECKING:
    from parsimony.core.pruning_schedule import PruningSchedule

CARD = {
    "slug": "sparse-pretraining",
    "title": (
        "The Journey Matters: Average Parameter Count over Pre-training Unifies Sparse and "
        "Dense Scaling Laws"
    ),
    "authors": (
        "Tian Jin",
        "Ahmed Imtiaz Humayun",
        "Utku Evci",
        "Suvinay Subramanian",
        "Amir Yazdanbakhsh",
        "Dan Alistarh",
        "Gintare Karolina Dziugaite",
    ),
    "year": 2025,
    "arxiv": "2501.12486",
    "venue": "ICLR 2025, pages 85165-85181",
    "areas": ("plan", "compress"),
    "mechanism": "compress/gradual_pruning, plan/laws/average_parameters, plan/sparse_pretraining",
    "summary": (
        "Prunes a model while it is pre-trained and predicts its final loss from the "
        "parameter count averaged over training."
    ),
    "official_code": ("tjingrant/sparse-llm-code",),
    "licence": None,
}

SHAPES = {
    "58m": (512, 6, 8, 2048),
    "162m": (768, 12, 12, 3072),
    "468m": (1024, 24, 16, 4096),
    "1b": (2048, 16, 8, 8192),
}
"""Width, layers, heads, inner width of the MLP; the vocabulary is 32,000, the head not tied."""

COUNTED = "transformers' LlamaForCausalLM of this shape on the meta device"
RULE = "25 and 75 % of the compute, in closed form at N0 = {:,} dense steps"


@functools.cache
def _counts(shape: str) -> tuple[int, int, int]:
    """Prunable weights, norm weights, all parameters."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from parsimony.core import cost
    from parsimony.core.prunable import prunable

    width, layers, heads, inner = SHAPES[shape]
    config = LlamaConfig(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
        intermediate_size=inner, vocab_size=32000, tie_word_embeddings=False,
    )  # fmt: skip
    model = cost.on_meta(lambda: LlamaForCausalLM(config))
    norms = sum(p.numel() for p in model.parameters() if p.ndim == 1)
    return sum(p.numel() for p in prunable(model).values()), norms, cost.count(model)[0]


def _prunable(shape: str) -> Measurement:
    return Measurement(_counts(shape)[0], note=f"linear layers with the head, {COUNTED}")


def _total(shape: str) -> Measurement:
    _, norms, total = _counts(shape)
    return Measurement(total - norms, note=f"without norms, {COUNTED}")


def _step(sparsity: float, dense_steps: int, which: int) -> Measurement:
    from parsimony.plan.sparse_pretraining import ComputeRule

    steps = ComputeRule(sparsity).steps(dense_steps)
    return Measurement(steps[which], note=RULE.format(dense_steps))


def _rule_density(sparsity: float) -> Measurement:
    from parsimony.plan.sparse_pretraining import ComputeRule

    return Measurement(ComputeRule(sparsity).average_density, note="N0 / T in closed form")


def _stretch(sparsity: float) -> Measurement:
    from parsimony.plan.sparse_pretraining import ComputeRule

    return Measurement(ComputeRule(sparsity).stretch, note="T / N0 in closed form")


def _exact_density(sparsity: float, start: int, end: int, total: int, every: int) -> Measurement:
    from parsimony.core.pruning_schedule import PruningSchedule

    found = PruningSchedule(sparsity, start, end, total, every)
    return Measurement(found.average_density, note=f"{found.prunings} prunings")


@claim(
    name="prunable-162m",
    statement="Prunable weights of the 162M model.",
    published=137822208,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def prunable_162m() -> Measurement:
    return _prunable("162m")


@claim(
    name="total-162m",
    statement="Parameters of the 162M model without norms.",
    published=162398208,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def total_162m() -> Measurement:
    return _total("162m")


@claim(
    name="prunable-58m",
    statement="Prunable weights of the 58M model.",
    published=41549824,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def prunable_58m() -> Measurement:
    return _prunable("58m")


@claim(
    name="total-58m",
    statement="Parameters of the 58M model without norms.",
    published=57933824,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def total_58m() -> Measurement:
    return _total("58m")


@claim(
    name="prunable-468m",
    statement="Prunable weights of the 468M model.",
    published=435421184,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def prunable_468m() -> Measurement:
    return _prunable("468m")


@claim(
    name="total-468m",
    statement="Parameters of the 468M model without norms.",
    published=468189184,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def total_468m() -> Measurement:
    return _total("468m")


@claim(
    name="prunable-1b",
    statement="Prunable weights of the 1B model.",
    published=1139277824,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def prunable_1b() -> Measurement:
    return _prunable("1b")


@claim(
    name="total-1b",
    statement="Parameters of the 1B model without norms.",
    published=1204813824,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def total_1b() -> Measurement:
    return _total("1b")


@claim(
    name="norms-1b",
    statement="Norm weights of the 1B model.",
    published=67584,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def norms_1b() -> Measurement:
    return Measurement(_counts("1b")[1], note=COUNTED)


@claim(
    name="printed-prunable-162m",
    statement="The paper calls the prunable weights of the 162M model 138 million.",
    published=138000000.0,
    published_text="138 million prunable",
    source="paper",
    unit="parameters",
    direction="equal",
    level="exact",
    tolerance=500000.0,
)
def printed_prunable_162m() -> Measurement:
    return _prunable("162m")


@claim(
    name="printed-total-58m",
    statement="The paper calls this size 58M.",
    published=58000000.0,
    published_text="58M",
    source="paper",
    unit="parameters",
    direction="equal",
    level="exact",
    tolerance=500000.0,
)
def printed_total_58m() -> Measurement:
    return _total("58m")


@claim(
    name="printed-total-468m",
    statement="The paper calls this size 468M.",
    published=468000000.0,
    published_text="468M",
    source="paper",
    unit="parameters",
    direction="equal",
    level="exact",
    tolerance=500000.0,
)
def printed_total_468m() -> Measurement:
    return _total("468m")


@claim(
    name="printed-prunable-1b",
    statement="The released 1B model has 1.14B linear weights.",
    published=1140000000.0,
    published_text="1.14B",
    source="official data",
    unit="parameters",
    direction="equal",
    level="exact",
    tolerance=5000000.0,
)
def printed_prunable_1b() -> Measurement:
    return _prunable("1b")


@claim(
    name="printed-total-1b",
    statement="The released 1B model has 1.20B parameters.",
    published=1200000000.0,
    published_text="1.20B",
    source="official data",
    unit="parameters",
    direction="equal",
    level="exact",
    tolerance=5000000.0,
)
def printed_total_1b() -> Measurement:
    return _total("1b")


@claim(
    name="rule-start-40",
    statement="First pruning of the 25/75 rule at 40 % sparsity.",
    published=2500,
    source="derived",
    unit="steps",
    direction="equal",
    level="exact",
    tolerance=0.5,
)
def rule_start_40() -> Measurement:
    return _step(0.4, 10000, 0)


@claim(
    name="released-start-40",
    statement="First pruning of the released 1B model of 40 % sparsity, within 0.5 %.",
    published=2500,
    source="official data",
    unit="steps",
    direction="equal",
    level="exact",
    tolerance=12.5,
)
def released_start_40() -> Measurement:
    return _step(0.4, 10000, 0)


@claim(
    name="rule-end-40",
    statement="Last pruning of the 25/75 rule at 40 % sparsity.",
    published=8885,
    source="derived",
    unit="steps",
    direction="equal",
    level="exact",
    tolerance=0.5,
)
def rule_end_40() -> Measurement:
    return _step(0.4, 10000, 1)


@claim(
    name="released-end-40",
    statement="Last pruning of the released 1B model of 40 % sparsity, within 0.5 %.",
    published=8875,
    source="official data",
    unit="steps",
    direction="equal",
    level="exact",
    tolerance=44.375,
)
def released_end_40() -> Measurement:
    return _step(0.4, 10000, 1)


@claim(
    name="rule-total-40",
    statement="Steps of the 25/75 rule at 40 % sparsity.",
    published=13052,
    source="derived",
    unit="steps",
    direction="equal",
    level="exact",
    tolerance=0.5,
)
def rule_total_40() -> Measurement:
    return _step(0.4, 10000, 2)


@claim(
    name="released-total-40",
    statement="Steps of the released 1B model of 40 % sparsity, within 0.5 %.",
    published=13050,
    source="official data",
    unit="steps",
    direction="equal",
    level="exact",
    tolerance=65.25,
)
def released_total_40() -> Measurement:
    return _step(0.4, 10000, 2)


@claim(
    name="rule-density-40",
    statement="Average density of the 25/75 rule at 40 % sparsity.",
    published=0.7662,
    source="derived",
    unit="share",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def rule_density_40() -> Measurement:
    return _rule_density(0.4)


@claim(
    name="released-density-40",
    statement="Average density of the released 1B model of 40 % sparsity, within 0.5 %.",
    published=0.7651,
    source="official data",
    unit="share",
    direction="equal",
    level="exact",
    tolerance=0.003825,
)
def released_density_40() -> Measurement:
    return _rule_density(0.4)


@claim(
    name="rule-start-80",
    statement="First pruning of the 25/75 rule at 80 % sparsity.",
    published=2500,
    source="derived",
    unit="steps",
    direction="equal",
    level="exact",
    tolerance=0.5,
)
def rule_start_80() -> Measurement:
    return _step(0.8, 10000, 0)


@claim(
    name="released-start-80",
    statement="First pruning of the released 1B model of 80 % sparsity, within 0.5 %.",
    published=2500,
    source="official data",
    unit="steps",
    direction="equal",
    level="exact",
    tolerance=12.5,
)
def released_start_80() -> Measurement:
    return _step(0.8, 10000, 0)


@claim(
    name="rule-end-80",
    statement="Last pruning of the 25/75 rule at 80 % sparsity.",
    published=12559,
    source="derived",
    unit="steps",
    direction="equal",
    level="exact",
    tolerance=0.5,
)
def rule_end_80() -> Measurement:
    return _step(0.8, 10000, 1)


@claim(
    name="released-end-80",
    statement="Last pruning of the released 1B model of 80 % sparsity, within 0.5 %.",
    published=12600,
    source="official data",
    unit="steps",
    direction="equal",
    level="exact",
    tolerance=63.0,
)
def released_end_80() -> Measurement:
    return _step(0.8, 10000, 1)


@claim(
    name="rule-total-80",
    statement="Steps of the 25/75 rule at 80 % sparsity.",
    published=25059,
    source="derived",
    unit="steps",
    direction="equal",
    level="exact",
    tolerance=0.5,
)
def rule_total_80() -> Measurement:
    return _step(0.8, 10000, 2)


@claim(
    name="released-total-80",
    statement="Steps of the released 1B model of 80 % sparsity, within 0.5 %.",
    published=25050,
    source="official data",
    unit="steps",
    direction="equal",
    level="exact",
    tolerance=125.25,
)
def released_total_80() -> Measurement:
    return _step(0.8, 10000, 2)


@claim(
    name="rule-density-80",
    statement="Average density of the 25/75 rule at 80 % sparsity.",
    published=0.3991,
    source="derived",
    unit="share",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def rule_density_80() -> Measurement:
    return _rule_density(0.8)


@claim(
    name="released-density-80",
    statement="Average density of the released 1B model of 80 % sparsity, within 0.5 %.",
    published=0.3984,
    source="official data",
    unit="share",
    direction="equal",
    level="exact",
    tolerance=0.001992,
)
def released_density_80() -> Measurement:
    return _rule_density(0.8)


@claim(
    name="rule-start-50",
    statement="First pruning of the 25/75 rule at 50 % sparsity.",
    published=12500,
    source="derived",
    unit="steps",
    direction="equal",
    level="exact",
    tolerance=0.5,
)
def rule_start_50() -> Measurement:
    return _step(0.5, 50000, 0)


@claim(
    name="released-start-50",
    statement="First pruning of the repository's 1B configuration of 50 % sparsity, within 0.5 %.",
    published=12500,
    source="official code",
    unit="steps",
    direction="equal",
    level="exact",
    tolerance=62.5,
)
def released_start_50() -> Measurement:
    return _step(0.5, 50000, 0)


@claim(
    name="rule-end-50",
    statement="Last pruning of the 25/75 rule at 50 % sparsity.",
    published=47157,
    source="derived",
    unit="steps",
    direction="equal",
    level="exact",
    tolerance=0.5,
)
def rule_end_50() -> Measurement:
    return _step(0.5, 50000, 1)


@claim(
    name="released-end-50",
    statement="Last pruning of the repository's 1B configuration of 50 % sparsity, within 0.5 %.",
    published=47200,
    source="official code",
    unit="steps",
    direction="equal",
    level="exact",
    tolerance=236.0,
)
def released_end_50() -> Measurement:
    return _step(0.5, 50000, 1)


@claim(
    name="rule-total-50",
    statement="Steps of the 25/75 rule at 50 % sparsity.",
    published=72157,
    source="derived",
    unit="steps",
    direction="equal",
    level="exact",
    tolerance=0.5,
)
def rule_total_50() -> Measurement:
    return _step(0.5, 50000, 2)


@claim(
    name="released-total-50",
    statement="Steps of the repository's 1B configuration of 50 % sparsity, within 0.5 %.",
    published=72200,
    source="official code",
    unit="steps",
    direction="equal",
    level="exact",
    tolerance=361.0,
)
def released_total_50() -> Measurement:
    return _step(0.5, 50000, 2)


@claim(
    name="rule-density-50",
    statement="Average density of the 25/75 rule at 50 % sparsity.",
    published=0.6929,
    source="derived",
    unit="share",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def rule_density_50() -> Measurement:
    return _rule_density(0.5)


@claim(
    name="exact-density-80",
    statement="Average density of the released 80 % schedule, counted at each step, 203 prunings.",
    published=0.39941,
    source="derived",
    unit="share",
    direction="equal",
    level="exact",
    tolerance=5e-06,
)
def exact_density_80() -> Measurement:
    return _exact_density(0.8, 2500, 12600, 25050, 50)


@claim(
    name="exact-density-50",
    statement="Average density at 50 % over steps 0 to 1229, pruned from 300 to 800 six times.",
    published=0.709992,
    source="derived",
    unit="share",
    direction="equal",
    level="exact",
    tolerance=5e-07,
)
def exact_density_50() -> Measurement:
    return _exact_density(0.5, 300, 800, 1230, 100)


@claim(
    name="stretch-50",
    statement="Steps over those of a dense training of equal compute at 50 % sparsity.",
    published=1.4431,
    source="derived",
    unit="ratio",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def stretch_50() -> Measurement:
    return _stretch(0.5)


@claim(
    name="stretch-90",
    statement="The same at 90 % sparsity.",
    published=4.0292,
    source="derived",
    unit="ratio",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def stretch_90() -> Measurement:
    return _stretch(0.9)


@claim(
    name="dense-loss-70b",
    statement="Loss of a dense 70B model on 1.4T tokens, the constants of Hoffmann et al.",
    published=1.9366,
    source="derived",
    unit="nats per token",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def dense_loss_70b() -> Measurement:
    import numpy as np

    from parsimony.plan.laws import law
    from parsimony.plan.laws.chinchilla import PUBLISHED

    logs = [np.log(value) for value in (PUBLISHED.A, PUBLISHED.B, PUBLISHED.E)]
    theta = np.array([*logs, PUBLISHED.alpha, PUBLISHED.beta])
    dense = {"N_avg": np.array([70e9]), "D": np.array([1.4e12])}
    found = law("average-parameters").evaluate(theta, dense)[0]
    return Measurement(float(np.exp(found[0])), note="the average-parameter law at N_avg = N")


SEEDS = (0, 1, 2)
SPARSITY, DENSE_STEPS, EVERY = 0.6, 800, 10
WIDTHS = {"initial": 96, "average": 80, "final": 64}
"""Of tiny models of bytes with three blocks, heads of 16: 331,776, 230,400 and 147,456 weights in
linear layers, where the sparse training has 331,776 at first, 203,000 on average and 132,710 at the
end; the dense ones are not smaller than what they stand for."""


def _pruning() -> PruningSchedule:
    """The 25/75 rule at the compute of ``DENSE_STEPS`` dense steps, on a grid of ``EVERY``."""
    from parsimony.core.pruning_schedule import PruningSchedule
    from parsimony.plan.sparse_pretraining import ComputeRule

    start, end, total = ComputeRule(SPARSITY).steps(DENSE_STEPS)
    first = round(start / EVERY) * EVERY
    last = first + max(1, round((end - first) / EVERY)) * EVERY
    return PruningSchedule(SPARSITY, first, last, round(total), EVERY)


@functools.cache
def _trained(arm: str, seed: int) -> float:
    """Validation loss of the sparse training, or of a dense one of ``WIDTHS``, nats per byte."""
    from parsimony.compress.gradual_pruning import GradualPruning
    from parsimony.core.training import TrainSettings
    from parsimony.papers.byte_models import decoder, train_bytes

    schedule = _pruning()
    steps = DENSE_STEPS if arm == "initial" else schedule.total
    model = decoder(WIDTHS.get(arm, WIDTHS["initial"]), seed, layers=3)
    callbacks = [GradualPruning(schedule)] if arm == "sparse" else []
    settings = TrainSettings(4e-3, steps, batch_size=16, seed=seed, warmup=0.01, schedule="cosine")
    return train_bytes(model, settings, at=frozenset({steps}), callbacks=callbacks)[steps]


def _behind(arm: str) -> tuple[float, tuple[float, float], str]:
    """Loss of the sparse training less that of a dense one: mean, interval over seeds, note."""
    from parsimony.papers.byte_models import mean_of_seeds

    sparse, dense = ([_trained(a, seed) for seed in SEEDS] for a in ("sparse", arm))
    mean, interval = mean_of_seeds([s - d for s, d in zip(sparse, dense, strict=True)])
    told = f"{SPARSITY:.0%} sparse {_said(sparse)}, dense width {WIDTHS[arm]} {_said(dense)}"
    return mean, interval, f"{told}; {len(SEEDS)} seeds, {_pruning().total} sparse steps"


def _said(losses: list[float]) -> str:
    return ", ".join(f"{loss:.3f}" for loss in losses)


def _below(arm: str) -> Measurement:
    mean, interval, note = _behind(arm)
    return Measurement(mean, interval, note, holds=interval[1] < 0)


@claim(
    name="tiny-beats-equal-compute",
    statement="A sparse training beats a dense one of its initial size and the same compute.",
    published=None,
    published_text="a smaller loss",
    source="derived",
    unit="nats per byte",
    direction="at most",
    level="cpu",
)
def tiny_beats_equal_compute() -> Measurement:
    return _below("initial")


@claim(
    name="tiny-beats-final-size",
    statement="A sparse training beats a dense one of its final size on the same tokens.",
    published=None,
    published_text="a smaller loss",
    source="derived",
    unit="nats per byte",
    direction="at most",
    level="cpu",
)
def tiny_beats_final_size() -> Measurement:
    return _below("final")


@claim(
    name="tiny-near-average-size",
    statement=(
        "A sparse training ends within 0.06 nats of a dense one of its average size on the same "
        "tokens; the paper's equality is a claim for 58M parameters and more."
    ),
    published=0.06,
    source="derived",
    unit="nats per byte",
    direction="at most",
    level="cpu",
)
def tiny_near_average_size() -> Measurement:
    mean, interval, note = _behind("average")
    return Measurement(mean, interval, note)
