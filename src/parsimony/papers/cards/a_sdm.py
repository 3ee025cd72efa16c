"""A-SDM: Accelerating Stable Diffusion through Model Assembly and Feature Inheritance
Strategies."""

CARD = {
    "slug": "a-sdm",
    "title": (
        "A-SDM: Accelerating Stable Diffusion through Model Assembly and Feature Inheritance "
        "Strategies"
    ),
    "authors": None,
    "year": 2024,
    "arxiv": "2406.00210",
    "venue": "IEEE TNNLS, 2025",
    "areas": ("compress", "infer"),
    "mechanism": "compress/assembly, infer/feature_inheritance",
    "summary": (
        "Speeds up an image generator by rebuilding its network from lighter pieces or by "
        "reusing features of earlier steps."
    ),
    "official_code": (),
    "licence": None,
}
