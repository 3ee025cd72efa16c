"""Parameter-Efficient Transfer Learning of Audio Spectrogram Transformers."""

CARD = {
    "slug": "petl-ast",
    "title": "Parameter-Efficient Transfer Learning of Audio Spectrogram Transformers",
    "authors": None,
    "year": 2023,
    "arxiv": "2312.03694",
    "venue": "IEEE MLSP 2024",
    "areas": ("adapt",),
    "mechanism": "adapt/bottleneck, audio data",
    "summary": (
        "Adapts an audio transformer to a new sound or speech task by training well under one "
        "percent of its parameters."
    ),
    "official_code": ("umbertocappellazzo/PETL_AST",),
    "licence": None,
}
