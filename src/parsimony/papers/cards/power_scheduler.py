"""Power Scheduler: A Batch Size and Token Number Agnostic Learning Rate Scheduler."""

CARD = {
    "slug": "power-scheduler",
    "title": "Power Scheduler: A Batch Size and Token Number Agnostic Learning Rate Scheduler",
    "authors": ("Shen", "Stallone", "Mishra", "Zhang", "Tan", "Prasad", "Soria", "Cox", "Panda"),
    "year": 2024,
    "arxiv": "2408.13359",
    "venue": "preprint; withdrawn ICLR 2025 submission",
    "areas": ("tune",),
    "mechanism": "tune/schedules",
    "summary": (
        "Sets the learning rate during pre-training without knowing the number of tokens in "
        "advance, and keeps it right when batch size or width changes."
    ),
    "official_code": (),
    "licence": None,
}
