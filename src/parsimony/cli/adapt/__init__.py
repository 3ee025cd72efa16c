"""``parsimony adapt``: ``run.py`` is the verb itself, every other file a command below it."""
