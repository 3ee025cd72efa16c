"""PINN surrogate of Li-ion battery models for parameter inference. Part I: Implementation and
multi-fidelity hierarchies for the single-particle model."""

CARD = {
    "slug": "pinn-battery",
    "title": (
        "PINN surrogate of Li-ion battery models for parameter inference. Part I: "
        "Implementation and multi-fidelity hierarchies for the single-particle model"
    ),
    "authors": None,
    "year": 2023,
    "arxiv": "2312.17329",
    "venue": "Journal of Energy Storage 98, 113103, 2024",
    "areas": ("estimate",),
    "mechanism": "estimate/battery",
    "summary": (
        "Trains a small network that stands in for a lithium-ion cell's equations, so that "
        "unknown parameters can be inferred from a discharge curve quickly."
    ),
    "official_code": ("NREL/PINNSTRIPES",),
    "licence": "BSD-3",
}
