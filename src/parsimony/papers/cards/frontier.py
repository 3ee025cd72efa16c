"""Optimizing Distributed Training on Frontier for Large Language Models."""

CARD = {
    "slug": "frontier",
    "title": "Optimizing Distributed Training on Frontier for Large Language Models",
    "authors": None,
    "year": 2023,
    "arxiv": "2312.12705",
    "venue": "ISC High Performance 2024",
    "areas": ("plan",),
    "mechanism": "plan/cluster and its runner",
    "summary": (
        "Finds which mix of tensor, pipeline and data parallelism fits in memory and trains a "
        "given model fastest on a given cluster."
    ),
    "official_code": (),
    "licence": None,
}
