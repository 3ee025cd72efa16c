"""A choice of family, structure and formulas, turned into a likelihood and fitted.

This is the part below the estimator: everything is an array, coefficients are those of centred and
scaled columns. Limits and profiles refit it with something held fixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from parsimony.core.errors import nearest
from parsimony.estimate.errors import EstimatorDataError, EstimatorInputError
from parsimony.estimate.survival.design import INTERCEPT, Design, default_formula
from parsimony.estimate.survival.family import COEFFICIENTS, PARAMETERS, Array
from parsimony.estimate.survival.likelihood import Likelihood
from parsimony.estimate.survival.optimiser import Optimum, best
from parsimony.estimate.survival.outcome import Outcome
from parsimony.estimate.survival.special_cases import SpecialCase, special_case

LEAST_KAPPA, MOST_KAPPA = -1 + 1e-6, 1e8
_SCREENED = 4000  # rows on which the starts are tried
_SHAPES = (1.0, 0.0, -0.5, 4.0)  # kappas to start from
_SPREAD = 0.5  # of the random starts, on the scale of the predictors


@dataclass
class Model:
    """What is fitted.

    Attributes:
        case: the family.
        structure: ``"aft"`` or ``"ph"``.
        designs: by parameter that is fitted.
        fixed: value of each other parameter.
        outcome: n rows.
        weights: [n], or ``None``.
        unit: the median time, by which times are divided.
    """

    case: SpecialCase
    structure: str
    designs: dict[str, Design]
    fixed: dict[str, float]
    outcome: Outcome
    weights: Array | None
    unit: float

    def __post_init__(self) -> None:
        matrices = {p: design.matrix for p, design in self.designs.items()}
        self.likelihood = Likelihood(
            self.outcome, matrices, self.fixed_predictors(self.unit),
            tied=self.case.tied, weights=self.weights, unit=self.unit,
        )  # fmt: skip

    def fixed_predictors(self, unit: float = 1.0) -> dict[str, float]:
        """On the scale of the predictors, of times divided by ``unit``; kappa as it is."""
        found = {p: float(np.log(v)) for p, v in self.fixed.items() if p != "kappa"}
        if "phi" in found:
            found["phi"] += float(np.log(unit))
        return {**found, "kappa": self.fixed["kappa"]} if "kappa" in self.fixed else found

    @property
    def names(self) -> list[tuple[str, str]]:
        """Parameter and term of each coefficient."""
        return [(p, term) for p, design in self._ordered() for term in design.terms]

    @property
    def name(self) -> str:
        """The paper's name by the coefficients that carry covariates, such as M(tau, alpha)."""
        carried = [COEFFICIENTS[p] for p, design in self._ordered() if not design.constant]
        return f"M({', '.join(carried)})"

    def _ordered(self) -> list[tuple[str, Design]]:
        return [(p, self.designs[p]) for p in PARAMETERS if p in self.designs]

    def events(self) -> float:
        """How many, with weights."""
        return float(self.outcome.event @ self._weight())

    def log_unit_events(self) -> float:
        """What the unit adds to the log-likelihood: the events at exact times times its log."""
        exact = self.outcome.event * ~self.outcome.within
        return float(exact @ self._weight()) * float(np.log(self.unit))

    def _weight(self) -> Array:
        return np.ones(len(self.outcome)) if self.weights is None else self.weights

    def bounds(self) -> tuple[Array, Array]:
        """Of the coefficients; only a kappa without covariates has any."""
        low = np.full(self.likelihood.size, -np.inf)
        high = -low
        if "kappa" in self.designs and self.designs["kappa"].constant:
            at = self.likelihood.slices["kappa"]
            least, most = self.case.kappa
            low[at] = np.log1p(max(least, LEAST_KAPPA))
            high[at] = np.log1p(min(most, MOST_KAPPA))
        return low, high

    def back(self) -> Array:
        """Coefficients of the columns and times as given = ``back`` @ theta + ``shift``, [p, p]."""
        found = np.zeros((self.likelihood.size, self.likelihood.size))
        for p, design in self._ordered():
            at = self.likelihood.slices[p]
            found[at, at] = design.back
        return found

    def shift(self) -> Array:
        """See ``back``: log phi refers to times divided by the unit."""
        return np.array(
            [-np.log(self.unit) * (name == ("phi", INTERCEPT)) for name in self.names], float
        )

    def starts(self, random: np.random.Generator, count: int) -> list[Array]:
        """phi = 1/median time, or lambda = events over time where phi is fixed; shapes of 1.

        Then other kappas, then the first with normal noise on the intercepts.
        """
        found = [self._start(k) for k in (_SHAPES if "kappa" in self.designs else (1.0,))]
        intercepts = np.array([term == INTERCEPT for _, term in self.names])
        while len(found) < count:
            noise = random.normal(0, _SPREAD, len(intercepts))
            found.append(found[0] + noise * intercepts)
        return found[:count]

    def _start(self, kappa: float) -> Array:
        level = dict.fromkeys(PARAMETERS, 0.0)
        if "phi" not in self.designs:
            weight = self._weight()
            scaled = self.outcome.time @ weight / self.unit * np.exp(
                self.fixed_predictors(self.unit)["phi"]
            )  # fmt: skip
            level["lambda"] = float(np.log(self.events() / scaled))
        level["kappa"] = float(np.log1p(kappa))
        return np.array([level[p] * (term == INTERCEPT) for p, term in self.names])

    def fit(self, random: np.random.Generator, count: int, most: int) -> Optimum:
        """The best of ``count`` starts; a large sample starts where a part of it ends.

        Raises:
            EstimatorDataError: the likelihood is not finite anywhere.
        """
        starts = self.starts(random, count)
        try:
            if len(self.outcome) > 2 * _SCREENED:
                rows = np.sort(random.choice(len(self.outcome), _SCREENED, replace=False))
                part = self._rows(rows)
                if part.outcome.event.sum() > 2 * part.likelihood.size:
                    starts = [best(part.likelihood, starts, self.bounds(), most).theta]
            return best(self.likelihood, starts, self.bounds(), most)
        except FloatingPointError:
            raise EstimatorDataError(
                "the likelihood is not finite at any start", file="X and y",
                hint="Look for times or covariates of very different sizes",
            ) from None  # fmt: skip

    def _rows(self, rows: Array) -> Model:
        designs = {p: replace(d, matrix=d.matrix[rows]) for p, d in self.designs.items()}
        weights = None if self.weights is None else self.weights[rows]
        return replace(self, designs=designs, outcome=self.outcome.take(rows), weights=weights)


