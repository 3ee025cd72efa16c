"""Which parameters a voltage curve can tell, before anything is sampled.

With curves V(t; k) and independent normal noise of standard deviation sigma, the Fisher
information is J'J / sigma^2, J the sensitivities dV/dk; the inverse is the covariance that a
posterior has where the curves are nearly straight over its width. They are straight in 1/k1 (the
linear kinetics' overpotential is j R T / (k1 i0)) and nearly so in 1/k2, the resistances; so what
is told is judged there: a standard error of 1/k beside the prior's standard deviation of 1/k. Where
it is far wider, the posterior of k equals its prior.

What it cannot do: it is local, and it knows nothing of errors of the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from parsimony.core.errors import require
from parsimony.estimate.battery.cell import Box

if TYPE_CHECKING:
    import pandas as pd

NAMES = ("k1", "k2")
MEANING = {"k1": "anode exchange current", "k2": "cathode diffusivity"}
"""What the two factors multiply."""
TOLD = 0.5
"""Of ``ratios``: below it the parameter is told."""
SILENT = 2.0
"""Of ``ratios``: above it the parameter is not told; nine tenths of the prior's width stay."""
UNTOLD = 0.9
"""Share of the prior's standard deviation above which a posterior equals its prior."""
_STEP = 1e-3  # of a parameter, for the central difference
_GRID = 9
_DAMPING = (0.0, 1e-3, 1e-1, 1e1, 1e3)

Array = np.ndarray
Curves = Callable[[Array], Array]
"""Voltages (b, n) in V of parameters (b, 2), at times that are fixed."""


@dataclass(frozen=True)
class Identifiability:
    """What the data can tell near one point.

    Attributes:
        at: (2,) k1 and k2.
        sensitivity: (n, 2) dV/dk, V.
        swing: (2,) largest change of the voltage as one parameter crosses the box, V.
        sigma: standard deviation of the noise, V.
        box: of the prior.
    """

    at: Array
    sensitivity: Array
    swing: Array
    sigma: float
    box: Box

    @property
    def fisher(self) -> Array:
        """(2, 2) J'J / sigma^2."""
        return self.sensitivity.T @ self.sensitivity / self.sigma**2

    @property
    def covariance(self) -> Array:
        """(2, 2) inverse of ``fisher``; infinite variances where it has none."""
        values, vectors = np.linalg.eigh(self.fisher)
        if values[0] <= 1e-12 * values[1]:
            return np.diag([np.inf, np.inf])
        return (vectors / values) @ vectors.T

    @property
    def standard_errors(self) -> Array:
        """(2,) of k1 and k2."""
        return np.sqrt(np.diag(self.covariance))

    @property
    def correlation(self) -> float:
        """Of the two estimates; 0 where they have no finite variance."""
        (a, c), (_, b) = self.covariance
        return float(c / np.sqrt(a * b)) if np.isfinite(a) else 0.0

    @property
    def ratios(self) -> Array:
        """(2,) standard error of 1/k over the prior's standard deviation of 1/k."""
        low, high = self.box.low, self.box.high
        mean = np.log(high / low) / (high - low)
        prior = np.sqrt(1 / (low * high) - mean**2)  # of 1/k, where k is uniform
        return self.standard_errors / self.at**2 / prior

    def verdicts(self) -> list[str]:
        """For each parameter: told, weakly told, or not told by the data."""
        return [
            "told" if r < TOLD else "weakly told" if r < SILENT else "not told" for r in self.ratios
        ]

    def table(self) -> pd.DataFrame:
        """One row per parameter: where, sensitivity (rms, V), swing (V), error, verdict."""
        pd = require("pandas", "estimate")
        return pd.DataFrame(
            {
                "at": self.at,
                "sensitivity": np.sqrt((self.sensitivity**2).mean(axis=0)),
                "swing": self.swing,
                "standard_error": self.standard_errors,
                "of_prior": self.ratios,
                "verdict": self.verdicts(),
            },
            index=pd.Index(NAMES, name="parameter"),
        )

    def as_dict(self) -> dict[str, dict[str, float | str | None]]:
        """``table`` ready for JSON: what is infinite is ``None``."""
        return {
            str(name): {
                key: value if isinstance(value, str) or np.isfinite(value) else None
                for key, value in row.items()
            }
            for name, row in self.table().to_dict(orient="index").items()
        }

    def sentences(self) -> list[str]:
        """What must be known before a posterior is believed; empty when both are told."""
        found = []
        for name, verdict, ratio, swing in zip(
            NAMES, self.verdicts(), self.ratios, self.swing, strict=True
        ):
            if verdict != "told":
                found.append(
                    f"{name} ({MEANING[name]}) is {verdict} by this curve: the standard error of "
                    f"1/{name} is {ratio:.2g} of the prior's; over the whole box it moves the "
                    f"voltage by {1e3 * swing:.1f} mV, the noise is {1e3 * self.sigma:.1f} mV"
                )
        if abs(self.correlation) > 0.95:
            found.append(
                f"k1 and k2 are told together, not apart: correlation {self.correlation:.2f}"
            )
        return found


