"""Parameter-Efficient Fine-Tuning for Large Models: A Comprehensive Survey."""

from typing import Any

from parsimony.papers.claim import Measurement, claim
from parsimony.papers.counting import adapted, build, count

CARD = {
    "slug": "peft-comprehensive",
    "title": "Parameter-Efficient Fine-Tuning for Large Models: A Comprehensive Survey",
    "authors": ("Han", "Gao", "Liu", "Zhang", "Zhang"),
    "year": 2024,
    "arxiv": "2403.14608",
    "venue": "TMLR 2024",
    "areas": ("adapt",),
    "mechanism": "adapt: catalogue and costs",
    "summary": (
        "Maps the methods of parameter-efficient fine-tuning and what each costs in "
        "parameters, memory and serving."
    ),
    "official_code": (),
    "licence": None,
}

LLAMA_3_2_3B = {
    "config": "LlamaConfig",
    "model": "LlamaForCausalLM",
    "vocab_size": 128256,
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 28,
    "num_attention_heads": 24,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "tie_word_embeddings": True,
}
LLAMA_7B = {
    "config": "LlamaConfig",
    "model": "LlamaForCausalLM",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
}
LLAMA_13B = {
    **LLAMA_7B,
    "hidden_size": 5120,
    "intermediate_size": 13824,
    "num_hidden_layers": 40,
    "num_attention_heads": 40,
}

QUERY_VALUE = ["q_proj", "v_proj"]


