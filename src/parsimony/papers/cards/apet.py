# Long because every row of the paper's table of budgets is a claim of its own.
"""Arbitrary Few Parameters are Good Enough for Adapting Large-scale Pre-trained Language Models.

The official numbers of biases of T5 v1.1 base and XXL, 270,208 and 2,444,644, have no claim: they
count every tensor whose name contains "bias", relative positions and biases added to a modified
model among them, and no definition gives both.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from parsimony.core.errors import require
from parsimony.papers.claim import Measurement, claim
from parsimony.papers.counting import adapted, build, count

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch
    from torch import nn

CARD = {
    "slug": "apet",
    "title": (
        "Arbitrary Few Parameters are Good Enough for Adapting Large-scale Pre-trained "
        "Language Models"
    ),
    "authors": None,
    "year": 2023,
    "arxiv": "2306.02320",
    "venue": "EMNLP 2023, pages 15062-15078",
    "areas": ("adapt",),
    "mechanism": "adapt: apet",
    "summary": (
        "Tunes any number of parameters at arbitrary places of a model and finds how few are "
        "enough."
    ),
    "official_code": ("yushengsu-thu/PET_Scaling",),
    "licence": None,
}

BLOOM_7B1 = {
    "config": "BloomConfig",
    "model": "BloomForCausalLM",
    "vocab_size": 250880,
    "hidden_size": 4096,
    "n_layer": 30,
    "n_head": 32,
}
BLOOM_1B1 = {**BLOOM_7B1, "hidden_size": 1536, "n_layer": 24, "n_head": 16}
BLOOM_560M = {**BLOOM_1B1, "hidden_size": 1024}
T5_BASE = {
    "config": "T5Config",
    "model": "T5ForConditionalGeneration",
    "vocab_size": 32128,
    "d_model": 768,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 12,
    "num_heads": 12,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
}
T5_XXL = {**T5_BASE, "d_model": 4096, "d_ff": 10240, "num_layers": 24, "num_heads": 64}


def _lora(architecture: dict[str, Any]) -> Measurement:
    """Pairs of rank 8 for query and value of self-attention.

    BLOOM has one map d -> 3 d for query, key and value; a pair on it, 8 (d + 3 d), is as large as
    the authors' two pairs, 2 * 8 (d + d).
    """
    t5 = architecture["config"] == "T5Config"
    targets: Any = r".*\.SelfAttention\.[qv]" if t5 else ["query_key_value"]
    return adapted(build(architecture), "LoraConfig", r=8, target_modules=targets)


def _adapters(architecture: dict[str, Any]) -> Measurement:
    """Width 24 with biases, after attention and after feed-forward of every block."""
    from parsimony.adapt.methods.bottleneck import BottleneckConfig

    targets = r".*\.(SelfAttention\.o|DenseReluDense\.wo|self_attention\.dense|dense_4h_to_h)"
    return adapted(build(architecture), BottleneckConfig, width=24, target_modules=targets)


def _prompt(architecture: dict[str, Any]) -> Measurement:
    """100 virtual tokens, before the encoder alone where there is one."""
    t5 = architecture["config"] == "T5Config"
    return adapted(
        build(architecture),
        "PromptTuningConfig",
        task_type="SEQ_2_SEQ_LM" if t5 else "CAUSAL_LM",
        num_virtual_tokens=100,
        num_transformer_submodules=1,
    )


def _biases(architecture: dict[str, Any]) -> Measurement:
    model = build(architecture)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.endswith(".bias")
    return count(model, "every bias, those of the norms included")


@claim(
    name="bloom-7b1-lora",
    statement="LoRA of rank 8 on query and value of BLOOM-7b1.",
    published=3_932_160,
    source="official code",
    unit="parameters",
    direction="equal",
    level="exact",
)
def bloom_7b1_lora() -> Measurement:
    return _lora(BLOOM_7B1)


@claim(
    name="bloom-7b1-adapter",
    statement="Two adapters of width 24 a block of BLOOM-7b1.",
    published=12_043_680,
    source="official code",
    unit="parameters",
    direction="equal",
    level="exact",
)
def bloom_7b1_adapter() -> Measurement:
    return _adapters(BLOOM_7B1)


@claim(
    name="bloom-7b1-prompt",
    statement="A prompt of 100 tokens for BLOOM-7b1.",
    published=409_600,
    source="official code",
    unit="parameters",
    direction="equal",
    level="exact",
)
def bloom_7b1_prompt() -> Measurement:
    return _prompt(BLOOM_7B1)


@claim(
    name="bloom-7b1-biases",
    statement="All biases of BLOOM-7b1.",
    published=1_359_872,
    source="official code",
    unit="parameters",
    direction="equal",
    level="exact",
)
def bloom_7b1_biases() -> Measurement:
    return _biases(BLOOM_7B1)


@claim(
    name="t5-base-lora",
    statement="LoRA of rank 8 on query and value of T5 v1.1 base, cross-attention left out.",
    published=589_824,
    source="official code",
    unit="parameters",
    direction="equal",
    level="exact",
)
def t5_base_lora() -> Measurement:
    return _lora(T5_BASE)


@claim(
    name="t5-base-adapter",
    statement="Two adapters of width 24 a block of T5 v1.1 base.",
    published=1_807_488,
    source="official code",
    unit="parameters",
    direction="equal",
    level="exact",
)
def t5_base_adapter() -> Measurement:
    return _adapters(T5_BASE)


@claim(
    name="t5-base-prompt",
    statement="A prompt of 100 tokens for T5 v1.1 base.",
    published=76_800,
    source="official code",
    unit="parameters",
    direction="equal",
    level="exact",
)
def t5_base_prompt() -> Measurement:
    return _prompt(T5_BASE)


@claim(
    name="t5-xxl-lora",
    statement="LoRA of rank 8 on query and value of T5 v1.1 XXL, cross-attention left out.",
    published=6_291_456,
    source="official code",
    unit="parameters",
    direction="equal",
    level="exact",
)
def t5_xxl_lora() -> Measurement:
    return _lora(T5_XXL)


@claim(
    name="t5-xxl-adapter",
    statement="Two adapters of width 24 a block of T5 v1.1 XXL.",
    published=19_269_888,
    source="official code",
    unit="parameters",
    direction="equal",
    level="exact",
)
def t5_xxl_adapter() -> Measurement:
    return _adapters(T5_XXL)


@claim(
    name="t5-xxl-prompt",
    statement="A prompt of 100 tokens for T5 v1.1 XXL.",
    published=409_600,
    source="official code",
    unit="parameters",
    direction="equal",
    level="exact",
)
def t5_xxl_prompt() -> Measurement:
    return _prompt(T5_XXL)


@claim(
    name="bloom-1b1-lora",
    statement="LoRA of rank 8 on query and value of BLOOM-1b1.",
    published=1_179_648,
    source="official code",
    unit="parameters",
    direction="equal",
    level="exact",
)
def bloom_1b1_lora() -> Measurement:
    return _lora(BLOOM_1B1)


@claim(
    name="bloom-1b1-adapter",
    statement="Two adapters of width 24 a block of BLOOM-1b1.",
    published=3_613_824,
    published_text="the official table prints 2409600, the figure of BLOOM-560m",
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def bloom_1b1_adapter() -> Measurement:
    return _adapters(BLOOM_1B1)


@claim(
    name="bloom-560m-adapter",
    statement="Two adapters of width 24 a block of BLOOM-560m.",
    published=2_409_600,
    source="official code",
    unit="parameters",
    direction="equal",
    level="exact",
)
def bloom_560m_adapter() -> Measurement:
    return _adapters(BLOOM_560M)


@claim(
    name="bloom-1b1-prompt",
    statement="A prompt of 100 tokens for BLOOM-1b1.",
    published=153_600,
    source="official code",
    unit="parameters",
    direction="equal",
    level="exact",
)
def bloom_1b1_prompt() -> Measurement:
    return _prompt(BLOOM_1B1)


@claim(
    name="bloom-1b1-biases",
    statement="All biases of BLOOM-1b1.",
    published=408_576,
    source="official code",
    unit="parameters",
    direction="equal",
    level="exact",
)
def bloom_1b1_biases() -> Measurement:
    return _biases(BLOOM_1B1)


@claim(
    name="bloom-1b1-size",
    statement="BLOOM-1b1 has 1,065,314,304 parameters.",
    published=1_065_314_304,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def bloom_1b1_size() -> Measurement:
    return count(build(BLOOM_1B1), "all parameters, the tied head once")


@claim(
    name="bloom-7b1-size",
    statement="BLOOM-7b1 has 7,069,016,064 parameters.",
    published=7_069_016_064,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def bloom_7b1_size() -> Measurement:
    return count(build(BLOOM_7B1), "all parameters, the tied head once")


@claim(
    name="bloom-7b1-lora-share",
    statement="LoRA of rank 8 trains 0.0556 percent of BLOOM-7b1.",
    published=0.0556,
    source="derived",
    unit="percent",
    direction="equal",
    tolerance=0.00005,
    level="exact",
)
def bloom_7b1_lora_share() -> Measurement:
    share = 100 * _lora(BLOOM_7B1).value / bloom_7b1_size.run().value
    return Measurement(share, note="adapter over base model")


@claim(
    name="bloom-7b1-fixed-budget",
    statement="The smallest fixed budget of the code, 4,096 scalars, is met exactly on BLOOM-7b1.",
    published=4096,
    source="official code",
    unit="parameters",
    direction="equal",
    level="exact",
)
def bloom_7b1_fixed_budget() -> Measurement:
    from parsimony.adapt.methods.apet import ApetConfig

    return adapted(build(BLOOM_7B1), ApetConfig, budget=4096)


@claim(
    name="bloom-7b1-bias-budget-in-tensors",
    statement="Whole tensors of BLOOM-7b1, the rest filled with scalars, meet the biases' budget.",
    published=1_359_872,
    source="official code",
    unit="parameters",
    direction="equal",
    level="exact",
)
def bloom_7b1_bias_budget() -> Measurement:
    from parsimony.adapt.methods.apet import ApetConfig

    return adapted(build(BLOOM_7B1), ApetConfig, budget=1_359_872, unit="tensor")


DIGITS_BUDGETS = (3, 10, 30, 100, 300, 1000)
DIGITS_SCALARS = 1397  # of the network 64-16-16-5
DIGITS_TEST = 270  # rows


@functools.cache
def _digits() -> tuple[pd.DataFrame, float, float, float]:
    """Runs of scalars at random places; accuracy of full tuning, of output biases, of guessing.

    A network trained on digits 0 to 4 learns 5 to 9; five seeds choose the places; validation
    chooses among three rates for every budget, since few scalars need larger steps than many.
    """
    import peft
    import torch
    from sklearn.datasets import load_digits
    from torch import nn

    from parsimony.adapt.budget_study import budget_curve
    from parsimony.adapt.methods.apet import ApetConfig

    pixels, labels = load_digits(return_X_y=True)
    old = labels < 5
    generator = torch.Generator().manual_seed(0)
    x = torch.tensor(pixels[~old] / 16, dtype=torch.float32)
    y = torch.tensor(labels[~old] - 5)
    order = torch.randperm(len(x), generator=generator)
    test, validation, train = order.split([DIGITS_TEST, 180, len(x) - DIGITS_TEST - 180])
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 5)
    )
    known = torch.tensor(pixels[old] / 16, dtype=torch.float32), torch.tensor(labels[old])
    _fit(net, *known, rate=0.01)

    def tuned(rate: float, **settings: Any) -> tuple[float, float]:
        """Accuracy on validation and on test rows."""
        model: Any = peft.get_peft_model(copy.deepcopy(net), ApetConfig(**settings))
        _fit(model, x[train], y[train], rate)
        with torch.no_grad():
            right = (model(x).argmax(1) == y).float()
        return right[validation].mean().item(), right[test].mean().item()

    def scalars(budget: int, seed: int, rate: float) -> tuple[float, float]:
        return tuned(rate, budget=budget, seed=seed)

    rates = (0.02, 0.1, 0.3)
    table = budget_curve(scalars, budgets=DIGITS_BUDGETS, seeds=range(5), rates=rates)
    full = max(tuned(rate, budget=DIGITS_SCALARS) for rate in rates)[1]
    biases = max(tuned(rate, indices={"4.bias": list(range(5))}) for rate in rates)[1]
    return table, full, biases, y[test].bincount().max().item() / DIGITS_TEST


def _fit(model: nn.Module, x: torch.Tensor, y: torch.Tensor, rate: float) -> None:
    """150 Adam steps on all rows; core's training would write 150 checkpoints of 1,397 numbers."""
    import torch

    trained = [p for p in model.parameters() if p.requires_grad]
    stepper = torch.optim.Adam(trained, lr=rate)
    for _ in range(150):
        stepper.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        stepper.step()


