"""Predictable Scale: Part I, Optimal Hyperparameter Scaling Law in Large Language Model
Pretraining."""

CARD = {
    "slug": "step-law",
    "title": (
        "Predictable Scale: Part I, Optimal Hyperparameter Scaling Law in Large Language "
        "Model Pretraining"
    ),
    "authors": None,
    "year": 2025,
    "arxiv": "2503.04715",
    "venue": None,
    "areas": ("plan",),
    "mechanism": "plan/step_law",
    "summary": (
        "Returns the learning rate and batch size for pre-training a language model from its "
        "size and its number of tokens."
    ),
    "official_code": ("step-law/steplaw",),
    "licence": None,
}
