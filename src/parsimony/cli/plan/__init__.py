"""``parsimony plan``: Decide how many, on what, before anything is spent."""
