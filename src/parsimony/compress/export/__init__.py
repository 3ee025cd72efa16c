"""Checkpoints in codes: formats found by name, one way to write any, and a check of a folder."""

from parsimony.compress.export.saving import save

__all__ = ["save"]
