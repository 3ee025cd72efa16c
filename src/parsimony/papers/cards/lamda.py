"""LaMDA: Large Model Fine-Tuning via Spectrally Decomposed Low-Dimensional Adaptation."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from parsimony.core.errors import require
from parsimony.papers.claim import Measurement, claim
from parsimony.papers.counting import adapted, build

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

CARD = {
    "slug": "lamda",
    "title": "LaMDA: Large Model Fine-Tuning via Spectrally Decomposed Low-Dimensional Adaptation",
    "authors": ("S. Azizi", "S. Kundu", "M. Pedram"),
    "year": 2024,
    "arxiv": "2406.12832",
    "venue": "Findings of EMNLP 2024",
    "areas": ("adapt",),
    "mechanism": "adapt/lamda",
    "summary": (
        "Fine-tunes with a low-rank adapter whose outer factors are frozen early, so that "
        "mostly one small square matrix per layer trains."
    ),
    "official_code": ("ArminAzizi98/LaMDA",),
    "licence": None,
}

LLAMA_2_7B = {
    "config": "LlamaConfig",
    "model": "LlamaForCausalLM",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
}
LLAMA_MAPS = ["q_proj", "k_proj", "v_proj", "o_proj", "up_proj", "down_proj", "gate_proj"]
# The maps of DeBERTaV3-base have the shapes of BERT-base; its attention differs in what has no map.
DEBERTA_V3_BASE = {
    "config": "DebertaV2Config",
    "model": "DebertaV2Model",
    "vocab_size": 128100,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
DEBERTA_MAPS = ["query_proj", "key_proj", "value_proj", "dense"]
MINILM = {
    "config": "BertConfig",
    "model": "BertModel",
    "vocab_size": 30522,
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
}
MINILM_MAPS = r".*layer\.\d+\..*(query|key|value|dense)"
HEAD = 2 * 768 + 2


def lamda(model: dict[str, Any], targets: list[str] | str, part: str | None = None) -> Measurement:
    """Trainable parameters under LaMDA of rank 32 at step 0, or those of one factor, S or B."""
    from parsimony.adapt.methods.lamda import LamdaConfig

    built = build(model)
    counted = adapted(built, LamdaConfig, r=32, target_modules=targets, svd_iterations=None)
    if part is None:
        return counted
    # peft changes the model in place; what it has put there is counted by its name.
    sizes = [p.numel() for n, p in built.named_parameters() if f".lamda_{part}." in n]
    return Measurement(sum(sizes), note=f"{part} of {len(sizes)} maps")


def lora(model: dict[str, Any], targets: list[str] | str, r: int) -> Measurement:
    """Trainable parameters under LoRA."""
    return adapted(build(model), "LoraConfig", r=r, target_modules=targets)


def bytes_per_token(config: Any, frozen: bool = False) -> float:
    """Bytes that an adapted 1024 x 1024 layer keeps per token for the backward pass."""
    peft, torch = require("peft", "adapt"), require("torch", "adapt")
    from parsimony.core.layers import saved_bytes

    torch.manual_seed(0)
    model = peft.get_peft_model(torch.nn.Sequential(torch.nn.Linear(1024, 1024)), config)
    if frozen:
        for name, parameter in model.named_parameters():
            if ".lamda_B." in name:
                parameter.requires_grad = False
    return saved_bytes(model, {"input": torch.randn(8, 1024)}) / 8


def memory(kind: str, **settings: Any) -> int:
    """Bytes of gradients and AdamW's moments after the last step of a short training."""
    peft, torch = require("peft", "adapt"), require("torch", "adapt")
    from parsimony.adapt.methods import lamda as method

    torch.manual_seed(0)
    net: nn.Module = torch.nn.Sequential(torch.nn.Linear(256, 256))
    found = method.LamdaConfig if kind == "lamda" else peft.LoraConfig
    model = peft.get_peft_model(net, found(r=32, target_modules=["0"], **settings))
    trained = [p for p in model.parameters() if p.requires_grad]
    stepper = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.1)
    freezing = method.GradualFreezing() if kind == "lamda" else None
    state = type("State", (), {"max_steps": 10, "global_step": 0})()
    if freezing:
        freezing.on_train_begin(None, state, None, model=model)
    for state.global_step in range(10):
        if freezing:
            freezing.on_step_begin(None, state, None, optimizer=stepper)
        model(torch.randn(8, 256)).square().mean().backward()
        if freezing:
            freezing.on_pre_optimizer_step(None, state, None)
        stepper.step()
        if freezing:
            freezing.on_optimizer_step(None, state, None)
    moments = [v for held in stepper.state.values() for v in held.values()]
    kept = [p.grad for p in trained if p.grad is not None] + moments
    return sum(t.numel() * t.element_size() for t in kept if t.ndim > 1)


