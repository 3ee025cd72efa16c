"""A Comprehensive Survey of Small Language Models in the Era of Large Language Models."""

CARD = {
    "slug": "slm-survey",
    "title": "A Comprehensive Survey of Small Language Models in the Era of Large Language Models",
    "authors": (
        "Fali Wang",
        "Zhiwei Zhang",
        "Xianren Zhang",
        "Zongyu Wu",
        "Tzuhao Mo",
        "Qiuhao Lu",
        "Wanjing Wang",
        "Rui Li",
        "Junjie Xu",
        "Xianfeng Tang",
        "Qi He",
        "Yao Ma",
        "Ming Huang",
        "Suhang Wang",
    ),
    "year": 2024,
    "arxiv": "2411.03350",
    "venue": "ACM Transactions on Intelligent Systems and Technology 16(6), pages 1-87, 2025",
    "areas": ("plan", "infer"),
    "mechanism": "plan: sizing; infer: cascade, router, speculative decoding",
    "summary": (
        "Says how small a language model may be for a task and a device, and how a small and "
        "a large one can share the work."
    ),
    "official_code": (),
    "licence": None,
}
