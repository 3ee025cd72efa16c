"""The Kaplan family: loss from parameters, steps, batch size and tokens, one law at a time.

N counts parameters without embeddings, S optimizer steps, B tokens per step; the loss is in nats
per token (Kaplan et al. 2020, arXiv 2001.08361; Su et al. 2024, arXiv 2403.06563). ``curves`` has
the loss at any batch size and the inverse questions, ``procedure`` the fit in four steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from parsimony.core.fitting import Law, PowerSum
from parsimony.core.fitting.law import Array, Columns
from parsimony.plan.losses import LossLaw

_SOURCE = "Kaplan et al. 2020, arXiv 2001.08361"


class KaplanSize(LossLaw, PowerSum):
    """Loss of converged models. The search sees k = alpha_N log N_c, in which it is a line."""

    name = "kaplan-size"
    formula = "L = (N_c / N)^alpha_N"
    source = _SOURCE
    columns = ("N",)
    parameters = ("k", "alpha_N")
    positive = ("alpha_N",)
    delta = float("inf")
    terms = (("k", {"N": "alpha_N"}),)

    def starts(self, x: Columns, y: Array) -> Array:
        return np.array([[2.0, 0.1]])

    def constants(self, theta: Array) -> dict[str, Array]:
        k, alpha = theta[..., 0], theta[..., 1]
        return {"N_c": np.exp(k / alpha), "alpha_N": alpha}


class KaplanSteps(LossLaw, PowerSum):
    """Loss after S_min steps of a batch far above critical. Hold k and alpha_N: all four at once
    are told apart on large sets only.
    """

    name = "kaplan-steps"
    formula = "L = (N_c / N)^alpha_N + (S_c / S_min)^alpha_S"
    source = _SOURCE
    columns = ("N", "S_min")
    parameters = ("k", "alpha_N", "s", "alpha_S")
    positive = ("alpha_N", "alpha_S")
    reach: ClassVar[Mapping[str, float]] = {"N": 1000.0, "S_min": 1000.0}
    terms = (("k", {"N": "alpha_N"}), ("s", {"S_min": "alpha_S"}))

    def starts(self, x: Columns, y: Array) -> Array:
        return np.array(list(itertools.product((2.0, 3.0), (0.05, 0.1), (2.0, 5.0), (0.4, 0.8))))

    def constants(self, theta: Array) -> dict[str, Array]:
        k, alpha_n, s, alpha_s = np.moveaxis(theta, -1, 0)
        return {"N_c": np.exp(k / alpha_n), "alpha_N": alpha_n, "S_c": np.exp(s / alpha_s),
                "alpha_S": alpha_s}  # fmt: skip


class KaplanData(LossLaw):
    """Loss of N parameters on a corpus of D tokens.

    In logs: alpha_D log(exp((k - alpha_N log N) / alpha_D) + exp(d - log D)), with
    k = alpha_N log N_c and d = log D_c.
    """

    name = "kaplan-data"
    formula = "L = [(N_c / N)^(alpha_N / alpha_D) + D_c / D]^alpha_D"
    source = _SOURCE
    columns = ("N", "D")
    parameters = ("k", "alpha_N", "d", "alpha_D")
    positive = ("alpha_N", "alpha_D")

    def evaluate(self, theta: Array, x: Columns) -> tuple[Array, Array]:
        k, alpha_n, d, alpha_d = np.moveaxis(theta, -1, 0)[..., None]
        log_n, log_d = np.log(x["N"]), np.log(x["D"])
        size, tokens = (k - alpha_n * log_n) / alpha_d, d - log_d
        total = np.logaddexp(size, tokens)
        share = np.exp(size - total)  # of the term in N
        slopes = (share, -share * log_n, alpha_d * (1 - share), total - share * size)
        gradient = np.stack(np.broadcast_arrays(*slopes), axis=-2)
        return np.asarray(alpha_d * total), gradient

    def starts(self, x: Columns, y: Array) -> Array:
        return np.array(list(itertools.product((2.0, 3.0), (0.05, 0.1), (27.0, 31.0), (0.08, 0.3))))

    def constants(self, theta: Array) -> dict[str, Array]:
        k, alpha_n, d, alpha_d = np.moveaxis(theta, -1, 0)
        return {"N_c": np.exp(k / alpha_n), "alpha_N": alpha_n, "D_c": np.exp(d),
                "alpha_D": alpha_d}  # fmt: skip


class KaplanBatch(PowerSum):
    """Critical batch size in tokens at a loss. The search sees log B_star and 1 / alpha_B."""

    name = "kaplan-batch"
    formula = "B_crit = B_star / L^(1 / alpha_B)"
    source = _SOURCE
    columns = ("loss",)
    target = "B_crit"
    parameters = ("b", "steepness")
    positive = ("steepness",)
    delta = float("inf")
    terms = (("b", {"loss": "steepness"}),)

    def starts(self, x: Columns, y: Array) -> Array:
        return np.array([[15.0, 5.0]])

    def constants(self, theta: Array) -> dict[str, Array]:
        return {"B_star": np.exp(theta[..., 0]), "alpha_B": 1 / theta[..., 1]}


class KaplanTradeoff(Law):
    """Steps to one loss at several batch sizes: ``(S/S_min - 1)(E/E_min - 1) = 1``, E = B S."""

    name = "kaplan-tradeoff"
    formula = "S = S_min (1 + B_crit / B)"
    source = _SOURCE
    columns = ("B",)
    target = "S"
    parameters = ("s", "c")
    delta = float("inf")

    def evaluate(self, theta: Array, x: Columns) -> tuple[Array, Array]:
        slowed = theta[..., 1, None] - np.log(x["B"])
        value = theta[..., 0, None] + np.logaddexp(0, slowed)
        slopes = np.broadcast_arrays(np.ones_like(value), 1 / (1 + np.exp(-slowed)))
        return value, np.stack(slopes, axis=-2)

    def starts(self, x: Columns, y: Array) -> Array:
        middle = float(np.median(np.log(x["B"])))
        return np.array([[y.min(), middle - 3], [y.min(), middle], [y.min() - 2, middle + 3]])

    def constants(self, theta: Array) -> dict[str, Array]:
        return {"S_min": np.exp(theta[..., 0]), "B_crit": np.exp(theta[..., 1])}
