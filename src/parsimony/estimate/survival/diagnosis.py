"""What is wrong with a fit, in words: limits, flat directions, separation, short follow-up.

A parameter that runs to the edge of the family is no estimate: the limit has a name, and is
refitted under it. A group without events has an infinite slope. A cured share beyond the end of
follow-up is an extrapolation (Maller and Zhou 1994).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from parsimony.estimate.errors import EstimatorDataError, EstimatorInputError
from parsimony.estimate.survival import family
from parsimony.estimate.survival.family import PARAMETERS, Array
from parsimony.estimate.survival.inference import Fitted
from parsimony.estimate.survival.model import LEAST_KAPPA, Model, build
from parsimony.estimate.survival.nonparametric import follow_up
from parsimony.estimate.survival.special_cases import special_cases

_FAR_KAPPA = 1e3
_FAR_LAMBDA = 6.0  # of its log
_FAR_GAMMA = -5.0  # of its log
_SAME = 0.01  # of log-likelihood, within which a limit is the fit
_FLAT = 1e-8  # of the information's eigenvalues, smallest over largest
_ALIKE = 0.99  # correlation of two parameters from which on they are one
_FEW = 5  # events for each coefficient
_APART = 0.1  # of the cured share and the end of Kaplan and Meier's curve
_FLAT_END = 0.1  # of the follow-up without an event, at its end
_SHORT = 0.05  # Maller and Zhou's alpha
_LATENCY = "a promotion-time cure model with log-logistic latency"


def separation(model: Model) -> tuple[Array, list[str]]:
    """Coefficients that run to infinity, as a group has no event, [p]; and the words for it.

    -1 is for minus infinity; NaN is for a slope of gamma or kappa of such a group, of which nothing
    is known.

    Raises:
        EstimatorDataError: the group is the one that the others are compared with.
    """
    found: dict[str, float] = {}
    words = []
    event = model.outcome.event > 0
    for p in ("phi", "lambda"):
        if p not in model.designs:
            continue
        design = model.designs[p]
        for term, column in zip(design.terms, design.matrix.T, strict=True):
            low, high = column.min(), column.max()
            if low == high or not ((column == low) | (column == high)).all():
                continue
            if not (event & (column == low)).any():
                raise EstimatorDataError(
                    f"no row outside '{term}' has the event, so every slope is infinite",
                    file="X", column=term,
                    hint="Join the groups, or compare with a group that has events",
                )  # fmt: skip
            if not (event & (column == high)).any():
                found[term] = -1.0
                words.append(
                    f"Separation: no row with {term} has the event ({int((column == high).sum())} "
                    f"rows), so its slope in {p} is minus infinity and its survivor stays 1."
                )
    at_scale = ("phi", "lambda")
    endless = [
        found.get(t, 0.0) if p in at_scale or t not in found else np.nan for p, t in model.names
    ]
    return np.array(endless, float), words


def limit(
    fitted: Fitted, X: pd.DataFrame, formulas: dict[str, str | float], both_scales: bool
) -> tuple[Fitted, list[str]]:
    """Refit a fit that has run to the edge of the family under the name of that edge.

    Args:
        fitted: the fit.
        X: its table.
        formulas: as the user gave them.
        both_scales: as the user gave it.

    Returns:
        The fit to keep, and what has happened.
    """
    runs = list(_running(fitted))
    if not runs:
        return fitted, []
    what = " and ".join(runs)
    found: list[Fitted] = []
    for name in special_cases():
        model = _narrower(name, fitted.model, X, formulas, both_scales)
        if model is None:
            continue
        optimum = model.fit(np.random.default_rng(0), 2, 100)
        one = Fitted(model, optimum, separation(model)[0])
        near = abs(one.log_likelihood - fitted.log_likelihood) < _SAME
        if near and not list(_running(one)):
            found.append(one)
    if found:
        best = min(found, key=lambda one: (one.size, -one.log_likelihood))
        case = best.model.case
        return best, [
            f"{what}: this is the {case.title} limit, H(t) = {case.formula}; it was refitted as "
            f"'{case.name}'."
        ]
    if "kappa runs to -1" in what:
        return fitted, [f"{what}: this is the limit of {_LATENCY}, which has no kappa."]
    if "kappa" in what or "gamma" in what:
        return fitted, [f"{what}: no member of the family with fewer parameters fits as well."]
    return fitted, []  # a small or large lambda is no fault by itself


def _narrower(
    name: str, model: Model, X: pd.DataFrame, formulas: dict[str, str | float], both_scales: bool
) -> Model | None:
    """The model of a special case with fewer coefficients; ``None`` where formulas forbid it."""
    case = special_cases()[name]
    if name == model.case.name or case.kappa != special_cases()["apgw"].kappa:
        return None
    kept = dict(formulas)
    held = {**case.fixed, **({"lambda": 1.0, "phi": 1.0} if case.one_scale else {})}
    own = "phi" if model.structure == "aft" else "lambda"
    for p in [p for p in kept if p in held and (p in case.fixed or p != own)]:
        number = not isinstance(kept[p], str)
        if kept[p] != case.fixed.get(p, kept[p]) if number else not model.designs[p].constant:
            return None
        del kept[p]
    try:
        found = build(
            X, model.outcome, family=name, structure=model.structure, formulas=kept,
            both_scales=both_scales, weights=model.weights,
        )  # fmt: skip
    except EstimatorInputError:
        return None
    return found if found.likelihood.size < model.likelihood.size else None


def _running(fitted: Fitted) -> Iterator[str]:
    """Parameters that have left for the edge."""
    for p, value in _middle(fitted).items():
        if p == "kappa" and value > _FAR_KAPPA:
            yield "kappa runs to infinity"
        elif p == "kappa" and value <= LEAST_KAPPA + 1e-3:
            yield "kappa runs to -1"
        elif p == "kappa" and fitted.model.case.plateau and value > -1e-4:
            yield "kappa runs to 0, where no one is cured,"
        elif p == "lambda" and abs(np.log(value)) > _FAR_LAMBDA and "phi" in fitted.model.designs:
            yield f"lambda runs to {'infinity' if value > 1 else '0'}"
        elif p == "gamma" and np.log(value) < _FAR_GAMMA:
            yield "gamma runs to 0"


def _middle(fitted: Fitted) -> dict[str, float]:
    """Fitted parameters at the means of their covariates; phi in the unit of the median time."""
    found = {}
    for p in PARAMETERS:
        if p in fitted.model.designs:
            design, at = fitted.model.designs[p], fitted.model.likelihood.slices[p]
            keep = fitted.endless[at] == 0
            value = float(np.exp(design.means[keep] @ fitted.theta[at][keep]))
            found[p] = value * fitted.model.unit if p == "phi" else value - (p == "kappa")
    return found


def words(fitted: Fitted) -> list[str]:
    """What else a reader of the fit must know."""
    return [*_search(fitted), *_flat(fitted), *_few(fitted), *_unit(fitted), *_cure(fitted)]


def _search(fitted: Fitted) -> Iterator[str]:
    optimum = fitted.optimum
    if not optimum.converged:
        yield (
            f"The search has not ended after {optimum.steps} steps (largest slope "
            f"{np.abs(optimum.gradient).max():.2g}): raise max_iter or simplify the formulas."
        )
    elif len(fitted.eigenvalues) and fitted.known.any() and fitted.eigenvalues[0] <= 0:
        yield "The search has ended where the likelihood is no maximum: raise starts."


def _flat(fitted: Fitted) -> Iterator[str]:
    free = fitted.endless == 0
    information = -fitted.optimum.hessian[np.ix_(free, free)]
    names = [f"{p}: {t}" for (p, t), f in zip(fitted.model.names, free, strict=True) if f]
    if len(names) < 2:
        return
    values, vectors = np.linalg.eigh(information)
    if values[0] < _FLAT * values[-1]:
        part = [n for n, v in zip(names, vectors[:, 0], strict=True) if abs(v) > 0.2]
        yield (
            f"The likelihood is flat along {', '.join(part)}: the data do not tell "
            f"{'them apart' if len(part) > 1 else 'it'}. Fix one by a number or drop its formula."
        )
        return
    covariance = np.linalg.inv(information)
    error = np.sqrt(np.abs(np.diag(covariance)))
    alike = np.triu(np.abs(covariance / np.outer(error, error)), 1)
    for i, j in np.argwhere(alike > _ALIKE):
        yield (
            f"{names[i]} and {names[j]} are correlated at {alike[i, j]:.4f}: the data hardly tell "
            "them apart, and what depends on one alone, such as a cured share, is not to be "
            "trusted. Fix lambda at 1 or drop a formula."
        )


def _few(fitted: Fitted) -> Iterator[str]:
    events = fitted.model.events()
    if events < _FEW * fitted.size:
        yield (
            f"There are {events:g} events for {fitted.size} coefficients: intervals by profile "
            "hold better than Wald's, and fewer coefficients would do."
        )


def _unit(fitted: Fitted) -> Iterator[str]:
    fixed = fitted.model.fixed
    if "phi" in fixed and fixed.get("kappa") != 1:
        yield (
            f"phi is fixed at {fixed['phi']:g}, so the fit depends on the unit of time: free phi, "
            "or say why this unit."
        )


def _cure(fitted: Fitted) -> Iterator[str]:
    at = {**fitted.model.fixed, **_middle(fitted)}
    share = float(family.cured_share(at["lambda"], at["kappa"]))
    if share <= 0:
        return
    tail, plateau, alpha = follow_up(fitted.model.outcome, fitted.model.weights)
    short = alpha > _SHORT or plateau < _FLAT_END
    text = (
        f"The cured share is {share:.3g} at the means, Kaplan and Meier's curve ends at {tail:.3g}"
    )
    if abs(share - tail) > _APART:
        text += ", so the share is not what the curve's end says"
    if short:
        text += (
            f"; its plateau is {100 * plateau:.2g} % of the follow-up (Maller and Zhou's alpha "
            f"{alpha:.2g}): follow-up is short, and the share is an extrapolation"
        )
    if short or abs(share - tail) > _APART:
        yield text + "."
