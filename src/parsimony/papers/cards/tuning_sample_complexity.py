"""Sample complexity of data-driven tuning of model hyperparameters in neural networks with
structured parameter-dependent dual function."""

CARD = {
    "slug": "tuning-sample-complexity",
    "title": (
        "Sample complexity of data-driven tuning of model hyperparameters in neural networks "
        "with structured parameter-dependent dual function"
    ),
    "authors": ("Balcan", "Nguyen", "Sharma"),
    "year": 2025,
    "arxiv": "2501.13734",
    "venue": "NeurIPS 2025 (poster)",
    "areas": ("tune",),
    "mechanism": "tune/dual",
    "summary": (
        "Picks one hyperparameter value for many similar problems exactly, without a grid, "
        "and says how many problems that choice needs to generalise."
    ),
    "official_code": (),
    "licence": None,
}
