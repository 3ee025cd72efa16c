"""Understanding the Impact of Post-Training Quantization on Large Language Models."""

CARD = {
    "slug": "ptq-impact",
    "title": "Understanding the Impact of Post-Training Quantization on Large Language Models",
    "authors": ("Somnath Roy",),
    "year": 2023,
    "arxiv": "2309.05210",
    "venue": "preprint",
    "areas": ("compress",),
    "mechanism": "compress/quantize, generation study",
    "summary": (
        "Says which quantizer is the safest at the generation settings one uses, and what it "
        "costs in memory and speed."
    ),
    "official_code": (),
    "licence": None,
}
