"""Compacter: Efficient Low-Rank Hypercomplex Adapter Layers."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from parsimony.papers.claim import Measurement, claim
from parsimony.papers.counting import adapted, build

if TYPE_CHECKING:
    import numpy as np

CARD = {
    "slug": "compacter",
    "title": "Compacter: Efficient Low-Rank Hypercomplex Adapter Layers",
    "authors": ("R. Karimi Mahabadi", "J. Henderson", "S. Ruder"),
    "year": 2021,
    "arxiv": "2106.04647",
    "venue": "NeurIPS 2021",
    "areas": ("adapt",),
    "mechanism": "adapt/compacter",
    "summary": (
        "Fine-tunes a frozen transformer through tiny bottleneck adapters built from "
        "Kronecker products, with less than a thousandth of the parameters."
    ),
    "official_code": ("rabeehk/compacter",),
    "licence": None,
}

# The paper's percentages divide by this model's 222,882,048 parameters (32,100 words).
T5_BASE = {
    "config": "T5Config",
    "model": "T5ForConditionalGeneration",
    "vocab_size": 32100,
    "d_model": 768,
    "d_kv": 64,
    "d_ff": 3072,
    "num_layers": 12,
    "num_heads": 12,
}
MINILM = {
    "config": "BertConfig",
    "model": "BertModel",
    "vocab_size": 30522,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}


def compacter(model: dict[str, Any] = T5_BASE, norms: bool = True, **settings: Any) -> Measurement:
    """Trainable parameters under Compacter, the LayerNorms included where asked for."""
    from parsimony.adapt.methods.compacter import CompacterConfig

    return adapted(build(model), CompacterConfig, train_norms=norms, **settings)


def dense(model: dict[str, Any] = T5_BASE, norms: bool = True, **settings: Any) -> Measurement:
    """Trainable parameters under dense bottleneck adapters."""
    from parsimony.adapt.methods.bottleneck import BottleneckConfig

    return adapted(build(model), BottleneckConfig, train_norms=norms, **settings)


def percent(count: Measurement) -> Measurement:
    """A count on T5-base as a share of the model."""
    whole = sum(p.numel() for p in build(T5_BASE).parameters())
    return Measurement(100 * count.value / whole, note=f"{count.value:,.0f} of {whole:,}")


@claim(
    name="t5-base",
    statement="T5-base with 32,100 words has this many parameters.",
    published=222_882_048,
    source="official code",
    unit="parameters",
    direction="equal",
    level="exact",
)
def t5_base() -> Measurement:
    return Measurement(
        sum(p.numel() for p in build(T5_BASE).parameters()), note="tied embeddings once"
    )


@claim(
    name="compacter-n4",
    statement="Compacter with n = 4 and reduction 32 on T5-base, LayerNorms included.",
    published=161_728,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def compacter_n4() -> Measurement:
    return compacter()


@claim(
    name="compacter-plus-plus",
    statement="Compacter++ with n = 4 and reduction 32 on T5-base.",
    published=104_704,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def compacter_plus_plus() -> Measurement:
    return compacter(placement="ffn")


@claim(
    name="phm-adapter-n12",
    statement="The PHM adapter with n = 12 and reduction 32 on T5-base.",
    published=398_976,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def phm_adapter_n12() -> Measurement:
    return compacter(n=12, shared_rule=False, factorized=False)


@claim(
    name="dense-adapter",
    statement="Dense adapters with reduction 32 on T5-base.",
    published=1_855_104,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def dense_adapter() -> Measurement:
    return dense(reduction=32)


@claim(
    name="pfeiffer-adapter",
    statement="Dense adapters after the feed-forward alone, reduction 32, on T5-base.",
    published=951_360,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def pfeiffer_adapter() -> Measurement:
    return dense(reduction=32, placement="ffn")


@claim(
    name="low-rank-adapter",
    statement="The adapter of two outer products with reduction 32 on T5-base.",
    published=161_664,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def low_rank_adapter() -> Measurement:
    return compacter(n=1, learn_rule=False)


@claim(
    name="compacter-n12",
    statement="Compacter with n = 12 and reduction 32 on T5-base.",
    published=163_392,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def compacter_n12() -> Measurement:
    return compacter(n=12)


@claim(
    name="compacter-reduction-16",
    statement="Compacter with n = 4 and reduction 16 on T5-base.",
    published=165_184,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def compacter_reduction_16() -> Measurement:
    return compacter(reduction=16)


@claim(
    name="compacter-reduction-8",
    statement="Compacter with n = 4 and reduction 8 on T5-base.",
    published=172_096,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def compacter_reduction_8() -> Measurement:
    return compacter(reduction=8)


@claim(
    name="prompt-100",
    statement="Prompt tuning with 100 tokens on T5-base.",
    published=76_800,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def prompt_100() -> Measurement:
    return adapted(
        build(T5_BASE),
        "PromptTuningConfig",
        task_type="SEQ_2_SEQ_LM",
        num_virtual_tokens=100,
        num_transformer_submodules=1,
    )


@claim(
    name="minilm-compacter",
    statement="Compacter with n = 4 and k = 24 on MiniLM, adapters alone.",
    published=14_752,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def minilm_compacter() -> Measurement:
    return compacter(MINILM, norms=False, width=24)


@claim(
    name="minilm-compacter-plus-plus",
    statement="Compacter++ with n = 4 and k = 24 on MiniLM, adapters alone.",
    published=7_408,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def minilm_compacter_plus_plus() -> Measurement:
    return compacter(MINILM, norms=False, width=24, placement="ffn")


@claim(
    name="minilm-dense",
    statement="Dense adapters with k = 24 on MiniLM, adapters alone.",
    published=226_080,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def minilm_dense() -> Measurement:
    return dense(MINILM, norms=False, width=24)


@claim(
    name="minilm-norms",
    statement="The 13 LayerNorms of MiniLM.",
    published=9_984,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def minilm_norms() -> Measurement:
    both, alone = compacter(MINILM, width=24), compacter(MINILM, norms=False, width=24)
    return Measurement(both.value - alone.value, note="with the LayerNorms less without")


@claim(
    name="compacter-share",
    statement="The share of T5-base that compacter trains, as printed.",
    published=0.073,
    source="recalled",
    unit="percent",
    direction="equal",
    tolerance=0.0005,
    level="exact",
)
def compacter_share() -> Measurement:
    return percent(compacter())


@claim(
    name="compacter-plus-plus-share",
    statement="The share of T5-base that compacter-plus-plus trains, as printed.",
    published=0.047,
    source="abstract",
    unit="percent",
    direction="equal",
    tolerance=0.0005,
    level="exact",
)
def compacter_plus_plus_share() -> Measurement:
    return percent(compacter(placement="ffn"))


@claim(
    name="phm-adapter-share",
    statement="The share of T5-base that phm-adapter trains, as printed.",
    published=0.179,
    source="recalled",
    unit="percent",
    direction="equal",
    tolerance=0.0005,
    level="exact",
)
def phm_adapter_share() -> Measurement:
    return percent(compacter(n=12, shared_rule=False, factorized=False))


@claim(
    name="dense-adapter-share",
    statement="The share of T5-base that dense-adapter trains, as printed.",
    published=0.832,
    source="recalled",
    unit="percent",
    direction="equal",
    tolerance=0.0005,
    level="exact",
)
def dense_adapter_share() -> Measurement:
    return percent(dense(reduction=32))


@claim(
    name="pfeiffer-adapter-share",
    statement="The share of T5-base that pfeiffer-adapter trains, as printed.",
    published=0.427,
    source="recalled",
    unit="percent",
    direction="equal",
    tolerance=0.0005,
    level="exact",
)
def pfeiffer_adapter_share() -> Measurement:
    return percent(dense(reduction=32, placement="ffn"))


@claim(
    name="low-rank-adapter-share",
    statement="The share of T5-base that low-rank-adapter trains, as printed.",
    published=0.073,
    source="recalled",
    unit="percent",
    direction="equal",
    tolerance=0.0005,
    level="exact",
)
def low_rank_adapter_share() -> Measurement:
    return percent(compacter(n=1, learn_rule=False))


@claim(
    name="prompt-share",
    statement="The share of T5-base that prompt tuning with 100 tokens trains, as printed.",
    published=0.034,
    source="recalled",
    unit="percent",
    direction="equal",
    tolerance=0.0005,
    level="exact",
)
def prompt_share() -> Measurement:
    return percent(prompt_100.run())


@claim(
    name="factored-equals-explicit",
    statement="The forward pass through the factors equals that through the Kronecker products.",
    published=0.0,
    source="derived",
    unit="largest difference",
    direction="equal",
    tolerance=1e-10,
    level="exact",
)
def factored_equals_explicit() -> Measurement:
    from parsimony.adapt.methods.compacter import phm, phm_weight
    from parsimony.core.errors import require

    torch = require("torch", "adapt")
    random = torch.Generator().manual_seed(0)
    worst = 0.0
    for n, p, q, r in ((4, 64, 8, 1), (4, 8, 64, 1), (2, 12, 6, 3), (1, 5, 7, 2)):
        rule = torch.randn(n, n, n, generator=random, dtype=torch.float64)
        left = torch.randn(n, p // n, r, generator=random, dtype=torch.float64)
        right = torch.randn(n, r, q // n, generator=random, dtype=torch.float64)
        x = torch.randn(3, p, generator=random, dtype=torch.float64)
        explicit = sum(torch.kron(rule[i], left[i] @ right[i]) for i in range(n))
        for product in (phm(x, rule, left, right), x @ phm_weight(rule, left @ right)):
            worst = max(worst, (product - x @ explicit).abs().max().item())
    return Measurement(worst, note="four shapes, float64, against torch.kron")


@cache
def arms() -> dict[str, np.ndarray]:
    """Test scores of four arms, (seeds, rows), on MiniLM and the standard library's docstrings."""
    from parsimony.papers.comparing import Arm, compare

    return compare(
        {
            "head": Arm("linear-probe", 0, 2e-2),
            "norms": Arm("ln-tuning", 0, 5e-3),
            "lora": Arm("lora", 8, 3e-3),
            "compacter": Arm("compacter", 48, 3e-3),
        },
        steps=150, seeds=3, limit=1500,
    )  # fmt: skip


