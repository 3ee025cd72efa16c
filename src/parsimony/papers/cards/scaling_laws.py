"""Unraveling the Mystery of Scaling Laws: Part I."""

CARD = {
    "slug": "scaling-laws",
    "title": "Unraveling the Mystery of Scaling Laws: Part I",
    "authors": ("Su", "Tian", "Shen", "Cai"),
    "year": 2024,
    "arxiv": "2403.06563",
    "venue": "technical report",
    "areas": ("plan",),
    "mechanism": "plan: scaling laws",
    "summary": (
        "Fits constants on small training runs and predicts loss, steps and batch size of a "
        "far larger one."
    ),
    "official_code": (),
    "licence": None,
}
