"""Improve Machine Learning carbon footprint using Nvidia GPU and Mixed Precision training for
classification models, Part I."""

CARD = {
    "slug": "carbon",
    "title": (
        "Improve Machine Learning carbon footprint using Nvidia GPU and Mixed Precision "
        "training for classification models, Part I"
    ),
    "authors": ("A. Antonopoulos",),
    "year": 2024,
    "arxiv": "2409.07853",
    "venue": "master's dissertation, 2024",
    "areas": ("core", "plan"),
    "mechanism": "core/energy, energy study",
    "summary": (
        "Meters the energy of a training in full and in mixed precision and tests whether the "
        "saving is real."
    ),
    "official_code": (),
    "licence": None,
}
