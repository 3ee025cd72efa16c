"""Layer-wise Importance Matters: Less Memory for Better Performance in Parameter-efficient
Fine-tuning of Large Language Models."""

CARD = {
    "slug": "ist",
    "title": (
        "Layer-wise Importance Matters: Less Memory for Better Performance in Parameter- "
        "efficient Fine-tuning of Large Language Models"
    ),
    "authors": None,
    "year": 2024,
    "arxiv": "2410.11772",
    "venue": "Findings of EMNLP 2024, pages 1977-1992",
    "areas": ("adapt",),
    "mechanism": "adapt/importance_sparse_tuning",
    "summary": (
        "Learns which layers matter while fine-tuning and trains only a quarter of them at "
        "each step, which saves memory and time."
    ),
    "official_code": ("antgroup/importance-aware-sparse-tuning-IST-paper",),
    "licence": None,
}
