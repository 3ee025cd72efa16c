"""Reinforcement Learning for Adaptive Time-Stepping in the Chaotic Gravitational Three-Body
Problem."""

CARD = {
    "slug": "three-body",
    "title": (
        "Reinforcement Learning for Adaptive Time-Stepping in the Chaotic Gravitational "
        "Three-Body Problem"
    ),
    "authors": ("Veronica Saz Ulibarrena", "Simon Portegies Zwart"),
    "year": 2025,
    "arxiv": "2502.12809",
    "venue": "Communications in Nonlinear Science and Numerical Simulation, article 108723, 2025",
    "areas": ("tune",),
    "mechanism": "tune/time_step",
    "summary": (
        "Teaches an agent to choose the time step of a gravitational simulation, trading "
        "energy error against cost."
    ),
    "official_code": ("veronicasaz/ThreeBodyProblem_astronomy",),
    "licence": "no licence file",
}
