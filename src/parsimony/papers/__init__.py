"""The papers this project answers to, as cards that run. Importing this loads nothing heavy."""

import parsimony.papers.cards  # noqa: F401  (loaded first, so the name below stays the function)
from parsimony.papers.catalogue import Card, card, cards
from parsimony.papers.claim import Claim, Measurement, claim

__all__ = ["Card", "Claim", "Measurement", "card", "cards", "claim"]
