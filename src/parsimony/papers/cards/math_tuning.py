"""Systematic Optimization of Open Source Large Language Models for Mathematical Reasoning."""

CARD = {
    "slug": "math-tuning",
    "title": (
        "Systematic Optimization of Open Source Large Language Models for Mathematical Reasoning"
    ),
    "authors": ("Pawar", "Jain", "Gupta", "Dedhia", "Kale", "Dhekane"),
    "year": 2025,
    "arxiv": "2509.07238",
    "venue": "preprint",
    "areas": ("tune",),
    "mechanism": "tune/generation",
    "summary": (
        "Searches generation settings that make a language model solve checkable problems "
        "with fewer tokens at the same accuracy."
    ),
    "official_code": (),
    "licence": None,
}
