"""``parsimony estimate``: Say what the data tell about a model's parameters."""
