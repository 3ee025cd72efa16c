"""FLoRA: Low-Rank Core Space for N-dimension."""

CARD = {
    "slug": "flora",
    "title": "FLoRA: Low-Rank Core Space for N-dimension",
    "authors": ("C. Si", "X. Wang", "X. Yang", "Z. Xu", "others"),
    "year": 2024,
    "arxiv": "2405.14739",
    "venue": "ICLR 2025",
    "areas": ("adapt",),
    "mechanism": "adapt/flora",
    "summary": (
        "Adapts linear and convolution weights with a small core tensor and one thin matrix "
        "per axis, so that kernels keep their shape."
    ),
    "official_code": ("SJTU-DeepVisionLab/FLoRA", "Chongjie-Si/Subspace-Tuning"),
    "licence": None,
}