def _at(table: pd.DataFrame, budget: int) -> np.ndarray:
    return table.loc[table["budget"] == budget, "accuracy"].to_numpy()


def _resampled(statistic: Callable[..., float], *samples: np.ndarray) -> tuple[float, float]:
    """95 % interval of a statistic of samples over seeds."""
    np = require("numpy", "adapt")
    random = np.random.default_rng(0)
    draws = [statistic(*(random.choice(s, len(s)) for s in samples)) for _ in range(1000)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


@claim(
    name="digits-spread-falls",
    statement="The more scalars train, the less it matters where they are: digits, 30 against 300.",
    published=None,
    published_text="the place of the tuned parameters matters less where there are enough",
    source="abstract",
    unit="points of standard deviation",
    direction="at least",
    level="cpu",
)
def digits_spread() -> Measurement:
    few, many = (100 * _at(_digits()[0], budget) for budget in (30, 300))
    fall = few.std(ddof=1) - many.std(ddof=1)
    low, high = _resampled(lambda a, b: a.std(ddof=1) - b.std(ddof=1), few, many)
    note = f"{few.std(ddof=1):.2f} at 30, {many.std(ddof=1):.2f} at 300; five choices of places"
    return Measurement(float(fall), (low, high), note, holds=bool(fall > 0))


@claim(
    name="digits-few-reach-full",
    statement="300 of 1,397 scalars of a digits network come within 2 points of tuning all.",
    published=2.0,
    source="derived",
    unit="points below full tuning",
    direction="at most",
    level="cpu",
)
def digits_few() -> Measurement:
    table, full, *_ = _digits()
    gaps = 100 * (full - _at(table, 300))
    note = f"full {100 * full:.1f}; {DIGITS_TEST} test rows; five choices of places"
    return Measurement(float(gaps.mean()), _resampled(lambda g: g.mean(), gaps), note)


@claim(
    name="digits-beats-output-biases",
    statement="300 scalars at random places do better than the output's biases on digits.",
    published=0.0,
    source="derived",
    unit="points above the biases",
    direction="at least",
    level="cpu",
)
def digits_biases() -> Measurement:
    table, _, biases, _ = _digits()
    gains = 100 * (_at(table, 300) - biases)
    note = f"the five biases of the output give {100 * biases:.1f}"
    return Measurement(float(gains.mean()), _resampled(lambda g: g.mean(), gains), note)


@claim(
    name="digits-thresholds",
    statement="Beating guessing takes fewer scalars than reaching full tuning, on digits.",
    published=None,
    published_text="far fewer parameters beat guessing than reach full fine-tuning",
    source="abstract",
    unit="scalars between",
    direction="at least",
    level="cpu",
)
def digits_thresholds() -> Measurement:
    from parsimony.adapt.budget_study import t_high, t_low

    table, full, _, chance = _digits()
    low = t_low(table, rows=DIGITS_TEST, chance=chance)
    high = t_high(table, full=[full], margin=0.01)
    note = (
        f"guessing beaten at {low.budget:.0f} ({low.low:.0f} to {low.high:.0f}), full tuning "
        f"less a point reached at {high.budget:.0f} ({high.low:.0f} to {high.high:.0f})"
    )
    between = (high.low - low.high, high.high - low.low)
    return Measurement(high.budget - low.budget, between, note, holds=low.high < high.low)


@claim(
    name="minilm-scalars-against-lora",
    statement=(
        "As many scalars at random places as LoRA of rank 2 trains, 18,432, come within 2 points "
        "of it on MiniLM and the standard library's docstrings."
    ),
    published=2.0,
    source="derived",
    unit="points below LoRA",
    direction="at most",
    level="cpu",
)
def minilm_scalars() -> Measurement:
    from parsimony.papers.comparing import Arm, compare

    # Of the best validation score of seed 0, among 0.003, 0.01, 0.03 and 0.1 for scalars and
    # 0.001, 0.003, 0.01 and 0.02 for LoRA.
    arms = {"scalars": Arm("apet", 18_432, 0.03), "lora": Arm("lora", 2, 0.01)}
    scores = compare(arms, steps=60, seeds=3, limit=1500)
    gaps = 100 * (scores["lora"] - scores["scalars"]).mean(axis=0)
    means = {name: 100 * found.mean() for name, found in scores.items()}
    note = (
        f"scalars {means['scalars']:.1f}, LoRA {means['lora']:.1f}; 60 steps of 16 texts, three "
        f"seeds, {len(gaps)} test rows, interval over rows"
    )
    return Measurement(float(gaps.mean()), _resampled(lambda g: g.mean(), gaps), note)
