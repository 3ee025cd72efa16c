"""Job-SDF: A Multi-Granularity Dataset for Job Skill Demand Forecasting and Benchmarking."""

CARD = {
    "slug": "job-sdf",
    "title": (
        "Job-SDF: A Multi-Granularity Dataset for Job Skill Demand Forecasting and Benchmarking"
    ),
    "authors": None,
    "year": 2024,
    "arxiv": "2406.11920",
    "venue": "NeurIPS 2024 (datasets and benchmarks)",
    "areas": ("estimate",),
    "mechanism": "estimate/demand",
    "summary": (
        "Fits and scores forecasters of monthly skill demand at several granularities and "
        "says which to trust for which series."
    ),
    "official_code": ("Job-SDF/benchmark",),
    "licence": "no licence file",
}
