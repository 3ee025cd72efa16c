"""LaMDA: Large Model Fine-Tuning via Spectrally Decomposed Low-Dimensional Adaptation."""

CARD = {
    "slug": "lamda",
    "title": "LaMDA: Large Model Fine-Tuning via Spectrally Decomposed Low-Dimensional Adaptation",
    "authors": ("S. Azizi", "S. Kundu", "M. Pedram"),
    "year": 2024,
    "arxiv": "2406.12832",
    "venue": "Findings of EMNLP 2024",
    "areas": ("adapt",),
    "mechanism": "adapt/lamda",
    "summary": (
        "Fine-tunes with a low-rank adapter whose outer factors are frozen early, so that "
        "mostly one small square matrix per layer trains."
    ),
    "official_code": ("ArminAzizi98/LaMDA",),
    "licence": None,
}
