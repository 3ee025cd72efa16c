"""The log-likelihood of a row and its exact derivatives, in the four linear predictors.

The predictors are a = log phi, b = log lambda, g = log gamma, c = log(kappa+1). Everything goes
through w = log z = gamma (a + log t) and m = kappa + 1 = exp(c). With A = log(1 + z/m):

    L(w, c) = m (exp((m-1) A) - 1)/(m-1)     cumulative hazard H = exp(b) L
    P(w, c) = (m-2) A                        log hazard = b + g + w - log t + P
    Q       = dL/dw = exp(w + P)

A row that had the event (d = 1) or was censored (d = 0) adds d (b + g + w - log t + P) - H. The
derivatives are those of Burke, Jones and Noufaily's likelihood, worked out by hand; a test holds
them against finite differences and against mpmath.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from parsimony.estimate.survival.family import PARAMETERS, Array, growth

First = dict[str, Array]
Second = dict[tuple[str, str], Array]
PAIRS = tuple((p, q) for i, p in enumerate(PARAMETERS) for q in PARAMETERS[i:])


@dataclass(frozen=True)
class Shape:
    """L, P and their derivatives at w and c; those in c only where kappa is fitted."""

    L: Array
    Q: Array
    P: Array
    P_w: Array
    P_ww: Array
    L_c: Array | float = 0.0
    L_cc: Array | float = 0.0
    P_c: Array | float = 0.0
    P_cc: Array | float = 0.0
    P_wc: Array | float = 0.0


def shape_at(w: Array, kappa: float | None, c: Array | float = 0.0) -> Shape:
    """What depends on the second shape.

    Args:
        w: log z, any shape.
        kappa: where it is fixed, infinity allowed; else ``None``.
        c: log(kappa + 1) where it is fitted; one number or as many as ``w``.
    """
    z = np.exp(w)
    if kappa == 1:
        zero = np.zeros_like(z)
        return Shape(z, z, zero, zero, zero)
    if kappa == np.inf:
        return Shape(np.expm1(z), np.exp(w + z), z, z, z)
    m = np.exp(c) if kappa is None else kappa + 1.0
    u = z / m
    A, s = np.log1p(u), u / (1 + u)
    v = s / (1 + u)
    if kappa == 0:
        return Shape(A, s, -A, -s, -v)
    k, n = m - 1, m - 2
    P = n * A
    Q = np.exp(w + P)
    y = k * A
    F = A * growth(y)
    if kappa is not None:
        return Shape(m * F, Q, P, n * s, n * v)
    # F(k, A) = (exp(kA) - 1)/k; A and s move with c as dA/dc = -s, ds/dc = -v.
    e = np.exp(y)
    F_k, F_kk = A**2 * growth(y, 1), A**3 * growth(y, 2)
    F_c = m * F_k - s * e
    F_cc = m * F_k + m**2 * F_kk - 2 * m * s * A * e + v * e + s**2 * k * e
    mA, ms = m * A, m * s
    return Shape(
        L=m * F,
        Q=Q,
        P=P,
        P_w=n * s,
        P_ww=n * v,
        L_c=m * (F + F_c),
        L_cc=m * (F + 2 * F_c + F_cc),
        P_c=mA - n * s,
        P_cc=mA - 2 * ms + n * v,
        P_wc=ms - n * v,
    )


def row_terms(
    log_t: Array, d: Array | float, eta: dict[str, Array | float], kappa: float | None, order: int
) -> tuple[Array, First, Second]:
    """Value and derivatives of d log h - H in the four predictors.

    Args:
        log_t: log times, [n].
        d: 1 for an event, 0 for a row that was censored; 0 throughout gives -H.
        eta: predictors by parameter, numbers or [n]; that of kappa is used where it is fitted.
        kappa: its fixed value, or ``None``.
        order: 0 for the value alone, 1 with the gradient, 2 with the Hessian.
    """
    a, b, g = eta["phi"], eta["lambda"], eta["gamma"]
    gamma = np.exp(g)
    w = gamma * (a + log_t)
    at = shape_at(w, kappa, eta["kappa"])
    scale = np.exp(b)
    H = scale * at.L
    value = d * (b + g + w - log_t + at.P) - H
    if order == 0:
        return value, {}, {}
    Q = scale * at.Q
    f_w = d * (1 + at.P_w) - Q
    first = {"phi": gamma * f_w, "lambda": d - H, "gamma": w * f_w + d}
    if kappa is None:
        first["kappa"] = d * at.P_c - scale * at.L_c
    if order == 1:
        return value, first, {}
    f_ww = d * at.P_ww - Q * (1 + at.P_w)
    w_ww = w * f_ww
    second = {
        ("phi", "phi"): gamma**2 * f_ww,
        ("phi", "lambda"): -gamma * Q,
        ("phi", "gamma"): gamma * (f_w + w_ww),
        ("lambda", "lambda"): -H,
        ("lambda", "gamma"): -w * Q,
        ("gamma", "gamma"): w * (f_w + w_ww),
    }
    if kappa is None:
        f_wc = d * at.P_wc - Q * at.P_c
        second |= {
            ("phi", "kappa"): gamma * f_wc,
            ("lambda", "kappa"): -scale * at.L_c,
            ("gamma", "kappa"): w * f_wc,
            ("kappa", "kappa"): d * at.P_cc - scale * at.L_cc,
        }
    return value, first, second


def interval_terms(
    log_low: Array, log_high: Array, eta: dict[str, Array | float], kappa: float | None, order: int
) -> tuple[Array, First, Second]:
    """The same for log(S(low) - S(high)) = -H(low) + log(1 - exp(-D)), D = H(high) - H(low).

    A row whose event lies before ``high`` has ``log_low`` = -infinity.
    """
    left = np.isneginf(log_low)
    low = row_terms(np.where(left, log_high, log_low), 0.0, eta, kappa, order)
    high = row_terms(log_high, 0.0, eta, kappa, order)
    keep = np.where(left, 0.0, 1.0)
    D = low[0] * keep - high[0]
    value = low[0] * keep + np.log(-np.expm1(-D))
    if order == 0:
        return value, {}, {}
    r = 1 / np.expm1(D)
    apart = {p: low[1][p] * keep - high[1][p] for p in low[1]}
    first = {p: low[1][p] * keep + r * apart[p] for p in low[1]}
    second = {
        pair: low[2][pair] * keep * (1 + r)
        - r * high[2][pair]
        - r * (1 + r) * apart[pair[0]] * apart[pair[1]]
        for pair in low[2]
    }
    return value, first, second
