"""A Flexible Parametric Modelling Framework for Survival Analysis."""

CARD = {
    "slug": "survival",
    "title": "A Flexible Parametric Modelling Framework for Survival Analysis",
    "authors": ("Kevin Burke", "M. C. Jones", "Angela Noufaily"),
    "year": 2019,
    "arxiv": "1901.03212",
    "venue": "Journal of the Royal Statistical Society Series C 69(2), pages 429-457, 2020",
    "areas": ("estimate",),
    "mechanism": "estimate/survival",
    "summary": (
        "Fits one four-parameter family to censored survival times and lets the data choose "
        "among the classical models inside it."
    ),
    "official_code": (),
    "licence": None,
}