def _beside(other: str, margin: float) -> Measurement:
    from parsimony.papers.comparing import advantage

    return advantage(
        arms(), "compacter", other, margin=margin,
        note="150 steps of 16 texts, one rate per arm, not searched; all arms train the head",
    )  # fmt: skip


@claim(
    name="better-than-the-head-alone",
    statement=(
        "Compacter is better than training the head alone on MiniLM and the standard library's "
        "docstrings."
    ),
    published=None,
    published_text="better in low-resource settings (abstract); here on a small model",
    source="abstract",
    unit="points of test accuracy",
    direction="at least",
    level="cpu",
)
def better_than_the_head() -> Measurement:
    return _beside("head", 0.0)


@claim(
    name="no-worse-than-head-and-norms",
    statement=(
        "Compacter is at most 2 points below training head and LayerNorms, which it trains too."
    ),
    published=None,
    published_text="the fair baseline; no figure published",
    source="derived",
    unit="points of test accuracy",
    direction="at least",
    level="cpu",
)
def no_worse_than_norms() -> Measurement:
    return _beside("norms", 2.0)


@claim(
    name="no-worse-than-lora",
    statement=("Compacter is at most 2 points below LoRA of rank 8, which trains more."),
    published=None,
    published_text="on par with full fine-tuning (abstract); here against LoRA",
    source="derived",
    unit="points of test accuracy",
    direction="at least",
    level="cpu",
)
def no_worse_than_lora() -> Measurement:
    return _beside("lora", 2.0)
