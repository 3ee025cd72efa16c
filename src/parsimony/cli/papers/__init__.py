"""``parsimony papers``: The papers behind parsimony, as cards that run."""
