"""``parsimony estimate battery``: parameters of a cell from its voltage, and what that needs."""
