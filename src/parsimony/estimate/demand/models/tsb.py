"""TSB for intermittent demand that may end: chance and size of demand smoothed apart.

Teunter, Syntetos and Babai (2011). Unlike Croston's, the forecast falls while there is no demand.
"""

from __future__ import annotations

from typing import Any, ClassVar

from parsimony.estimate.demand.forecaster import RowByRow, statsforecast


class TSB(RowByRow):
    """statsforecast's ``TSB``.

    Args:
        demand, chance: smoothing weights, in (0, 1).
    """

    name: ClassVar[str] = "tsb"

    def __init__(self, demand: float = 0.2, chance: float = 0.2) -> None:
        self.demand, self.chance = demand, chance

    def peer(self) -> Any:
        """The model of statsforecast."""
        return statsforecast().TSB(alpha_d=self.demand, alpha_p=self.chance)