@claim(
    name="llama-lda",
    statement="S of all 224 maps of LLaMA-2-7B at rank 32, all that trains in the end.",
    published=229_376,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llama_lda() -> Measurement:
    return lamda(LLAMA_2_7B, LLAMA_MAPS, "S")


@claim(
    name="llama-b",
    statement="B of all 224 maps of LLaMA-2-7B at rank 32, trained at step 0.",
    published=43_515_904,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llama_b() -> Measurement:
    return lamda(LLAMA_2_7B, LLAMA_MAPS, "B")


@claim(
    name="llama-lora",
    statement="LoRA of rank 32 on the same maps.",
    published=79_953_920,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llama_lora() -> Measurement:
    return lora(LLAMA_2_7B, LLAMA_MAPS, 32)


@claim(
    name="deberta-lda",
    statement="S of the 72 maps of DeBERTaV3-base at rank 32.",
    published=73_728,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def deberta_lda() -> Measurement:
    return lamda(DEBERTA_V3_BASE, DEBERTA_MAPS, "S")


@claim(
    name="deberta-lora-r8",
    statement="LoRA of rank 8 on the same maps.",
    published=1_327_104,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def deberta_lora_r8() -> Measurement:
    return lora(DEBERTA_V3_BASE, DEBERTA_MAPS, 8)


@claim(
    name="minilm-lda",
    statement="S of the 36 maps of MiniLM at rank 32.",
    published=36_864,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def minilm_lda() -> Measurement:
    return lamda(MINILM, MINILM_MAPS, "S")


@claim(
    name="minilm-start",
    statement="S and B of the 36 maps of MiniLM at rank 32.",
    published=700_416,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def minilm_start() -> Measurement:
    return lamda(MINILM, MINILM_MAPS)


@claim(
    name="minilm-lora",
    statement="LoRA of rank 32 on the same maps of MiniLM.",
    published=1_327_104,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def minilm_lora() -> Measurement:
    return lora(MINILM, MINILM_MAPS, 32)


@claim(
    name="deberta-ratio",
    statement="LoRA of rank 8 trains up to 17.7 times as many as LaMDA, two-class heads included.",
    published=17.7,
    source="abstract",
    unit="ratio",
    direction="equal",
    tolerance=0.05,
    level="exact",
)
def deberta_ratio() -> Measurement:
    head = HEAD
    few, many = deberta_lda.run().value + head, deberta_lora_r8.run().value + head
    return Measurement(many / few, note=f"{many:,.0f} against {few:,.0f}")


@claim(
    name="schedule-0",
    statement="Columns of B frozen at step 0 of 1000, at rank 32 with eta = 0.3.",
    published=0,
    source="derived",
    unit="columns",
    direction="equal",
    level="exact",
)
def schedule_0() -> Measurement:
    from parsimony.adapt.methods.lamda import frozen_columns

    return Measurement(frozen_columns(0, 1000, 0.3, 32), note="frozen_columns")


@claim(
    name="schedule-75",
    statement="Columns of B frozen at step 75 of 1000, at rank 32 with eta = 0.3.",
    published=8,
    source="derived",
    unit="columns",
    direction="equal",
    level="exact",
)
def schedule_75() -> Measurement:
    from parsimony.adapt.methods.lamda import frozen_columns

    return Measurement(frozen_columns(75, 1000, 0.3, 32), note="frozen_columns")


@claim(
    name="schedule-150",
    statement="Columns of B frozen at step 150 of 1000, at rank 32 with eta = 0.3.",
    published=16,
    source="derived",
    unit="columns",
    direction="equal",
    level="exact",
)
def schedule_150() -> Measurement:
    from parsimony.adapt.methods.lamda import frozen_columns

    return Measurement(frozen_columns(150, 1000, 0.3, 32), note="frozen_columns")


@claim(
    name="schedule-225",
    statement="Columns of B frozen at step 225 of 1000, at rank 32 with eta = 0.3.",
    published=24,
    source="derived",
    unit="columns",
    direction="equal",
    level="exact",
)
def schedule_225() -> Measurement:
    from parsimony.adapt.methods.lamda import frozen_columns

    return Measurement(frozen_columns(225, 1000, 0.3, 32), note="frozen_columns")


@claim(
    name="schedule-299",
    statement="Columns of B frozen at step 299 of 1000, at rank 32 with eta = 0.3.",
    published=31,
    source="derived",
    unit="columns",
    direction="equal",
    level="exact",
)
def schedule_299() -> Measurement:
    from parsimony.adapt.methods.lamda import frozen_columns

    return Measurement(frozen_columns(299, 1000, 0.3, 32), note="frozen_columns")


@claim(
    name="schedule-300",
    statement="Columns of B frozen at step 300 of 1000, at rank 32 with eta = 0.3.",
    published=32,
    source="derived",
    unit="columns",
    direction="equal",
    level="exact",
)
def schedule_300() -> Measurement:
    from parsimony.adapt.methods.lamda import frozen_columns

    return Measurement(frozen_columns(300, 1000, 0.3, 32), note="frozen_columns")


@claim(
    name="schedule-1000",
    statement="Columns of B frozen at step 1000 of 1000, at rank 32 with eta = 0.3.",
    published=32,
    source="derived",
    unit="columns",
    direction="equal",
    level="exact",
)
def schedule_1000() -> Measurement:
    from parsimony.adapt.methods.lamda import frozen_columns

    return Measurement(frozen_columns(1000, 1000, 0.3, 32), note="frozen_columns")


@claim(
    name="trained-on-average",
    statement="Mean number of values that train over a run, per map: r^2 + eta / 2 r d_out.",
    published=None,
    published_text="r^2 + (eta / 2) r d_out in the limit of small steps",
    source="derived",
    unit="values",
    direction="equal",
    level="exact",
)
def trained_on_average() -> Measurement:
    from parsimony.adapt.methods.lamda import frozen_columns

    r, d, steps, eta = 32, 4096, 10_000, 0.3
    mean = r * r + sum((r - frozen_columns(t, steps, eta, r)) * d for t in range(steps)) / steps
    limit = r * r + eta / 2 * r * d
    # Whole columns freeze: the mean lies above the limit by less than half a column's share.
    holds = 0 <= mean - limit <= eta * d
    return Measurement(mean, note=f"the limit of small steps is {limit:,.0f}", holds=holds)


@claim(
    name="kept-lora",
    statement="LoRA of rank 32 on 1024 inputs keeps per token for backward.",
    published=4_224,
    source="derived",
    unit="bytes per token",
    direction="equal",
    level="exact",
)
def kept_lora() -> Measurement:
    peft = require("peft", "adapt")
    config = peft.LoraConfig(r=32, target_modules=["0"])
    return Measurement(bytes_per_token(config), note="fp32, saved-tensor hooks")


@claim(
    name="kept-lamda",
    statement="LaMDA of rank 32 at the start on 1024 inputs keeps per token for backward.",
    published=256,
    source="derived",
    unit="bytes per token",
    direction="equal",
    level="exact",
)
def kept_lamda() -> Measurement:
    from parsimony.adapt.methods.lamda import LamdaConfig

    config = LamdaConfig(r=32, target_modules=["0"])
    return Measurement(bytes_per_token(config), note="fp32, saved-tensor hooks")


@claim(
    name="kept-lamda-frozen",
    statement="LaMDA of rank 32 once B is frozen on 1024 inputs keeps per token for backward.",
    published=128,
    source="derived",
    unit="bytes per token",
    direction="equal",
    level="exact",
)
def kept_lamda_frozen() -> Measurement:
    from parsimony.adapt.methods.lamda import LamdaConfig

    config = LamdaConfig(r=32, target_modules=["0"])
    return Measurement(bytes_per_token(config, frozen=True), note="fp32, saved-tensor hooks")


@claim(
    name="step-memory-after-freezing",
    statement="Gradients and moments, once frozen, fall below LoRA's by (d_in + d_out) / r.",
    published=16.0,
    published_text="(d_in + d_out) / r = 512 / 32",
    source="derived",
    unit="ratio",
    direction="equal",
    level="exact",
)
def step_memory_after_freezing() -> Measurement:
    ours, theirs = memory("lamda"), memory("lora")
    return Measurement(theirs / ours, note=f"{theirs:,} against {ours:,} bytes, 256 x 256, r = 32")


@cache
def arms() -> dict[str, np.ndarray]:
    """Test scores of three arms, (seeds, rows), on MiniLM and the standard library's docstrings."""
    from parsimony.papers.comparing import Arm, compare

    return compare(
        {
            "lamda": Arm("lamda", 32, 3e-3),
            "lora r=1": Arm("lora", 1, 3e-3),
            "lora r=8": Arm("lora", 8, 3e-3),
        },
        steps=150, seeds=3, limit=1500,
    )  # fmt: skip


def _beside(other: str, margin: float) -> Measurement:
    from parsimony.papers.comparing import advantage

    return advantage(
        arms(), "lamda", other, margin=margin,
        note="150 steps of 16 texts, one rate per arm, not searched; all arms train the head",
    )  # fmt: skip


@claim(
    name="no-worse-than-lora-of-its-size",
    statement=(
        "LaMDA of rank 32 is at most 2 points below LoRA of rank 1, which trains about as many "
        "values as LaMDA does at its end, on MiniLM and the standard library's docstrings."
    ),
    published=None,
    published_text="on par with or better than LoRA (abstract)",
    source="abstract",
    unit="points of test accuracy",
    direction="at least",
    level="cpu",
)
def no_worse_than_rank_1() -> Measurement:
    return _beside("lora r=1", 2.0)


@claim(
    name="no-worse-than-lora-of-rank-8",
    statement=(
        "LaMDA of rank 32 is at most 2 points below LoRA of rank 8, which trains six times as "
        "many values as LaMDA does at its end."
    ),
    published=None,
    published_text="on par with or better than LoRA (abstract)",
    source="abstract",
    unit="points of test accuracy",
    direction="at least",
    level="cpu",
)
def no_worse_than_rank_8() -> Measurement:
    return _beside("lora r=8", 2.0)
