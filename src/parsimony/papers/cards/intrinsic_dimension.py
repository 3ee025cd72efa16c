"""Measuring the Intrinsic Dimension of Objective Landscapes."""

CARD = {
    "slug": "intrinsic-dimension",
    "title": "Measuring the Intrinsic Dimension of Objective Landscapes",
    "authors": ("Li", "Farkhoor", "Liu", "Yosinski"),
    "year": 2018,
    "arxiv": "1804.08838",
    "venue": "ICLR 2018",
    "areas": ("adapt",),
    "mechanism": "adapt/subspace",
    "summary": (
        "Finds how many parameters a problem really needs by training inside random subspaces "
        "of growing size."
    ),
    "official_code": ("uber-research/intrinsic-dimension",),
    "licence": None,
}
