"""PLLaVA: Parameter-free LLaVA Extension from Images to Videos for Video Dense Captioning."""

CARD = {
    "slug": "pllava",
    "title": (
        "PLLaVA: Parameter-free LLaVA Extension from Images to Videos for Video Dense Captioning"
    ),
    "authors": (
        "Lin Xu",
        "Yilin Zhao",
        "Daquan Zhou",
        "Zhijie Lin",
        "See Kiong Ng",
        "Jiashi Feng",
    ),
    "year": 2024,
    "arxiv": "2404.16994",
    "venue": "preprint",
    "areas": ("infer",),
    "mechanism": "infer/pooling",
    "summary": (
        "Turns a model that answers about images into one that answers about videos by "
        "averaging frame features, with a dial for how much of the fine-tuning to keep."
    ),
    "official_code": ("magic-research/PLLaVA",),
    "licence": None,
}
