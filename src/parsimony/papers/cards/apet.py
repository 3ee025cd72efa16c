"""Arbitrary Few Parameters are Good Enough for Adapting Large-scale Pre-trained Language Models."""

CARD = {
    "slug": "apet",
    "title": (
        "Arbitrary Few Parameters are Good Enough for Adapting Large-scale Pre-trained "
        "Language Models"
    ),
    "authors": None,
    "year": 2023,
    "arxiv": "2306.02320",
    "venue": "EMNLP 2023, pages 15062-15078",
    "areas": ("adapt",),
    "mechanism": "adapt/apet",
    "summary": (
        "Tunes any number of parameters at arbitrary places of a model and finds how few are "
        "enough."
    ),
    "official_code": ("yushengsu-thu/PET_Scaling",),
    "licence": None,
}
