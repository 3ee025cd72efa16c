"""Ways to prune: one file each, found by ``compress.pruner.pruners``."""
