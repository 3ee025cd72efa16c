"""The exponential smoothing family, the member chosen by AICc for each series."""

from __future__ import annotations

from typing import Any, ClassVar

from parsimony.estimate.demand.forecaster import RowByRow, statsforecast


class AutoETS(RowByRow):
    """statsforecast's ``AutoETS``, without a season: two years do not tell one."""

    name: ClassVar[str] = "auto-ets"

    def peer(self) -> Any:
        """The model of statsforecast."""
        return statsforecast().AutoETS(season_length=1)
