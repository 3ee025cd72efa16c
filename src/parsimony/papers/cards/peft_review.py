"""Parameter-Efficient Fine-Tuning Methods for Pretrained Language Models: A Critical Review and
Assessment."""

from parsimony.papers.claim import Measurement, claim
from parsimony.papers.counting import adapted, build, count

CARD = {
    "slug": "peft-review",
    "title": (
        "Parameter-Efficient Fine-Tuning Methods for Pretrained Language Models: A Critical "
        "Review and Assessment"
    ),
    "authors": ("Xu", "Xie", "Qin", "Tao", "Wang"),
    "year": 2023,
    "arxiv": "2312.12148",
    "venue": "IEEE TPAMI, online January 2026",
    "areas": ("adapt",),
    "mechanism": "adapt: catalogue of methods",
    "summary": (
        "Sorts the methods of parameter-efficient fine-tuning into five classes and compares "
        "eleven of them by parameters, memory and quality, so that a user can choose one."
    ),
    "official_code": (),
    "licence": None,
}

ROBERTA_BASE = {
    "config": "RobertaConfig",
    "model": "RobertaForSequenceClassification",
    "vocab_size": 50265,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "num_labels": 2,
}
T5_BASE = {
    "config": "T5Config",
    "model": "T5ForConditionalGeneration",
    "vocab_size": 32128,
    "d_model": 768,
    "d_kv": 64,
    "d_ff": 3072,
    "num_layers": 12,
    "num_heads": 12,
}
T5_LARGE = {**T5_BASE, "d_model": 1024, "d_ff": 4096, "num_layers": 24, "num_heads": 16}


@claim(
    name="roberta-full",
    statement="Full fine-tuning of two-class RoBERTa-base trains every parameter.",
    published=124_647_170,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def roberta_full() -> Measurement:
    return count(build(ROBERTA_BASE), "all parameters, two-class head included")


@claim(
    name="roberta-head",
    statement="The classification head of two-class RoBERTa-base is counted with every method.",
    published=592_130,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def roberta_head() -> Measurement:
    head = build(ROBERTA_BASE).get_submodule("classifier")
    return count(head, "the dense layer and the two-class output")


@claim(
    name="roberta-lora-r8",
    statement="LoRA of rank 8 on query and value of two-class RoBERTa-base, head included.",
    published=887_042,
    published_text="printed as 0.89M (recalled, not read again)",
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def roberta_lora() -> Measurement:
    targets = ["query", "value"]
    model = build(ROBERTA_BASE)
    return adapted(model, "LoraConfig", task_type="SEQ_CLS", r=8, target_modules=targets)


@claim(
    name="roberta-prompt-20",
    statement="Prompt tuning with 20 virtual tokens on two-class RoBERTa-base, head included.",
    published=607_490,
    published_text="printed as 0.61M (recalled, not read again)",
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def roberta_prompt() -> Measurement:
    return adapted(
        build(ROBERTA_BASE), "PromptTuningConfig", task_type="SEQ_CLS", num_virtual_tokens=20
    )


@claim(
    name="roberta-prefix-20",
    statement="Prefix tuning with 20 virtual tokens on two-class RoBERTa-base, head included.",
    published=960_770,
    published_text="printed as 0.96M (recalled, not read again)",
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def roberta_prefix() -> Measurement:
    return adapted(
        build(ROBERTA_BASE), "PrefixTuningConfig", task_type="SEQ_CLS", num_virtual_tokens=20
    )


@claim(
    name="roberta-ia3",
    statement="(IA)3 on key, value and both output maps of two-class RoBERTa-base, head included.",
    published=656_642,
    published_text="printed as 0.66M (recalled, not read again)",
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def roberta_ia3() -> Measurement:
    return adapted(
        build(ROBERTA_BASE),
        "IA3Config",
        task_type="SEQ_CLS",
        # "output.dense" matches two maps of each layer: that of attention and that of the MLP.
        target_modules=["key", "value", "output.dense"],
        feedforward_modules=["output.dense"],
    )


@claim(
    name="roberta-bitfit",
    statement="BitFit, the biases of two-class RoBERTa-base, head included.",
    published=694_274,
    published_text="printed as 0.69M (recalled, not read again)",
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def roberta_bitfit() -> Measurement:
    model = build(ROBERTA_BASE)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.endswith(".bias") or name.startswith("classifier.")
    return count(model, "every bias of the encoder, and the head")


@claim(
    name="roberta-adalora-r12",
    statement="AdaLoRA from rank 12 on query and value of two-class RoBERTa-base, head included.",
    published=1_034_786,
    published_text="printed as 1.03M (recalled, not read again)",
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def roberta_adalora() -> Measurement:
    return adapted(
        build(ROBERTA_BASE),
        "AdaLoraConfig",
        task_type="SEQ_CLS",
        init_r=12,
        total_step=1,  # required by peft; the count at the start does not depend on it
        target_modules=["query", "value"],
    )


@claim(
    name="roberta-adalora-r12-default-targets",
    statement=(
        "On peft's default six maps a layer AdaLoRA from rank 12 adds 2.5 times that, the frozen "
        "rank counters of its 72 maps included."
    ),
    published=2_583_722,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def roberta_adalora_default() -> Measurement:
    model = build(ROBERTA_BASE)
    trained = adapted(model, "AdaLoraConfig", task_type="SEQ_CLS", init_r=12, total_step=1)
    counters = sum(p.numel() for n, p in model.named_parameters() if ".ranknum." in n)
    return Measurement(
        trained.value + counters, note=f"{trained.value:,} train; {counters} rank counters do not"
    )


@claim(
    name="t5-base-lora-r8",
    statement="LoRA of rank 8 on every query and value map of T5-base, cross-attention included.",
    published=884_736,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def t5_base_lora() -> Measurement:
    return adapted(build(T5_BASE), "LoraConfig", r=8, target_modules=["q", "v"])


@claim(
    name="t5-large-lora-r8",
    statement="LoRA of rank 8 on every query and value map of T5-large, cross-attention included.",
    published=2_359_296,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def t5_large_lora() -> Measurement:
    return adapted(build(T5_LARGE), "LoraConfig", r=8, target_modules=["q", "v"])
