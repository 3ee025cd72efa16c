"""Parameter-Efficient Fine-Tuning for Large Models: A Comprehensive Survey."""

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
