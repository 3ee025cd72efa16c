"""Theta: simple smoothing plus half the slope of a line (Assimakopoulos and Nikolopoulos 2000)."""

from __future__ import annotations

from typing import Any, ClassVar

from parsimony.estimate.demand.forecaster import RowByRow, statsforecast


class Theta(RowByRow):
    """statsforecast's ``Theta``, without a season: two years do not tell one."""

    name: ClassVar[str] = "theta"

    def peer(self) -> Any:
        """The model of statsforecast."""
        return statsforecast().Theta(season_length=1)
