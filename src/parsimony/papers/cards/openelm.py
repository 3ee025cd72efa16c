"""OpenELM: An Efficient Language Model Family with Open-source Training and Inference Framework."""

CARD = {
    "slug": "openelm",
    "title": (
        "OpenELM: An Efficient Language Model Family with Open-source Training and Inference "
        "Framework"
    ),
    "authors": (
        "Sachin Mehta",
        "Mohammad Hossein Sekhavat",
        "Qingqing Cao",
        "Maxwell Horton",
        "Yanzi Jin",
        "Chenfan Sun",
        "Iman Mirzadeh",
        "Mahyar Najibi",
        "Dmitry Belenko",
        "Peter Zatloukal",
        "Mohammad Rastegari",
    ),
    "year": 2024,
    "arxiv": "2404.14619",
    "venue": None,
    "areas": ("models",),
    "mechanism": "models/openelm",
    "summary": (
        "Sizes a decoder so that a fixed parameter budget goes unevenly over its layers, and "
        "carries it through training, evaluation and conversion."
    ),
    "official_code": ("apple/corenet",),
    "licence": "Apple's own",
}
