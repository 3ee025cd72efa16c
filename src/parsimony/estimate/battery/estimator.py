"""The calibration as a scikit-learn estimator: times in, (k1, k2) with intervals out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.validation import (
    check_array,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from parsimony.core import artifacts
from parsimony.core.errors import nearest
from parsimony.estimate.battery.calibration import (
    LEAST,
    Correction,
    Ensemble,
    Nuts,
    Round,
    find_noise,
    solver_curves,
)
from parsimony.estimate.battery.cell import HORIZON, Box, Cell
from parsimony.estimate.battery.discharge import check, check_noise
from parsimony.estimate.battery.identifiability import (
    NAMES,
    Curves,
    Identifiability,
    identify,
    least_squares,
)
from parsimony.estimate.battery.posterior import Posterior
from parsimony.estimate.drawing import Drawing
from parsimony.estimate.errors import EstimatorInputError

if TYPE_CHECKING:
    from parsimony.estimate.battery.surrogate import Surrogate

Array = np.ndarray

SAMPLERS = ("surrogate", "solver", "both")


class BatteryCalibrator(RegressorMixin, BaseEstimator):
    """The two internal parameters of the cell from one measured 2C discharge.

    V(t; k1, k2) of the single-particle model, uniform prior on a box, normal noise. ``fit`` says
    first what the curve can tell (``identifiability_``), then samples.

    Args:
        surrogate: a trained one, its folder, or that of its training; ``None`` for the solver.
        sampler: one of ``SAMPLERS``: NUTS on the surrogate, an ensemble on the solver, or both,
            the second as a check; ``None`` for the surrogate where there is one.
        noise: standard deviation of the noise, V; ``"auto"`` for the paper's bisection.
        box: of the prior; ``None`` for the surrogate's, else k1 in [0.5, 4], k2 in [1, 10].
        kinetics: linear or full; ``None`` for the surrogate's, else linear.
        corrected: take off the surrogate's own error, which the solver tells on 36 curves.
        chains: of NUTS.
        warmup: steps of each chain or walker that are thrown away; ``None`` for the sampler's.
        draws: of each chain or walker; ``None`` for the sampler's.
        level: of intervals and bands, in (0, 1).
        random_state: an integer; every random choice derives from it.

    Attributes:
        parameters_: Series of posterior means.
        standard_errors_: Series of posterior standard deviations.
        intervals_: DataFrame, low and high.
        summary_: DataFrame, one row per parameter: estimate, standard_error, low, high, r_hat, ess,
            prior_sd.
        diagnosis_: list of sentences; empty when nothing speaks against the result.
        identifiability_: what the curve can tell, from before the sampling.
        posterior_: the draws.
        check_: those of the solver where both samplers ran, else ``None``.
        sigma_: standard deviation of the noise that was used, V.
        rounds_: of the bisection; empty where the noise was given.
        surrogate_error_: (n,) surrogate less solver at the posterior mean, V, or ``None``.
        error_left_: mean distance of the curves that were sampled from the solver's, over draws, V;
            ``None`` where the solver itself was sampled.
        cell_, box_: the physics and the prior.
        times_, voltage_: the data, sorted by time.
    """

    def __init__(
        self,
        surrogate: Surrogate | Path | str | None = None,
        sampler: Literal["surrogate", "solver", "both"] | None = None,
        noise: float | Literal["auto"] = "auto",
        box: Box | None = None,
        kinetics: str | None = None,
        corrected: bool = True,
        chains: int = 4,
        warmup: int | None = None,
        draws: int | None = None,
        level: float = 0.95,
        random_state: int = 0,
    ) -> None:
        self.surrogate = surrogate
        self.sampler = sampler
        self.noise = noise
        self.box = box
        self.kinetics = kinetics
        self.corrected = corrected
        self.chains = chains
        self.warmup = warmup
        self.draws = draws
        self.level = level
        self.random_state = random_state

    def physics(self) -> Cell:
        """The cell whose discharge is expected: the surrogate's where there is one."""
        return self._settings()[1]

    def identify(self, X: Any, y: Any) -> Identifiability:
        """What the curve can tell, without sampling.

        Where the noise is not given, the residuals of the least-squares curve tell it.

        Args:
            X: (n, 1) times, s.
            y: (n,) voltages, V.

        Raises:
            EstimatorInputError: an argument out of range.
            DataError: data that cannot be a discharge of the cell; names the row.
        """
        _, cell, box = self._settings()
        times, voltage = self._data(X, y, cell)
        return self._identify(solver_curves(times, cell), voltage, box)

    def fit(self, X: Any, y: Any) -> Self:
        """Sample the posterior.

        Args:
            X: (n, 1) times, s; an array, or a DataFrame of one column; in any order.
            y: (n,) voltages, V.

        Raises:
            EstimatorInputError: an argument out of range; a surrogate of another box or physics; no
                noise explains the data.
            DataError: data that cannot be a discharge of the cell; names the row.
        """
        surrogate, cell, box = self._settings()
        times, voltage = self._data(X, y, cell)
        exact = solver_curves(times, cell)
        told = self._identify(exact, voltage, box)
        curves = exact
        learnt = None if self.sampler == "solver" else surrogate
        correction = None
        if learnt is not None:
            curves = _on(learnt, times)
            if self.corrected:
                correction = Correction(curves, exact, told)
                curves = _sum(curves, correction)
        sigma, rounds = self._noise(curves, voltage, box)
        settings = {
            name: value
            for name, value in (("warmup", self.warmup), ("draws", self.draws))
            if value is not None
        }
        posteriors: list[Posterior] = []
        if learnt is not None:
            nuts = Nuts(_one(learnt, times, correction), box, self.chains)
            posteriors.append(nuts.draw(voltage, sigma, seed=self.random_state, **settings))
        if learnt is None or self.sampler == "both":
            ensemble = Ensemble(exact, box)
            posteriors.append(ensemble.draw(voltage, sigma, seed=self.random_state, **settings))

        self.cell_, self.box_, self.times_, self.voltage_ = cell, box, times, voltage
        self.identifiability_ = told
        self.posterior_ = posteriors[0]
        self.check_ = posteriors[1] if len(posteriors) == 2 else None
        self.sigma_, self.rounds_ = sigma, rounds
        self.summary_ = self.posterior_.summary(self.level)
        self.parameters_ = self.summary_["estimate"]
        self.standard_errors_ = self.summary_["standard_error"]
        self.intervals_ = self.summary_[["low", "high"]]
        self.surrogate_error_, self.error_left_ = None, None
        if surrogate is not None:
            mean = self.posterior_.mean[None]
            self.surrogate_error_ = (_on(surrogate, times)(mean) - exact(mean))[0]
        if learnt is not None:
            some = self.posterior_.thinned(50)
            self.error_left_ = float(np.abs(curves(some) - exact(some)).mean())
        self.diagnosis_ = [*told.sentences(), *self.posterior_.sentences()]
        if self.check_ is not None and (gaps := self.agreement()).max() > 0.3:
            self.diagnosis_.append(
                f"the surrogate's posterior differs from the solver's by {gaps.max():.2f} of its "
                "standard deviation; believe the solver's"
            )
        return self

    def agreement(self) -> Array:
        """(2,) distance of the two posterior means over the solver's standard deviation.

        Raises:
            EstimatorInputError: only one sampler ran.
        """
        check_is_fitted(self)
        if self.check_ is None:
            raise EstimatorInputError("two samplers are compared after fit with sampler='both'")
        return np.abs(self.posterior_.mean - self.check_.mean) / self.check_.sd

    def predict(self, X: Any) -> Array:
        """(n,) voltages, V: mean over the posterior of the solver's curves.

        Args:
            X: (n, 1) times, s, in any order, to the end of the discharge.
        """
        return self.predict_band(X)["voltage"].to_numpy()

    def predict_band(self, X: Any) -> pd.DataFrame:
        """Posterior predictive, noise included: time, voltage, low, high.

        Args:
            X: (n, 1) times, s, in any order, to the end of the discharge.

        Raises:
            EstimatorInputError: times outside the discharge.
        """
        check_is_fitted(self)
        times = validate_data(self, X, reset=False, dtype=np.float64)[:, 0]
        if not ((times >= 0) & (times <= HORIZON)).all():
            outside = times[(times < 0) | (times > HORIZON)][0]
            raise EstimatorInputError(f"times must lie in [0, {HORIZON:g}] s", got=float(outside))
        curves = solver_curves(times, self.cell_)
        mean, low, high = self.posterior_.band(curves, self.level, self.random_state)
        return pd.DataFrame({"time": times, "voltage": mean, "low": low, "high": high})

    def plot_sensitivity(self) -> Drawing:
        """What one per cent of each parameter does to the voltage."""
        from parsimony.estimate.battery import plots

        check_is_fitted(self)
        return Drawing(plots.sensitivity(self.identifiability_, self.times_))

    def plot_posterior(self) -> Drawing:
        """Draws of both parameters on contours of the likelihood."""
        from parsimony.estimate.battery import plots

        check_is_fitted(self)
        return Drawing(plots.posterior(self))

    def plot_voltage(self) -> Drawing:
        """The data in the band of new points."""
        from parsimony.estimate.battery import plots

        check_is_fitted(self)
        return Drawing(plots.voltage(self))

    def plot_residuals(self) -> Drawing:
        """The data less the predicted mean, in the band of new points."""
        from parsimony.estimate.battery import plots

        check_is_fitted(self)
        return Drawing(plots.residuals(self))

    def as_dict(self) -> dict[str, Any]:
        """What ``fit`` found, ready for JSON; without the draws."""
        check_is_fitted(self)
        told, posterior = self.identifiability_, self.posterior_
        found: dict[str, Any] = {
            "parameters": self.summary_.to_dict(orient="index"),
            "correlation": posterior.correlation,
            "level": self.level,
            "sampler": posterior.sampler,
            "acceptance": posterior.acceptance,
            "divergences": posterior.divergences,
            "seconds": posterior.seconds,
            "noise_V": self.sigma_,
            "noise_rounds": [vars(one) for one in self.rounds_],
            "identifiability": told.as_dict(),
            "points": len(self.times_),
            "diagnosis": self.diagnosis_,
        }
        if self.check_ is not None:
            found["check"] = {
                "sampler": self.check_.sampler,
                "parameters": self.check_.summary(self.level).to_dict(orient="index"),
                "distance_sd": dict(zip(NAMES, self.agreement().tolist(), strict=True)),
            }
        if self.surrogate_error_ is not None:
            size = np.abs(self.surrogate_error_)
            found["surrogate_error_V"] = {
                "mean": float(size.mean()), "max": float(size.max()), "left": self.error_left_,
            }  # fmt: skip
        return found

    def write(self, folder: Path) -> None:
        """Write ``calibration.json``, ``draws.csv`` and ``band.csv``, the manifest last."""
        check_is_fitted(self)
        band = self.predict_band(self._frame(self.times_))
        band.insert(1, "measured", self.voltage_)
        draws = pd.DataFrame(self.posterior_.flat, columns=pd.Index(NAMES))
        artifacts.write_json(folder / "calibration.json", self.as_dict())
        artifacts.write_text(folder / "draws.csv", draws.to_csv(index=False))
        artifacts.write_text(folder / "band.csv", band.to_csv(index=False))
        artifacts.seal(folder)

    # ------------------------------------------------------------------------------------------

    def _frame(self, times: Array) -> Any:
        """Times as ``fit`` got them: with the name of the column where it had one."""
        names = getattr(self, "feature_names_in_", None)
        return times[:, None] if names is None else pd.DataFrame(times[:, None], columns=names)

    def _settings(self) -> tuple[Surrogate | None, Cell, Box]:
        if self.sampler is not None and self.sampler not in SAMPLERS:
            raise EstimatorInputError(
                "unknown sampler", got=self.sampler, hint=nearest(str(self.sampler), SAMPLERS)
            )
        if not 0 < self.level < 1:
            raise EstimatorInputError("the level must lie between 0 and 1", got=self.level)
        surrogate = self.surrogate
        if isinstance(surrogate, str | Path):
            from parsimony.estimate.battery.surrogate import Surrogate

            run = Path(surrogate)
            trained = run / "surrogate"  # where a training leaves it
            surrogate = Surrogate.load(trained if trained.is_dir() else run)
        if surrogate is None:
            if self.sampler in ("surrogate", "both"):
                raise EstimatorInputError(
                    "this sampler needs a trained surrogate", got=self.sampler,
                    hint="Train one: parsimony estimate battery train --out surrogate; or sample "
                    "on the solver",
                )  # fmt: skip
            return None, Cell(kinetics=self.kinetics or "linear"), self.box or Box()
        if self.kinetics not in (None, surrogate.cell.kinetics):
            raise EstimatorInputError(
                f"the surrogate was trained with {surrogate.cell.kinetics} kinetics",
                got=self.kinetics, hint="Train one with the kinetics that are asked for",
            )  # fmt: skip
        box = self.box or surrogate.box
        surrogate.box.check(np.stack([box.low, box.high]))
        if (box.low >= box.high).any():
            raise EstimatorInputError(
                "the surrogate must be trained on a box, not on one point", got=str(surrogate.box),
                hint="Train one on the box, or sample on the solver",
            )  # fmt: skip
        return surrogate, surrogate.cell, box

    def _data(self, X: Any, y: Any, cell: Cell) -> tuple[Array, Array]:
        X = validate_data(self, X, dtype=np.float64, ensure_all_finite=False)
        y = column_or_1d(check_array(y, ensure_2d=False, dtype=np.float64, ensure_all_finite=False))
        check_consistent_length(X, y)
        if X.shape[1] != 1:
            raise EstimatorInputError("X must have one column, the times in seconds", got=X.shape)
        times, voltage, name = X[:, 0], y, "the data"
        if (np.diff(times) < 0).any():
            order = np.argsort(times, kind="stable")
            times, voltage, name = times[order], voltage[order], "the data sorted by time"
        return check(times, voltage, cell, file=name)

    def _identify(self, curves: Curves, voltage: Array, box: Box) -> Identifiability:
        at = least_squares(curves, voltage, box)
        if self.noise == "auto":
            residual = voltage - curves(at[None])[0]
            sigma = max(LEAST, float(np.sqrt((residual**2).sum() / max(1, len(voltage) - 2))))
        else:
            sigma = check_noise(self.noise)
        return identify(curves, at, sigma, box)

    def _noise(self, curves: Curves, voltage: Array, box: Box) -> tuple[float, list[Round]]:
        if self.noise != "auto":
            return check_noise(self.noise), []
        walkers = Ensemble(curves, box, walkers=32)

        def draw(sigma: float) -> Posterior:
            return walkers.draw(voltage, sigma, warmup=8, draws=12, seed=self.random_state)

        return find_noise(draw, curves, voltage)


def _on(surrogate: Surrogate, times: Array) -> Curves:
    """The surrogate's curves of many parameters, in numpy."""

    def curves(parameters: Array) -> Array:
        return surrogate.voltage(parameters, times)

    return curves


def _sum(one: Curves, other: Curves) -> Curves:
    def curves(parameters: Array) -> Array:
        return one(parameters) + other(parameters)

    return curves


def _one(surrogate: Surrogate, times: Array, correction: Correction | None) -> Callable[[Any], Any]:
    """The curve of one pair of parameters, in the library of these."""

    def curve(k: Any) -> Any:
        found = surrogate.curve(k, times)
        return found if correction is None else found + correction(k)

    return curve
