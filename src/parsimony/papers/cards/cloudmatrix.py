"""Serving Large Language Models on Huawei CloudMatrix384."""

CARD = {
    "slug": "cloudmatrix",
    "title": "Serving Large Language Models on Huawei CloudMatrix384",
    "authors": None,
    "year": 2025,
    "arxiv": "2506.12708",
    "venue": "technical report",
    "areas": ("serve", "plan"),
    "mechanism": "serve, plan: serving simulator",
    "summary": (
        "Tells an operator how to split accelerators between reading prompts, writing answers "
        "and caching so that a latency target is met."
    ),
    "official_code": (),
    "licence": None,
}
