"""What can train after pruning: one file each, found by ``compress.retrainer.retrainers``."""
