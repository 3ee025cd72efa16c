"""Forecast monthly demand for many series, and say which forecaster to trust for which of them.

The protocol, metrics, subsets and tasks are those of Job-SDF (arXiv 2406.11920). Start with
``DemandForecaster``; ``table.read`` takes both file layouts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from parsimony.estimate.demand.estimator import DemandForecaster
    from parsimony.estimate.demand.protocol import Protocol
    from parsimony.estimate.demand.table import DemandTable

__all__ = ["DemandForecaster", "DemandTable", "Protocol"]

_HOMES = {"DemandForecaster": "estimator", "DemandTable": "table", "Protocol": "protocol"}


def __getattr__(name: str) -> object:
    """Import a public class when it is first used: pandas and scikit-learn are not light."""
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
