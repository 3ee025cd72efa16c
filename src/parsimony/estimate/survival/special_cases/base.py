"""What a special case of the family says about itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from parsimony.estimate.errors import EstimatorInputError

Array = NDArray[np.float64]


class SpecialCase(ABC):
    """One member of the family: which of phi, lambda, gamma, kappa it fixes, and where.

    Attributes:
        name: by which it is found; lower-case words joined by hyphens.
        title: as one writes it.
        formula: its cumulative hazard, z = (phi t)^gamma.
        source: where it is from.
        fixed: parameters that make it what it is, with their values.
        kappa: lowest and highest value that a fitted kappa may have.
        scales: parameters that may carry the scale: phi (AFT), lambda (PH).
        one_scale: phi and lambda are one parameter here (kappa = 1), so one of them is fixed at 1.
        tied: lambda = kappa/(kappa+1) times its own predictor (``pgw``).
        plateau: some never have the event.
        unit_lambda: under AFT lambda is 1 unless freed.
        instead: what to use where a structure does not exist.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    formula: ClassVar[str]
    source: ClassVar[str]
    fixed: ClassVar[Mapping[str, float]] = {}
    kappa: ClassVar[tuple[float, float]] = (-1.0, np.inf)
    scales: ClassVar[tuple[str, ...]] = ("phi", "lambda")
    one_scale: ClassVar[bool] = False
    tied: ClassVar[bool] = False
    plateau: ClassVar[bool] = False
    unit_lambda: ClassVar[bool] = True
    instead: ClassVar[str] = "another family"

    @abstractmethod
    def closed_form(
        self, t: ArrayLike, phi: float, lam: float, gamma: float, kappa: float
    ) -> Array:
        """H(t) in the textbook's form, without the general formula; tests compare the two."""

    def defaults(self, structure: str) -> dict[str, float]:
        """Parameters held fixed under a structure unless the user frees them.

        An AFT model has lambda = 1. A PH model keeps phi, without which the fit would depend on the
        unit of time; only where both are one parameter it has phi = 1.

        Raises:
            EstimatorInputError: the structure is no structure of this case.
        """
        scale = {"aft": "phi", "ph": "lambda"}.get(structure)
        if scale is None:
            raise EstimatorInputError(
                "a structure is 'aft' (covariates stretch time) or 'ph' (they multiply the hazard)",
                got=structure,
            )
        if scale not in self.scales:
            raise EstimatorInputError(
                f"the family '{self.name}' has no {structure.upper()} structure, since it fixes "
                f"{scale} at 1",
                hint=f"Use {self.instead}",
            )
        held = dict(self.fixed)
        if structure == "ph" and self.one_scale:
            held.setdefault("phi", 1.0)
        if structure == "aft" and (self.one_scale or self.unit_lambda):
            held.setdefault("lambda", 1.0)
        return held
