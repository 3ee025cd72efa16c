"""Decide how many parameters to train, on what, and how: pure functions of tables and constants."""
