"""LLMC+: Benchmarking Vision-Language Model Compression with a Plug-and-play Toolkit."""

CARD = {
    "slug": "llmc-plus",
    "title": "LLMC+: Benchmarking Vision-Language Model Compression with a Plug-and-play Toolkit",
    "authors": (
        "Chengtao Lv",
        "Bilang Zhang",
        "Yang Yong",
        "Ruihao Gong",
        "Yushi Huang",
        "Shiqiao Gu",
        "Jiajun Wu",
        "Yumeng Shi",
        "Jinyang Guo",
        "Wenya Wang",
    ),
    "year": 2025,
    "arxiv": "2508.09981",
    "venue": "AAAI 2026, vol. 40 no. 29, pages 24189-24197",
    "areas": ("infer", "compress"),
    "mechanism": "infer/token_reduction, compress/quantize",
    "summary": (
        "Compares ways to drop visual tokens and to quantize a vision-language model under "
        "one configuration, also for follow-up questions."
    ),
    "official_code": ("ModelTC/LightCompress",),
    "licence": "Apache-2.0",
}
