"""Croston for intermittent demand: size and interval smoothed apart (Croston 1972)."""

from __future__ import annotations

from typing import Any, ClassVar

from parsimony.estimate.demand.forecaster import RowByRow, statsforecast


class Croston(RowByRow):
    """statsforecast's ``CrostonClassic``, weight 0.1; biased upwards, as Croston's is."""

    name: ClassVar[str] = "croston"

    def peer(self) -> Any:
        """The model of statsforecast."""
        return statsforecast().CrostonClassic()
