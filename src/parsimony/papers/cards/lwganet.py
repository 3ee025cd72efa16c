"""LWGANet: A Lightweight Group Attention Backbone for Remote Sensing Visual Tasks."""

CARD = {
    "slug": "lwganet",
    "title": "LWGANet: A Lightweight Group Attention Backbone for Remote Sensing Visual Tasks",
    "authors": (
        "Wei Lu",
        "Si-Bao Chen",
        "Chris H. Q. Ding",
        "Jin Tang",
        "Bin Luo",
    ),
    "year": 2025,
    "arxiv": "2501.10040",
    "venue": "AAAI 2026 (oral)",
    "areas": ("models",),
    "mechanism": "models/lwganet",
    "summary": (
        "Gives an image backbone for aerial and satellite pictures that spends few parameters "
        "by sending each quarter of the channels through its own kind of attention."
    ),
    "official_code": ("AeroVILab-AHU/LWGANet",),
    "licence": "CC BY-NC 4.0",
}
