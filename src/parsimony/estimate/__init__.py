"""Recover parameters from data: scikit-learn estimators with intervals and diagnostics."""
