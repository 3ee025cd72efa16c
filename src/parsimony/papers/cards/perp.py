"""PERP: Rethinking the Prune-Retrain Paradigm in the Era of LLMs."""

CARD = {
    "slug": "perp",
    "title": "PERP: Rethinking the Prune-Retrain Paradigm in the Era of LLMs",
    "authors": ("Max Zimmer", "Megi Andoni", "Christoph Spiegel", "Sebastian Pokutta"),
    "year": 2023,
    "arxiv": "2312.15230",
    "venue": None,
    "areas": ("compress",),
    "mechanism": "compress/prune, compress/retrain",
    "summary": (
        "Recovers most of the quality lost by pruning while retraining only a tiny part of "
        "the parameters and keeping the zeros."
    ),
    "official_code": ("ZIB-IOL/PERP",),
    "licence": None,
}