@claim(
    name="llama-3b-full",
    statement="Full fine-tuning of Llama-3.2-3B trains every parameter, tied embeddings once.",
    published=3_212_749_824,
    published_text="a run of peft's own method comparison",
    source="public benchmark",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llama_3b_full() -> Measurement:
    return count(build(LLAMA_3_2_3B), "all parameters, tied embeddings once")


@claim(
    name="llama-3b-lora-r32",
    statement="LoRA of rank 32 on query and value of Llama-3.2-3B.",
    published=9_175_040,
    published_text="a run of peft's own method comparison",
    source="public benchmark",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llama_3b_lora() -> Measurement:
    return adapted(
        build(LLAMA_3_2_3B), "LoraConfig", task_type="CAUSAL_LM", r=32, target_modules=QUERY_VALUE
    )


@claim(
    name="llama-3b-dora-r32",
    statement="DoRA of rank 32 adds one magnitude per output to LoRA on Llama-3.2-3B.",
    published=9_289_728,
    published_text="a run of peft's own method comparison",
    source="public benchmark",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llama_3b_dora() -> Measurement:
    return adapted(
        build(LLAMA_3_2_3B),
        "LoraConfig",
        task_type="CAUSAL_LM",
        r=32,
        target_modules=QUERY_VALUE,
        use_dora=True,
    )


@claim(
    name="llama-3b-lora-r10-mlp",
    statement="LoRA of rank 10 on the three maps of the MLP of Llama-3.2-3B.",
    published=9_461_760,
    published_text="a run of peft's own method comparison",
    source="public benchmark",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llama_3b_lora_mlp() -> Measurement:
    return adapted(
        build(LLAMA_3_2_3B),
        "LoraConfig",
        task_type="CAUSAL_LM",
        r=10,
        target_modules=["gate_proj", "up_proj", "down_proj"],
    )


@claim(
    name="llama-3b-adalora-r64",
    statement="AdaLoRA starting at rank 64 on query and value of Llama-3.2-3B.",
    published=18_353_664,
    published_text="a run of peft's own method comparison",
    source="public benchmark",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llama_3b_adalora() -> Measurement:
    return adapted(
        build(LLAMA_3_2_3B),
        "AdaLoraConfig",
        task_type="CAUSAL_LM",
        init_r=64,
        total_step=1,
        target_modules=QUERY_VALUE,
    )


@claim(
    name="llama-3b-vera-r256",
    statement="VeRA of rank 256 on query and value of Llama-3.2-3B trains two vectors per map.",
    published=129_024,
    published_text="a run of peft's own method comparison",
    source="public benchmark",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llama_3b_vera() -> Measurement:
    return adapted(
        build(LLAMA_3_2_3B),
        "VeraConfig",
        task_type="CAUSAL_LM",
        r=256,
        target_modules=QUERY_VALUE,
    )


@claim(
    name="llama-3b-fourierft-1000",
    statement="FourierFT with 1,000 frequencies per query and value map of Llama-3.2-3B.",
    published=56_000,
    published_text="a run of peft's own method comparison",
    source="public benchmark",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llama_3b_fourierft() -> Measurement:
    return adapted(
        build(LLAMA_3_2_3B),
        "FourierFTConfig",
        task_type="CAUSAL_LM",
        n_frequency=1000,
        target_modules=QUERY_VALUE,
    )


@claim(
    name="llama-3b-ia3",
    statement="(IA)3 on key, value and the MLP's last map of Llama-3.2-3B.",
    published=286_720,
    published_text="a run of peft's own method comparison",
    source="public benchmark",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llama_3b_ia3() -> Measurement:
    return adapted(
        build(LLAMA_3_2_3B),
        "IA3Config",
        task_type="CAUSAL_LM",
        target_modules=["k_proj", "v_proj", "down_proj"],
        feedforward_modules=["down_proj"],
    )


@claim(
    name="llama-3b-prompt-200",
    statement="Prompt tuning with 200 virtual tokens on Llama-3.2-3B.",
    published=614_400,
    published_text="a run of peft's own method comparison",
    source="public benchmark",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llama_3b_prompt() -> Measurement:
    return adapted(
        build(LLAMA_3_2_3B), "PromptTuningConfig", task_type="CAUSAL_LM", num_virtual_tokens=200
    )


@claim(
    name="llama-3b-prefix-200",
    statement="Prefix tuning with 200 virtual tokens on Llama-3.2-3B counts the key-value heads.",
    published=11_468_800,
    published_text="a run of peft's own method comparison",
    source="public benchmark",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llama_3b_prefix() -> Measurement:
    return adapted(
        build(LLAMA_3_2_3B), "PrefixTuningConfig", task_type="CAUSAL_LM", num_virtual_tokens=200
    )


@claim(
    name="llama-3b-p-tuning-20",
    statement="P-tuning with 20 virtual tokens on Llama-3.2-3B trains its encoder too.",
    published=28_382_208,
    published_text="a run of peft's own method comparison",
    source="public benchmark",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llama_3b_p_tuning() -> Measurement:
    return adapted(
        build(LLAMA_3_2_3B),
        "PromptEncoderConfig",
        task_type="CAUSAL_LM",
        num_virtual_tokens=20,
        encoder_hidden_size=3072,
    )


@claim(
    name="llama-3b-layer-norm",
    statement="Tuning the norms of Llama-3.2-3B, the last one included.",
    published=175_104,
    published_text="a run of peft's own method comparison",
    source="public benchmark",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llama_3b_layer_norm() -> Measurement:
    return adapted(
        build(LLAMA_3_2_3B),
        "LNTuningConfig",
        task_type="CAUSAL_LM",
        target_modules=["input_layernorm", "post_attention_layernorm", "norm"],
    )


@claim(
    name="llama-7b-lora-r8",
    statement="LoRA of rank 8 on query and value of LLaMA-7B.",
    published=4_194_304,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llama_7b_lora() -> Measurement:
    return adapted(build(LLAMA_7B), "LoraConfig", r=8, target_modules=QUERY_VALUE)


@claim(
    name="llama-13b-lora-r8",
    statement="LoRA of rank 8 on query and value of LLaMA-13B.",
    published=6_553_600,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llama_13b_lora() -> Measurement:
    return adapted(build(LLAMA_13B), "LoraConfig", r=8, target_modules=QUERY_VALUE)


@claim(
    name="formulas-match-peft",
    statement=(
        "The closed forms of nine methods give peft's trainable counts on three architectures at "
        "twenty random shapes and sizes."
    ),
    published=0,
    source="derived",
    unit="counts that differ",
    direction="equal",
    level="exact",
)
def formulas() -> Measurement:
    import random

    drawn = random.Random(0)
    differ = [
        adapter
        for case in range(20)
        for adapter, settings, expected in _case(drawn, case)
        if adapted(build(settings.pop("model")), adapter, **settings).value != expected
    ]
    return Measurement(len(differ), note="; ".join(["of 180 counts", *sorted(set(differ))]))


def _case(drawn: Any, case: int) -> list[tuple[str, dict[str, Any], int]]:
    """(configuration, what it takes beside the model, the closed form) of nine methods.

    Args:
        drawn: a ``random.Random``.
        case: chooses among an encoder, and decoders with grouped keys and with fused maps.
    """
    heads, layers, size = drawn.randint(1, 4), drawn.randint(1, 3), drawn.randint(1, 12)
    d = heads * 2 * drawn.randint(2, 8)
    f, m, h = 2 * d + drawn.randint(0, 9), drawn.randint(1, 40), drawn.randint(1, 50)
    kv = d
    if case % 3 == 0:
        model = {
            "config": "RobertaConfig", "model": "RobertaModel", "vocab_size": 50,
            "hidden_size": d, "intermediate_size": f, "num_hidden_layers": layers,
            "num_attention_heads": heads,
        }  # fmt: skip
        maps, norms = {"query": (d, d), "value": (d, d)}, {"LayerNorm": 2 * d * (2 * layers + 1)}
        scaled, last, inner = ["key", "value"], "intermediate.dense", d
        grown = 2 * d
    elif case % 3 == 1:
        kv = d // heads
        model = {
            "config": "LlamaConfig", "model": "LlamaModel", "vocab_size": 50,
            "hidden_size": d, "intermediate_size": f, "num_hidden_layers": layers,
            "num_attention_heads": heads, "num_key_value_heads": 1,
        }  # fmt: skip
        maps = {"q_proj": (d, d), "v_proj": (d, kv)}
        norms = {"input_layernorm": layers * d, "post_attention_layernorm": layers * d}
        scaled, last, inner, grown = ["k_proj", "v_proj"], "down_proj", f, 2 * kv
    else:
        model = {
            "config": "GPT2Config", "model": "GPT2Model", "vocab_size": 50, "n_embd": d,
            "n_inner": f, "n_layer": layers, "n_head": heads,
        }  # fmt: skip
        maps, norms = {"c_attn": (d, 3 * d)}, {"ln_1": 2 * d * layers, "ln_2": 2 * d * layers}
        scaled, last, inner, grown = ["c_attn"], "mlp.c_proj", f, 3 * d
    targets = list(maps)
    ends = layers * sum(i + o for i, o in maps.values())
    outputs, count = layers * sum(o for _, o in maps.values()), layers * len(maps)
    prompts = {"task_type": "FEATURE_EXTRACTION", "num_virtual_tokens": m}
    encoder = (d * h + h) + (h * h + h) + (h * d + d)
    rows: list[tuple[str, dict[str, Any], int]] = [
        ("LoraConfig", {"r": size, "target_modules": targets}, size * ends),
        (
            "LoraConfig",
            {"r": size, "target_modules": targets, "use_dora": True},
            size * ends + outputs,
        ),
        ("VeraConfig", {"r": size, "target_modules": targets}, outputs + size * count),
        (
            "AdaLoraConfig",
            {"init_r": size, "total_step": 1, "target_modules": targets},
            size * ends + size * count,
        ),
        (
            "IA3Config",
            {"target_modules": [*scaled, last], "feedforward_modules": [last]},
            layers * (grown + inner),
        ),
        ("LNTuningConfig", {"target_modules": list(norms)}, sum(norms.values())),
        ("PromptTuningConfig", dict(prompts), m * d),
        ("PrefixTuningConfig", dict(prompts), 2 * layers * m * kv),
        ("PromptEncoderConfig", {**prompts, "encoder_hidden_size": h}, m * d + encoder),
    ]
    return [(name, {**settings, "model": model}, number) for name, settings, number in rows]
