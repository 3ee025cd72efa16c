"""``parsimony adapt``: ``adapt.py`` is the verb itself, every other file a command below it."""
