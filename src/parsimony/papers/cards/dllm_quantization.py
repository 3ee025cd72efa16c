"""Quantization Meets dLLMs: A Systematic Study of Post-training Quantization for Diffusion LLMs."""

CARD = {
    "slug": "dllm-quantization",
    "title": (
        "Quantization Meets dLLMs: A Systematic Study of Post-training Quantization for "
        "Diffusion LLMs"
    ),
    "authors": None,
    "year": 2025,
    "arxiv": "2508.14896",
    "venue": "technical report",
    "areas": ("compress", "models"),
    "mechanism": "compress/quantize, models/masked_diffusion",
    "summary": (
        "Measures what five quantizers cost a diffusion language model at each bit width, and "
        "shows the outliers behind the losses."
    ),
    "official_code": ("FelixMessi/QDLM",),
    "licence": "MIT",
}
