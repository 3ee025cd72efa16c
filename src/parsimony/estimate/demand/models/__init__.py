"""The forecasters: one file per mechanism, found by looking."""