def prior_sd(box: Box) -> Array:
    """(2,) standard deviations of the uniform prior."""
    return (box.high - box.low) / np.sqrt(12)


def sensitivities(curves: Curves, at: Array) -> Array:
    """(n, 2) dV/dk by central differences, in one call; the solver's steps are fixed, so smooth.

    Args:
        curves: voltages of parameters.
        at: (2,) k1 and k2.
    """
    step = np.diag(_STEP * at)
    moved = curves(np.concatenate([at + step, at - step]))
    return ((moved[:2] - moved[2:]) / (2 * _STEP * at)[:, None]).T


def identify(curves: Curves, at: Array, sigma: float, box: Box) -> Identifiability:
    """Sensitivities and information at a point.

    Args:
        curves: voltages of parameters.
        at: (2,) k1 and k2.
        sigma: standard deviation of the noise, V.
        box: of the prior.
    """
    at = np.asarray(at, dtype=np.float64)
    ends = np.tile(at, (4, 1))
    ends[0, 0], ends[1, 0], ends[2, 1], ends[3, 1] = *box.k1, *box.k2
    across = curves(ends)
    swing = np.abs(across[1::2] - across[::2]).max(axis=1)
    return Identifiability(at, sensitivities(curves, at), swing, sigma, box)


def least_squares(curves: Curves, voltage: Array, box: Box, rounds: int = 12) -> Array:
    """(2,) the parameters in the box whose curve is nearest to the data.

    The best of a grid, then damped Gauss-Newton steps; each round tries all dampings in one call.

    Args:
        curves: voltages of parameters.
        voltage: (n,) data, V.
        box: to stay in.
        rounds: of Gauss-Newton.
    """
    sides = [np.geomspace(*side, _GRID) for side in (box.k1, box.k2)]
    grid = np.stack(np.meshgrid(*sides, indexing="ij"), -1).reshape(-1, 2)
    misfit = ((curves(grid) - voltage) ** 2).sum(axis=1)
    best, at = float(misfit.min()), grid[misfit.argmin()]
    for _ in range(rounds):
        slope = sensitivities(curves, at)
        residual = voltage - curves(at[None])[0]
        normal = slope.T @ slope
        steps = [
            np.linalg.lstsq(normal + d * np.diag(np.diag(normal)), slope.T @ residual)[0]
            for d in _DAMPING
        ]
        tried = np.clip(at + np.array(steps), box.low, box.high)
        misfit = ((curves(tried) - voltage) ** 2).sum(axis=1)
        if misfit.min() >= best * (1 - 1e-10):
            break
        best, at = float(misfit.min()), tried[misfit.argmin()]
    return at
