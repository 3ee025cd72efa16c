"""``parsimony compress``: ``compress.py`` is the verb itself, other files are commands below it."""
