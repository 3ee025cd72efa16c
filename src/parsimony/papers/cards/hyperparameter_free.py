"""How far away are truly hyperparameter-free learning algorithms?"""

CARD = {
    "slug": "hyperparameter-free",
    "title": "How far away are truly hyperparameter-free learning algorithms?",
    "authors": ("Kasimbeg", "Roulet", "Agarwal", "Medapati", "Pedregosa", "Agarwala", "Dahl"),
    "year": 2025,
    "arxiv": "2505.24005",
    "venue": "TMLR 2025",
    "areas": ("tune",),
    "mechanism": "tune/optimizers, race",
    "summary": (
        "Races optimizers that claim to need no tuning against a well calibrated baseline on "
        "many tasks with one setting each."
    ),
    "official_code": (),
    "licence": None,
}
