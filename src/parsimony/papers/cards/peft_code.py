"""Exploring Parameter-Efficient Fine-Tuning Techniques for Code Generation with Large Language
Models."""

from parsimony.papers.claim import Measurement, claim
from parsimony.papers.counting import adapted, build

CARD = {
    "slug": "peft-code",
    "title": (
        "Exploring Parameter-Efficient Fine-Tuning Techniques for Code Generation with Large "
        "Language Models"
    ),
    "authors": ("Weyssow", "Zhou", "Kim", "Lo", "Sahraoui"),
    "year": 2023,
    "arxiv": "2308.10462",
    "venue": "ACM TOSEM, 2025",
    "areas": ("adapt",),
    "mechanism": "adapt: study recipe",
    "summary": (
        "Shows which cheap fine-tuning method to take when a language model must write code "
        "on one 24 GB GPU."
    ),
    "official_code": ("martin-wey/peft-llm-code",),
    "licence": None,
}

CODELLAMA_7B = {
    "config": "LlamaConfig",
    "model": "LlamaForCausalLM",
    "vocab_size": 32016,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
}


@claim(
    name="codellama-7b-lora-r16",
    statement="LoRA of rank 16 on the query, key and value maps of CodeLlama-7B trains 12.6M.",
    published=12_582_912,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def codellama_lora() -> Measurement:
    targets = ["q_proj", "k_proj", "v_proj"]
    return adapted(build(CODELLAMA_7B), "LoraConfig", r=16, target_modules=targets)
