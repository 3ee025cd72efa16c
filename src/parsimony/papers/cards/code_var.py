"""Collaborative Decoding Makes Visual Auto-Regressive Modeling Efficient."""

CARD = {
    "slug": "code-var",
    "title": "Collaborative Decoding Makes Visual Auto-Regressive Modeling Efficient",
    "authors": (
        "Zigeng Chen",
        "Xinyin Ma",
        "Gongfan Fang",
        "Xinchao Wang",
    ),
    "year": 2024,
    "arxiv": "2411.17787",
    "venue": "CVPR 2025, pages 23334-23344",
    "areas": ("infer", "models"),
    "mechanism": "infer/collaborative_decoding, models/var",
    "summary": (
        "Generates images faster and in half the memory by letting a large model draw the "
        "coarse scales and a small one finish the fine scales."
    ),
    "official_code": ("czg1225/CoDe",),
    "licence": "MIT",
}
