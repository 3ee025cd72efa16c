"""Automated Federated Pipeline for Parameter-Efficient Fine-Tuning of Large Language Models."""

CARD = {
    "slug": "fedpipe",
    "title": (
        "Automated Federated Pipeline for Parameter-Efficient Fine-Tuning of Large Language Models"
    ),
    "authors": ("Zihan Fang", "Zheng Lin", "Zhe Chen", "Xianhao Chen", "Yue Gao", "Yuguang Fang"),
    "year": 2024,
    "arxiv": "2404.06448",
    "venue": None,
    "areas": ("adapt",),
    "mechanism": "adapt/federated",
    "summary": (
        "Fine-tunes one model over several sites with private data by giving each site the "
        "adapter rank, batch size and precision its machine can carry."
    ),
    "official_code": (),
    "licence": None,
}
