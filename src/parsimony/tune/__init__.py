"""Guess fewer: learning rates that need no total length and no retune."""
