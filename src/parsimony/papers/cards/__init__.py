"""One file per paper: a literal ``CARD`` and, where the mechanism exists, its claims.

A claim is a function under ``@claim(...)`` that returns a ``Measurement``.
The catalogue reads these files without importing them; only running a claim imports its card.
Heavy imports therefore belong inside the claim functions.
"""