def build(
    X: pd.DataFrame,
    outcome: Outcome,
    *,
    family: str,
    structure: str,
    formulas: Mapping[str, str | float] | None,
    both_scales: bool,
    weights: Array | None,
    file: str = "X",
) -> Model:
    """Read the formulas over a table.

    Args:
        X: n rows.
        outcome: of the same rows.
        family: name of a special case.
        structure: ``"aft"`` or ``"ph"``: where the columns go that no formula places.
        formulas: by parameter, a formula or a number that fixes it.
        both_scales: allow covariates on phi and lambda at once.
        weights: [n], or ``None``.
        file: what a message calls the table.

    Raises:
        EstimatorInputError: formulas that contradict the family, or cannot be told apart.
        EstimatorDataError: bad data; names row and column.
    """
    case = special_case(family)
    given = dict(formulas or {})
    for name, value in given.items():
        if name not in PARAMETERS:
            raise EstimatorInputError(
                f"unknown parameter '{name}' in the formulas", hint=nearest(name, PARAMETERS)
            )
        if name in case.fixed and value != case.fixed[name]:
            raise EstimatorInputError(
                f"the family '{case.name}' is what it is by {name} = {case.fixed[name]:g}",
                got=value, hint="Leave this formula out or take the family 'apgw'",
            )  # fmt: skip
    if len(outcome) < 2:
        raise EstimatorDataError("a fit needs at least two rows; n_samples = 1", file=file)
    held = case.defaults(structure)
    scale = "phi" if structure == "aft" else "lambda"
    if not set(given) & {"phi", "lambda"} or not any(isinstance(v, str) for v in given.values()):
        given.setdefault(scale, default_formula(X))
    fixed = {p: v for p, v in held.items() if p not in given or p in case.fixed}
    fixed |= {p: _number(p, v) for p, v in given.items() if not isinstance(v, str)}
    texts = {p: str(given.get(p, "1")) for p in PARAMETERS if p not in fixed}
    designs = {p: Design.of(text, X, parameter=p, file=file) for p, text in texts.items()}
    _refuse_unidentified(case, designs, fixed, both_scales)
    size = sum(design.matrix.shape[1] for design in designs.values())
    if size >= len(outcome):
        raise EstimatorDataError(
            f"a fit needs more rows than coefficients ({size}); n_samples = {len(outcome)}",
            file=file, hint="Use shorter formulas",
        )  # fmt: skip
    unit = float(np.median(outcome.time))
    return Model(case, structure, designs, fixed, outcome, weights, unit)


def _number(parameter: str, value: float) -> float:
    least = -1.0 if parameter == "kappa" else 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > least:
        raise EstimatorInputError(
            f"{parameter} is fixed by a number above {least:g}, or given a formula", got=value
        )
    return float(value)


def _refuse_unidentified(
    case: SpecialCase, designs: dict[str, Design], fixed: dict[str, float], both_scales: bool
) -> None:
    both = "phi" in designs and "lambda" in designs
    if both and fixed.get("kappa") == 1:
        raise EstimatorInputError(
            "phi and lambda are not identified at kappa = 1, where only lambda phi^gamma matters",
            hint="Drop the formula of lambda (AFT) or that of phi (PH)",
        )
    if both and not both_scales and not any(designs[p].constant for p in ("phi", "lambda")):
        raise EstimatorInputError(
            "covariates on phi and lambda at once are close to not identified",
            hint="Drop them from lambda (AFT) or from phi (PH), and put them on gamma if effects "
            "cross; or set both_scales to fit it all the same",
        )
