"""The Journey Matters: Average Parameter Count over Pre-training Unifies Sparse and Dense
Scaling Laws."""

CARD = {
    "slug": "sparse-pretraining",
    "title": (
        "The Journey Matters: Average Parameter Count over Pre-training Unifies Sparse and "
        "Dense Scaling Laws"
    ),
    "authors": (
        "Tian Jin",
        "Ahmed Imtiaz Humayun",
        "Utku Evci",
        "Suvinay Subramanian",
        "Amir Yazdanbakhsh",
        "Dan Alistarh",
        "Gintare Karolina Dziugaite",
    ),
    "year": 2025,
    "arxiv": "2501.12486",
    "venue": "ICLR 2025, pages 85165-85181",
    "areas": ("plan", "compress"),
    "mechanism": "plan: law on the average parameter count, compress/gradual_pruning",
    "summary": (
        "Prunes a model while it is pre-trained and predicts its final loss from the "
        "parameter count averaged over training."
    ),
    "official_code": ("tjingrant/sparse-llm-code",),
    "licence": None,
}
