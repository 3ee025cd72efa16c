"""Draws of (k1, k2) given a voltage curve: what they say, and whether they can be believed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from parsimony.core.errors import require
from parsimony.estimate.battery.cell import Box
from parsimony.estimate.battery.identifiability import MEANING, NAMES, UNTOLD, Curves, prior_sd

if TYPE_CHECKING:
    import pandas as pd

Array = np.ndarray

R_HAT = 1.01
"""Above this the chains have not mixed (Vehtari et al. 2021)."""
ESS = 400.0
"""Independent draws without which an interval's ends are rough (the same)."""
_CURVES = 400  # draws whose curves are solved for a band


@dataclass(frozen=True)
class Posterior:
    """The draws of one sampler.

    Attributes:
        draws: (chains, draws, 2) k1 and k2; the walkers of an ensemble count as chains.
        sigma: standard deviation of the noise, V.
        box: of the uniform prior.
        sampler: what drew them.
        groups: into which the chains are taken for r-hat, a divisor of their number.
        acceptance: mean share of accepted proposals.
        divergences: transitions that left the path; 0 for a sampler that has none.
        seconds: that it took.
    """

    draws: Array
    sigma: float
    box: Box
    sampler: str
    groups: int
    acceptance: float
    divergences: int
    seconds: float

    @property
    def flat(self) -> Array:
        """(chains x draws, 2)."""
        return self.draws.reshape(-1, 2)

    @property
    def mean(self) -> Array:
        """(2,)."""
        return self.flat.mean(axis=0)

    @property
    def sd(self) -> Array:
        """(2,) standard deviations."""
        return self.flat.std(axis=0, ddof=1)

    @property
    def correlation(self) -> float:
        """Of k1 and k2."""
        return float(np.corrcoef(self.flat.T)[0, 1])

    @property
    def r_hat(self) -> Array:
        """(2,) split r-hat of the groups: many short chains, taken together (Margossian 2024)."""
        diagnostics = require("numpyro.diagnostics", "estimate")
        steps = self.draws.shape[1]
        grouped = self.draws.reshape(self.groups, -1, steps, 2).swapaxes(1, 2)
        return np.asarray(diagnostics.split_gelman_rubin(grouped.reshape(self.groups, -1, 2)))

    @property
    def ess(self) -> Array:
        """(2,) effective sample sizes."""
        diagnostics = require("numpyro.diagnostics", "estimate")
        return np.asarray(diagnostics.effective_sample_size(self.draws))

    def interval(self, level: float = 0.95) -> Array:
        """(2, 2) equal-tailed: row by parameter, low and high."""
        tail = (1 - level) / 2
        return np.quantile(self.flat, [tail, 1 - tail], axis=0).T

    def summary(self, level: float = 0.95) -> pd.DataFrame:
        """One row per parameter: estimate (mean), standard error, low, high, r-hat, ess.

        Args:
            level: of the interval, in (0, 1).
        """
        pd = require("pandas", "estimate")
        low, high = self.interval(level).T
        return pd.DataFrame(
            {
                "estimate": self.mean,
                "standard_error": self.sd,
                "low": low,
                "high": high,
                "r_hat": self.r_hat,
                "ess": self.ess,
                "prior_sd": prior_sd(self.box),
            },
            index=pd.Index(NAMES, name="parameter"),
        )

    def sentences(self) -> list[str]:
        """What speaks against it: chains that disagree, few draws, a posterior like the prior."""
        found = []
        worst = float(self.r_hat.max())
        if not worst <= R_HAT:
            found.append(
                f"the chains have not mixed: r-hat {worst:.3f} is above {R_HAT}; draw more"
            )
        if not self.ess.min() >= ESS:
            found.append(f"only {self.ess.min():.0f} independent draws, fewer than {ESS:.0f}")
        if self.divergences:
            found.append(f"{self.divergences} transitions diverged; raise the target acceptance")
        for name, sd, prior in zip(NAMES, self.sd, prior_sd(self.box), strict=True):
            if sd > UNTOLD * prior:
                found.append(
                    f"the posterior of {name} ({MEANING[name]}) equals its prior: standard "
                    f"deviation {sd:.3g} of {prior:.3g}; the data do not tell it"
                )
        edges = self._edges()
        if edges:
            found.append(f"the posterior is cut off by the box at {', '.join(edges)}")
        return found

    def _edges(self) -> list[str]:
        """Ends of the box with more draws beside them than a tenth of an even share allows."""
        found = []
        for i, name in enumerate(NAMES):
            low, high = self.box.low[i], self.box.high[i]
            if self.sd[i] > UNTOLD * prior_sd(self.box)[i]:
                continue  # said already
            near = 0.25 * self.sd[i]
            for end, beside in (
                (low, self.flat[:, i] < low + near),
                (high, self.flat[:, i] > high - near),
            ):
                if beside.mean() > 0.05:
                    found.append(f"{name} = {end:g}")
        return found

    def thinned(self, count: int = _CURVES) -> Array:
        """(at most count, 2) draws, evenly taken."""
        return self.flat[:: max(1, len(self.flat) // count)][:count]

    def moved(self, curves: Curves, other: Curves, voltage: Array, count: int = _CURVES) -> Array:
        """(2,) by how many standard deviations the mean moves under other curves.

        The draws are weighted by the ratio of the likelihoods, so the others need no sampler.

        Args:
            curves: that the draws are of.
            other: to compare with.
            voltage: (n,) data, V.
            count: draws that are used.
        """
        k = self.thinned(count)
        ours, theirs = (((f(k) - voltage) ** 2).sum(axis=1) for f in (curves, other))
        logs = (ours - theirs) / (2 * self.sigma**2)
        weights = np.exp(logs - logs.max())
        return np.abs(weights @ k / weights.sum() - k.mean(axis=0)) / self.sd

    def band(
        self, curves: Curves, level: float = 0.95, seed: int = 0
    ) -> tuple[Array, Array, Array]:
        """Posterior predictive: (mean, low, high), each (n,) V; new data lie between.

        Args:
            curves: voltages of parameters at the times that are asked for.
            level: of the band, in (0, 1).
            seed: of the noise.
        """
        found = curves(self.thinned())
        noisy = found + np.random.default_rng(seed).normal(0, self.sigma, found.shape)
        tail = (1 - level) / 2
        low, high = np.quantile(noisy, [tail, 1 - tail], axis=0)
        return found.mean(axis=0), low, high
