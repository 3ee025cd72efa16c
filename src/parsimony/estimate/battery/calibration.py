"""Bayesian calibration: draws of (k1, k2) given a measured voltage.

Prior uniform on the box, V_i normal around the curve V(t_i; k) with standard deviation sigma. NUTS
(numpyro) draws on the surrogate, which jax differentiates; an ensemble of walkers (emcee) draws on
the solver itself, all walkers in one call, and is the check.

Paper: arXiv 2312.17329, section 2.4 and its repository: target acceptance 0.9, sigma given or by
bisection. What we do differently: the surrogate's own error, which the solver tells on 36 curves
in one call, is taken off (``Correction``); a curve of 100 points tells a shift of a tenth of the
noise, so an error of half the noise would move the posterior by several of its standard deviations.
What it cannot do: noise that is correlated in time, or whose
standard deviation is a parameter.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from parsimony.core.errors import InputError, require
from parsimony.estimate.battery.cell import Box, Cell, namespace
from parsimony.estimate.battery.identifiability import (
    Curves,
    Identifiability,
    identify,
    least_squares,
    prior_sd,
)
from parsimony.estimate.battery.posterior import Posterior
from parsimony.estimate.battery.solver import CELL, solve

Array = np.ndarray

START, LEAST, MOST = 0.01, 0.001, 0.1
"""The bisection of sigma: where it starts, and its ends, V."""
ROUNDS = 5
"""Of the bisection."""
ACCEPTANCE = 0.9
"""NUTS adapts its step to it."""
WALKERS = 64
SIDE = 6
"""Points of a ``Correction`` in each direction."""
_REACH = 5.0  # standard errors to which a correction is known


def solver_curves(times: Array, cell: Cell = CELL) -> Curves:
    """The solver as a function of the parameters alone.

    Args:
        times: (n,) seconds.
        cell: constants, properties and kinetics.
    """

    def curves(parameters: Array) -> Array:
        return solve(parameters, times, cell).voltage

    return curves


class Correction:
    """Exact curves less those of the surrogate, as a function of the parameters.

    It is known on a square of points over the part of the box where the posterior may be, and a
    polynomial in 1/k1 and 1/k2 between them, in which curves bend least.

    Args:
        curves: of the surrogate.
        exact: of the solver.
        told: what the data can tell; it says how far the posterior may reach.
        side: points in each direction, at Chebyshev's places.
    """

    def __init__(
        self, curves: Curves, exact: Curves, told: Identifiability, side: int = SIDE
    ) -> None:
        error = np.minimum(told.standard_errors / told.at**2, 1e3)  # of 1/k
        middle = 1 / told.at
        low = np.maximum(middle - _REACH * error, 1 / told.box.high)
        high = np.minimum(middle + _REACH * error, 1 / told.box.low)
        place = (1 - np.cos(np.pi * (np.arange(side) + 0.5) / side)) / 2
        self.ends = np.stack([low, high], axis=1)
        self.knots = low + (high - low) * place[:, None]
        grid = np.stack(np.meshgrid(*self.knots.T, indexing="ij"), -1).reshape(-1, 2)
        self.gaps = (exact(1 / grid) - curves(1 / grid)).reshape(side, side, -1)

    def __call__(self, k: Any) -> Any:
        """(..., n) V to add at k (..., 2), in the library of k."""
        # Beyond its reach it stays as it is at the end: a polynomial would run away.
        one, other = (
            _lagrange(
                namespace(k).clip(1 / k[..., i : i + 1], *self.ends[i].tolist()), self.knots[:, i]
            )
            for i in (0, 1)
        )
        rows = [sum(b * gap for b, gap in zip(other, row, strict=True)) for row in self.gaps]
        return sum(a * row for a, row in zip(one, rows, strict=True))


def _lagrange(x: Any, knots: Array) -> list[Any]:
    """At x, the polynomials that are 1 at one knot and 0 at the others."""
    found = []
    for i, knot in enumerate(knots.tolist()):
        value: Any = 1.0
        for other in np.delete(knots, i).tolist():
            value = value * ((x - other) / (knot - other))
        found.append(value)
    return found


class Ensemble:
    """Walkers on curves of any kind (emcee), each half proposed from the density of the other.

    With two parameters such proposals are nearly independent of where a walker is.

    Args:
        curves: voltages of parameters.
        box: of the uniform prior.
        walkers: a multiple of 4, at least 8.
        curves_of: what the curves are, for a reader.
    """

    def __init__(
        self, curves: Curves, box: Box, walkers: int = WALKERS, curves_of: str = "the solver"
    ) -> None:
        self.curves, self.box, self.walkers = curves, box, walkers
        self.sampler = f"ensemble on {curves_of}"

    def draw(
        self, voltage: Array, sigma: float, *, warmup: int = 40, draws: int = 160, seed: int = 0
    ) -> Posterior:
        """Sample, from walkers around the least-squares point as wide as the information says.

        Args:
            voltage: (n,) data, V.
            sigma: standard deviation of the noise, V.
            warmup: steps that are thrown away.
            draws: steps of each walker that are kept.
            seed: of everything.
        """
        emcee = require("emcee", "estimate")
        began = time.perf_counter()
        low, high = self.box.low, self.box.high

        def log_posterior(k: Array) -> Array:
            inside = ((k >= low) & (k <= high)).all(axis=1)
            found = np.full(len(k), -np.inf)
            if inside.any():
                residual = (self.curves(k[inside]) - voltage) / sigma
                found[inside] = -0.5 * (residual**2).sum(axis=1)
            return found

        start = starts(self.curves, voltage, sigma, self.box, self.walkers, seed)
        ensemble = emcee.EnsembleSampler(
            self.walkers, 2, log_posterior, vectorize=True, moves=emcee.moves.KDEMove()
        )
        ensemble.random_state = np.random.RandomState(seed).get_state()
        state = ensemble.run_mcmc(start, warmup)
        ensemble.reset()
        ensemble.run_mcmc(state, draws)
        chains = ensemble.get_chain().swapaxes(0, 1)
        acceptance = float(ensemble.acceptance_fraction.mean())
        spent = time.perf_counter() - began
        return Posterior(chains, sigma, self.box, self.sampler, 4, acceptance, 0, spent)


class Nuts:
    """The no-U-turn sampler on curves that jax can differentiate (numpyro).

    Args:
        curves: voltages (n,) of parameters (2,), of jax arrays.
        box: of the uniform prior.
        chains: drawn side by side.
        acceptance: that the step is adapted to, in (0, 1).
    """

    sampler = "NUTS on the surrogate"

    def __init__(
        self,
        curves: Callable[[Any], Any],
        box: Box,
        chains: int = 4,
        acceptance: float = ACCEPTANCE,
    ) -> None:
        self.box, self.chains = box, chains
        jax, numpyro = require("jax", "estimate"), require("numpyro", "estimate")
        infer = require("numpyro.infer", "estimate")
        uniform = numpyro.distributions.Uniform

        def model(voltage: Any, sigma: Any) -> None:
            # Uniform in k is 1/x^2 in x = 1/k, in which the curves are nearly straight.
            x = numpyro.sample("x", uniform(1 / box.high, 1 / box.low).to_event(1))
            numpyro.factor("uniform in k", -2 * jax.numpy.log(x).sum())
            normal = numpyro.distributions.Normal(curves(1 / x), sigma)
            numpyro.sample("V", normal.to_event(1), obs=voltage)

        self._curves = curves
        self._kernel = infer.NUTS(model, target_accept_prob=acceptance, dense_mass=True)

    def draw(
        self, voltage: Array, sigma: float, *, warmup: int = 400, draws: int = 1000, seed: int = 0
    ) -> Posterior:
        """Sample, from points around the least squares twice as wide as the information says.

        From points all over the box a chain may stay where the surrogate has a valley of its own.

        Args:
            voltage: (n,) data, V.
            sigma: standard deviation of the noise, V.
            warmup: steps of each chain in which it adapts, thrown away.
            draws: of each chain.
            seed: of everything.
        """
        jax = require("jax", "estimate")
        infer = require("numpyro.infer", "estimate")
        began = time.perf_counter()
        low, high = 1 / self.box.high, 1 / self.box.low
        start = 1 / starts(self._batched, voltage, 2 * sigma, self.box, self.chains, seed)
        share = (start - low) / (high - low)
        with jax.enable_x64(True):
            mcmc = infer.MCMC(
                self._kernel, num_warmup=warmup, num_samples=draws, num_chains=self.chains,
                chain_method="vectorized", progress_bar=False,
            )  # fmt: skip
            mcmc.run(
                jax.random.key(seed), jax.numpy.asarray(voltage), sigma,
                init_params={"x": jax.numpy.log(share / (1 - share))},
                extra_fields=("accept_prob", "diverging"),
            )  # fmt: skip
            chains = 1 / np.asarray(mcmc.get_samples(group_by_chain=True)["x"])
            extra = mcmc.get_extra_fields()
            acceptance = float(np.mean(extra["accept_prob"]))
            divergences = int(np.sum(extra["diverging"]))
        spent = time.perf_counter() - began
        return Posterior(
            chains, sigma, self.box, self.sampler, self.chains, acceptance, divergences, spent
        )

    def _batched(self, parameters: Array) -> Array:
        return np.stack([np.asarray(self._curves(k)) for k in parameters])


@dataclass(frozen=True)
class Round:
    """One round of the bisection.

    Attributes:
        sigma: that was tried, V.
        inside: whether every curve of the posterior stayed within 2 sigma of the data.
    """

    sigma: float
    inside: bool


def find_noise(
    draw: Callable[[float], Posterior],
    curves: Curves,
    voltage: Array,
    rounds: int = ROUNDS,
) -> tuple[float, list[Round]]:
    """The smallest sigma of the bisection with which the posterior explains the data.

    It starts at 10 mV. Where all curves of the posterior stay within 2 sigma of every point, sigma
    goes half-way down to the smallest that may do, else half-way up to the largest. Since no point
    may lie farther away, it ends above the standard deviation of normal noise: on 100 points near
    1.4 of it.

    Args:
        draw: samples the posterior with a sigma in V.
        curves: voltages of parameters.
        voltage: (n,) data, V.
        rounds: at least 1.

    Raises:
        InputError: no sigma up to 100 mV explains the data.
    """
    low, high, sigma = LEAST, MOST, START
    tried: list[Round] = []
    for _ in range(rounds):
        found = curves(draw(sigma).thinned(100))
        inside = bool((np.abs(found - voltage) <= 2 * sigma).all())
        tried.append(Round(sigma, inside))
        low, high = (low, sigma) if inside else (sigma, high)
        sigma = (low + high) / 2
    explained = [one.sigma for one in tried if one.inside]
    if not explained:
        raise InputError(
            "the model must explain the data within some noise, but no curve of the posterior "
            f"stays within {2e3 * tried[-1].sigma:.0f} mV of every point",
            hint="Check that the data are of this cell at 2C, or give the noise",
        )
    return min(explained), tried


def starts(curves: Curves, voltage: Array, sigma: float, box: Box, count: int, seed: int) -> Array:
    """(count, 2) points inside the box around the least squares, as wide as the information says.

    Args:
        curves: voltages of parameters.
        voltage: (n,) data, V.
        sigma: standard deviation of the noise, V.
        box: of the prior.
        count: how many.
        seed: of the draw.
    """
    told = identify(curves, least_squares(curves, voltage, box), sigma, box)
    spread = np.minimum(told.standard_errors, prior_sd(box))
    k = np.random.default_rng(seed).normal(told.at, spread, (count, 2))
    width = box.high - box.low
    mirrored = np.abs((k - box.low + width) % (2 * width) - width)
    return box.low + np.clip(mirrored, 1e-3 * width, (1 - 1e-3) * width)
