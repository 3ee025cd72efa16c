"""Holt's linear trend, additive errors, fitted by likelihood to each series."""

from __future__ import annotations

from typing import Any, ClassVar

from parsimony.estimate.demand.forecaster import RowByRow, statsforecast


class Holt(RowByRow):
    """statsforecast's ``Holt``, a member of ETS (A, A, N)."""

    name: ClassVar[str] = "holt"

    def peer(self) -> Any:
        """The model of statsforecast."""
        return statsforecast().Holt()
