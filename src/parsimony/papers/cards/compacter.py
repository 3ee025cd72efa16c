"""Compacter: Efficient Low-Rank Hypercomplex Adapter Layers."""

CARD = {
    "slug": "compacter",
    "title": "Compacter: Efficient Low-Rank Hypercomplex Adapter Layers",
    "authors": ("R. Karimi Mahabadi", "J. Henderson", "S. Ruder"),
    "year": 2021,
    "arxiv": "2106.04647",
    "venue": "NeurIPS 2021",
    "areas": ("adapt",),
    "mechanism": "adapt/compacter",
    "summary": (
        "Fine-tunes a frozen transformer through tiny bottleneck adapters built from "
        "Kronecker products, with less than a thousandth of the parameters."
    ),
    "official_code": ("rabeehk/compacter",),
    "licence": None,
}
