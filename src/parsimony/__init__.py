"""parsimony: spend a model's parameters well.

Three nouns every area shares are importable from here; they load nothing heavy.
"""

from parsimony.core.budget import Budget
from parsimony.core.errors import ParsimonyError
from parsimony.core.footprint import Figure, Footprint

__version__ = "0.1.0"

__all__ = ["Budget", "Figure", "Footprint", "ParsimonyError", "__version__"]
