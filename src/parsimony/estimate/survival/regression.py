"""The estimator: multi-parameter regression on the family, under scikit-learn's contract.

Burke, Jones and Noufaily (2020), JRSS C 69(2), 429-457; links log phi = x'tau, log lambda = x'beta,
log gamma = x'alpha, log(kappa+1) = x'nu. Added here: left truncation, left and interval censoring,
exact Hessians, limits refitted under their names, bands. Not here: frailties, time-varying
covariates, competing risks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import _check_sample_weight, check_array, check_is_fitted
from sklearn.utils.validation import validate_data as _validate

from parsimony.estimate.drawing import Drawing
from parsimony.estimate.errors import EstimatorDataError, EstimatorInputError
from parsimony.estimate.survival import diagnosis, family, inference, plots, selection
from parsimony.estimate.survival import residuals as residual_kinds
from parsimony.estimate.survival.family import Array
from parsimony.estimate.survival.inference import Fitted
from parsimony.estimate.survival.model import build
from parsimony.estimate.survival.outcome import Outcome
from parsimony.estimate.survival.prediction import Predictor

BAND = ["estimate", "low", "high"]
AUTO = "auto"


class SurvivalRegressor(BaseEstimator):
    """Parametric survival regression with censored times, by maximum likelihood.

    Args:
        family: a special case by name (``special_cases()``), or ``"auto"``: the lowest
            ``criterion`` among those that the structure and the formulas allow.
        structure: ``"aft"`` puts covariates that no formula places in phi (they stretch time),
            ``"ph"`` in lambda (they multiply the hazard).
        formulas: by parameter (phi, lambda, gamma, kappa), the right side of a formula such as
            ``"age + C(sex)"``, or a number that fixes the parameter. By default all columns of X
            go to the scale parameter of the structure and the others are constants; once a formula
            places covariates in phi or lambda, only formulas do.
        interval: ``"wald"``, or ``"profile"`` for intervals and p by likelihood ratio.
        level: of intervals and bands, in (0, 1).
        both_scales: allow covariates in phi and lambda at once, close to not identified.
        criterion: ``"bic"`` or ``"aic"``, of ``family="auto"``.
        starts: how many, where kappa is fitted; one is enough elsewhere.
        max_iter: steps of one search.
        time_unit: a name, such as ``"days"``; predictions that name another are refused.
        random_state: seed of the random starts.

    Attributes:
        summary_: estimate, se, z, p, low, high by (parameter, term), on the scale of the links.
        coef_, standard_errors_: Series; covariance_: their covariance.
        parameters_: phi, lambda, gamma, kappa at the means of their covariates, with intervals.
        cured_: mean share of the rows that never has the event: estimate, low, high; 0 for no cure.
        family_: the family that was fitted, after limits; model_: the paper's name, M(tau, ...).
        log_likelihood_, aic_, bic_: in the unit of time of the data.
        diagnosis_: what is wrong with the fit, one sentence each; empty where nothing is.
        selection_: the families compared, where ``family="auto"``.
        gradient_norm_, hessian_eigenvalues_, n_iter_, converged_: of the search.
        n_rows_, n_features_in_, feature_names_in_: of the data.
    """

    def __init__(
        self,
        family: str = "apgw",
        structure: str = "aft",
        formulas: Mapping[str, str | float] | None = None,
        *,
        interval: str = "wald",
        level: float = 0.95,
        both_scales: bool = False,
        criterion: str = "bic",
        starts: int = 6,
        max_iter: int = 100,
        time_unit: str = "",
        random_state: int = 0,
    ) -> None:
        self.family = family
        self.structure = structure
        self.formulas = formulas
        self.interval = interval
        self.level = level
        self.both_scales = both_scales
        self.criterion = criterion
        self.starts = starts
        self.max_iter = max_iter
        self.time_unit = time_unit
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        """Times are positive, and y is needed."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.positive_only = True
        tags.input_tags.string = True
        return tags

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Fit to n rows.

        Args:
            X: a DataFrame of covariates, an array, or ``None`` for none.
            y: the outcome; see ``Outcome.of``: a DataFrame with time and event (and entry), or
                lower and upper, or scikit-survival's structured array.
            sample_weight: how many times each row counts, [n].

        Raises:
            EstimatorInputError: a parameter breaks its rule.
            EstimatorDataError: bad data; names row and column.
        """
        self._check_parameters()
        table = self._table(X, y, reset=True)
        outcome = Outcome.of(y)
        _same_length(table, outcome)
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, table, ensure_non_negative=True)
            keep = weights > 0
            table, outcome, weights = table[keep], outcome.take(keep), weights[keep]
        vars(self).pop("selection_", None)  # of an earlier fit
        if self.family == AUTO:
            chosen, self.selection_ = self._select(table, outcome, weights)
        else:
            chosen = self._fit_one(self.family, table, outcome, weights)
        self._keep(*chosen, table, outcome)
        return self

    def _check_parameters(self) -> None:
        if self.interval not in inference.METHODS:
            raise EstimatorInputError("an interval is 'wald' or 'profile'", got=self.interval)
        if not 0 < self.level < 1:
            raise EstimatorInputError("a level lies between 0 and 1", got=self.level)
        if self.starts < 1 or self.max_iter < 1:
            raise EstimatorInputError(
                "starts and max_iter are at least 1", got=(self.starts, self.max_iter)
            )
        selection.criterion(self.criterion)

    def _fit_one(
        self, name: str, table: pd.DataFrame, outcome: Outcome, weights: Array | None
    ) -> tuple[Fitted, list[str]]:
        model = build(
            table, outcome, family=name, structure=self.structure, formulas=self.formulas,
            both_scales=self.both_scales, weights=weights,
        )  # fmt: skip
        endless, said = diagnosis.separation(model)
        count = self.starts if {"kappa", "lambda"} & set(model.designs) else 1
        optimum = model.fit(np.random.default_rng(self.random_state), count, self.max_iter)
        fitted = Fitted(model, optimum, endless)
        fitted, more = diagnosis.limit(fitted, table, dict(self.formulas or {}), self.both_scales)
        return fitted, [*said, *more, *diagnosis.words(fitted)]

    def _select(
        self, table: pd.DataFrame, outcome: Outcome, weights: Array | None
    ) -> tuple[tuple[Fitted, list[str]], pd.DataFrame]:
        found, rows = {}, {}
        for name in selection.families(self.structure):
            try:
                found[name] = self._fit_one(name, table, outcome, weights)
            except EstimatorInputError as error:
                rows[name] = (np.nan, np.nan, np.nan, np.nan, str(error))
                continue
            fitted = found[name][0]
            rows[name] = (fitted.size, fitted.log_likelihood, *_criteria(fitted), "")
        columns = ["coefficients", "log_likelihood", "aic", "bic", "refusal"]
        told = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
        told = told.sort_values([self.criterion, "coefficients"], kind="stable")
        if not found:
            raise EstimatorInputError(
                f"every family refuses these formulas: {told.refusal.iloc[0]}"
            )
        return found[str(told.index[0])], told

    def _keep(self, fitted: Fitted, said: list[str], table: pd.DataFrame, outcome: Outcome) -> None:
        self._fitted, self._X, self._outcome = fitted, table, outcome
        index = fitted.index
        self.family_, self.model_ = fitted.model.case.name, fitted.model.name
        self.coef_ = pd.Series(fitted.theta, index, name="estimate")
        self.standard_errors_ = pd.Series(fitted.standard_errors(), index, name="se")
        self.covariance_ = pd.DataFrame(fitted.covariance, index, index)
        self.summary_ = fitted.summary(self.interval, self.level)
        self.parameters_ = fitted.natural(self.level)
        self.log_likelihood_ = fitted.log_likelihood
        self.aic_, self.bic_ = _criteria(fitted)
        self.n_rows_ = len(outcome)
        self.n_iter_ = max(fitted.optimum.steps, 1)
        self.converged_ = fitted.optimum.converged
        self.gradient_norm_ = float(np.linalg.norm(fitted.optimum.gradient))
        self.hessian_eigenvalues_ = fitted.eigenvalues
        self.cured_ = self._cured()
        self.diagnosis_ = said

    def _cured(self) -> pd.Series:
        kappa = self.parameters_.loc["kappa", "estimate"]
        if kappa >= 0 and "kappa" not in self._fitted.model.designs:
            return pd.Series(0.0, index=BAND, name="cured")
        return self.predict_cured(self._X).mean().rename("cured")

    def _table(self, X: Any, y: Any = None, *, reset: bool = False) -> pd.DataFrame:
        """X as a DataFrame with the columns of the fit."""
        if X is None:
            if not reset or y is None:
                raise EstimatorInputError("a prediction needs X")
            X = pd.DataFrame(index=range(len(y)))
        if isinstance(X, pd.DataFrame):
            if not all(isinstance(name, str) for name in X.columns):
                X = X.set_axis([f"x{i}" for i in range(X.shape[1])], axis=1)
            if len(X.columns):
                _validate(self, X, skip_check_array=True, reset=reset)
            elif reset:
                self.n_features_in_ = 0
            if not len(X):
                raise EstimatorDataError(
                    "Found array with 0 sample(s) while a minimum of 1 is required", file="X"
                )
            return X
        values = check_array(X, dtype="numeric", input_name="X")
        _validate(self, values, skip_check_array=True, reset=reset)
        return pd.DataFrame(values, columns=[f"x{i}" for i in range(values.shape[1])])

    def _predictor(self, X: Any) -> tuple[Predictor, pd.Index]:
        check_is_fitted(self)
        table = self._table(X)
        return Predictor(self._fitted, table, self.level), table.index

    def predict(self, X: Any) -> Array:
        """Median time of each row, [n]; infinite where fewer than half ever have the event."""
        return self._predictor(X)[0].quantile(np.array([0.5]))[:, 0]

    def predict_parameters(self, X: Any) -> pd.DataFrame:
        """phi, lambda, gamma and kappa of each row."""
        predictor, index = self._predictor(X)
        return pd.DataFrame(predictor.parameters(), index=index)

    def predict_survival(
        self, X: Any, times: Any, *, bands: bool = False, unit: str | None = None
    ) -> pd.DataFrame:
        """Share without the event by each time: rows by times, or with bands by (row, time).

        Args:
            X: rows.
            times: at least 0, in the unit of the fit.
            bands: columns estimate, low, high, one row for each pair.
            unit: of ``times``; refused where it is not that of the fit.
        """
        predictor, index = self._predictor(X)
        at = self._times(times, unit, least=0.0)
        if not bands:
            return pd.DataFrame(predictor.survivor(at), index, pd.Index(at, name="time"))
        return _long(predictor.survivor_band(at), index, at, "time")

    def predict_hazard(
        self, X: Any, times: Any, *, bands: bool = False, unit: str | None = None
    ) -> pd.DataFrame:
        """Events per unit of time among those without; see ``predict_survival``; times > 0."""
        predictor, index = self._predictor(X)
        at = self._times(times, unit, least=1e-300)
        if not bands:
            return pd.DataFrame(predictor.hazard(at), index, pd.Index(at, name="time"))
        return _long(predictor.hazard_band(at), index, at, "time")

    def predict_quantile(
        self, X: Any, shares: Any = 0.5, *, unit: str | None = None
    ) -> pd.DataFrame:
        """Times by which these shares have had the event, with bands, by (row, share)."""
        predictor, index = self._predictor(X)
        self._times([1.0], unit, least=0.0)
        at = np.atleast_1d(np.asarray(shares, float))
        if not ((at > 0) & (at < 1)).all():
            raise EstimatorInputError("a share lies between 0 and 1", got=at.tolist())
        return _long(predictor.quantile_band(at), index, at, "share")

    def predict_cured(self, X: Any) -> pd.DataFrame:
        """Share that never has the event, with bands, for each row; 0 where there is no cure."""
        predictor, index = self._predictor(X)
        return pd.DataFrame(dict(zip(BAND, predictor.cured_band(), strict=True)), index)

    def hazard_ratio(self, one: Any, other: Any, times: Any) -> pd.DataFrame:
        """Hazard of one profile over that of another at each time, with bands.

        Args:
            one, other: tables of one row, or mappings from column to value; columns that no
                formula uses may be left out.
            times: positive.

        Raises:
            EstimatorInputError: a column that a formula uses is not there.
        """
        check_is_fitted(self)
        both = pd.concat([_profile(one), _profile(other)], ignore_index=True)
        designs = self._fitted.model.designs.values()
        used = {str(name) for d in designs if not d.constant for name in d.spec.required_variables}
        for name in self._X.columns:
            if name not in both.columns and str(name) in used:
                raise EstimatorInputError("a profile lacks a column that a formula uses", got=name)
            both[name] = both.get(name, self._X[name].iloc[0])
        both = both[[*self._X.columns]]
        at = self._times(times, None, least=1e-300)
        predictor, _ = self._predictor(both)
        found = predictor.hazard_ratio_band(at)
        return pd.DataFrame(dict(zip(BAND, found, strict=True)), pd.Index(at, name="time"))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Mean log-likelihood of a row, in nats; comparable between fits in one unit of time."""
        predictor, _ = self._predictor(X)
        outcome = Outcome.of(y, events=0)
        at = tuple(predictor.parameters().values())
        _same_length(at[0], outcome)
        upper = family.cumulative_hazard(outcome.time, *at)
        event = outcome.event == 1
        told = np.where(event, family.log_hazard(outcome.time, *at), 0.0) - upper
        if outcome.entry is not None:
            told = told + family.cumulative_hazard(outcome.entry, *at)
        if outcome.low is not None:
            inside = outcome.within
            low = family.cumulative_hazard(np.where(inside, outcome.low, 0.0), *at)
            with np.errstate(divide="ignore"):
                apart = -low + np.log(-np.expm1(low - upper))
            told = np.where(inside, apart, told)
        return float(np.average(told, weights=sample_weight))

    def concordance(self, X: Any, y: Any) -> float:
        """Harrell's C of the survivor at the median event time of the fit, in [0, 1]."""
        from lifelines.utils import concordance_index

        outcome = Outcome.of(y)
        middle = float(np.median(self._outcome.time[self._outcome.event == 1]))
        risk = self.predict_survival(X, [middle]).to_numpy()[:, 0]
        return float(concordance_index(outcome.time, risk, outcome.event))

    def residuals(self, X: Any = None, y: Any = None) -> pd.DataFrame:
        """Cox-Snell, martingale and deviance residuals, of the rows of the fit by default."""
        check_is_fitted(self)
        outcome = self._outcome if y is None else Outcome.of(y, events=0)
        predictor, index = self._predictor(self._X if X is None else X)
        return residual_kinds.residuals(outcome, predictor.parameters()).set_index(index)

    def profile(self, parameter: str, term: str = "Intercept", points: int = 25) -> pd.DataFrame:
        """The profile of one coefficient: value, and the log-likelihood lost there.

        Args:
            parameter, term: of the coefficient.
            points: over four standard errors to each side.
        """
        check_is_fitted(self)
        fitted = self._fitted
        place = fitted.place(parameter, term)
        error = fitted.standard_errors()[place]
        error = error if np.isfinite(error) else 1.0
        rows = []
        for side in (-1, 1):
            start = fitted.optimum.theta
            for step in np.linspace(0, 4, points // 2 + 1)[(side == 1) :]:
                value = fitted.theta[place] + side * step * error
                height, start = fitted.profile(place, value, start)
                rows.append((value, fitted.log_likelihood - height))
        return pd.DataFrame(sorted(rows), columns=["value", "lost"])

    def likelihood_ratio_test(self, larger: SurvivalRegressor) -> pd.Series:
        """Test this fit against a larger one that contains it, on the same rows.

        Returns:
            statistic, df and p.

        Raises:
            EstimatorInputError: the other is not larger, or of other rows.
        """
        check_is_fitted(self)
        df = larger.coef_.size - self.coef_.size
        if df < 1 or len(larger._outcome) != len(self._outcome):
            raise EstimatorInputError(
                "a test compares a fit with a larger one of the same rows",
                got=(self.coef_.size, larger.coef_.size),
            )
        statistic, p = inference.likelihood_ratio_test(
            self.log_likelihood_, larger.log_likelihood_, df
        )
        return pd.Series({"statistic": statistic, "df": df, "p": p})

    def plot_survival(self, by: str | None = None) -> Drawing:
        """The fitted survivor with its band, over Kaplan and Meier's, by the values of a column."""
        return Drawing(plots.survival(self, by))

    def plot_hazard(self, by: str | None = None) -> Drawing:
        """The fitted hazard with its band, by the values of a column."""
        return Drawing(plots.hazard(self, by))

    def plot_hazard_ratio(self, one: Any, other: Any) -> Drawing:
        """The hazard of one profile over that of another, with its band."""
        return Drawing(plots.hazard_ratio(self, one, other))

    def plot_profile(self, parameter: str, term: str = "Intercept") -> Drawing:
        """The log-likelihood lost as one coefficient moves, beside Wald's parabola."""
        return Drawing(plots.profile(self, parameter, term))

    def plot_residuals(self) -> Drawing:
        """Cox-Snell residuals against the unit exponential: on the line if the fit is right."""
        return Drawing(plots.residuals(self))

    def _times(self, times: Any, unit: str | None, least: float) -> Array:
        if unit is not None and unit != self.time_unit:
            raise EstimatorInputError(
                f"the fit is in '{self.time_unit or 'an unnamed unit'}'", got=unit,
                hint="Convert the times, or set time_unit and fit again",
            )  # fmt: skip
        found = np.atleast_1d(np.asarray(times, float))
        if not (np.isfinite(found) & (found >= least)).all():
            raise EstimatorInputError(
                f"times are finite and {'positive' if least else 'not negative'}",
                got=found[~(np.isfinite(found) & (found >= least))][:3].tolist(),
            )
        return found


def _criteria(fitted: Fitted) -> tuple[float, float]:
    """AIC and BIC; a weighted sample has as many rows as its weights say."""
    weights = fitted.model.weights
    rows = len(fitted.model.outcome) if weights is None else float(weights.sum())
    twice = -2 * fitted.log_likelihood
    return twice + 2 * fitted.size, twice + float(np.log(rows)) * fitted.size


def _same_length(table: Any, outcome: Outcome) -> None:
    if len(table) != len(outcome):
        raise EstimatorDataError(
            "X and y have inconsistent numbers of rows", file="X and y",
            got=(len(table), len(outcome)),
        )  # fmt: skip


def _profile(given: Any) -> pd.DataFrame:
    table = given if isinstance(given, pd.DataFrame) else pd.DataFrame([dict(given)])
    if len(table) != 1:
        raise EstimatorInputError("a profile is one row", got=len(table))
    return table


def _long(band: tuple[Array, Array, Array], index: pd.Index, at: Array, name: str) -> pd.DataFrame:
    levels = pd.MultiIndex.from_product([index, at], names=[index.name or "row", name])
    return pd.DataFrame({n: v.ravel() for n, v in zip(BAND, band, strict=True)}, levels)
