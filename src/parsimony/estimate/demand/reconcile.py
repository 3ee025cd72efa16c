"""Forecasts of all levels made to add up, through hierarchicalforecast.

    y_tilde = S (S' W^-1 S)^-1 S' W^-1 y_hat

``bottom-up`` sums the bottom; ``top-down`` parts the top by mean shares (each bottom series must
have one top); ``ols`` has W = 1; ``mint`` has the shrunk covariance of errors at earlier origins
(Wickramasuriya, Athanasopoulos and Hyndman 2019), or 1 where a node never erred. Series that do not
hang together are reconciled apart, so that a table of thousands of skills is thousands of small
problems. One connected hierarchy of more than 3,000 nodes takes ``ols`` and ``bottom-up``, by
sparse algebra; ``mint`` is refused.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from parsimony.core.errors import InputError, nearest, require
from parsimony.estimate.demand.hierarchy import Hierarchy

METHODS = ("bottom-up", "top-down", "ols", "mint")
_ROUNDING = 1e-10  # of the largest forecast; less than that is 0
DENSE = 3000
"""Most nodes of one connected hierarchy that dense algebra takes."""


def check_method(method: str) -> None:
    """Refuse an unknown name."""
    if method not in METHODS:
        raise InputError(f"unknown reconciliation '{method}'", hint=nearest(method, METHODS))


def reconcile(
    hierarchy: Hierarchy,
    forecasts: np.ndarray,
    method: str,
    actual: np.ndarray,
    fitted: np.ndarray,
) -> np.ndarray:
    """Forecasts that add up.

    Args:
        hierarchy: of the nodes.
        forecasts: shape (nodes, steps).
        method: of ``METHODS``.
        actual, fitted: what happened at earlier origins and what was forecast, shape (nodes, n):
            ``mint`` takes its covariance from them, ``top-down`` its shares.

    Returns:
        shape (nodes, steps).

    Raises:
        InputError: an unknown method, or one that cannot be had for this hierarchy.
    """
    check_method(method)
    peers = require("hierarchicalforecast.methods", "estimate")
    found = np.empty_like(forecasts)
    first_bottom = len(hierarchy.nodes) - hierarchy.bottom
    for nodes in hierarchy.components():
        bottom = nodes[nodes >= first_bottom]
        S = hierarchy.summing[nodes][:, bottom - first_bottom]
        if len(nodes) == 1:  # a series without a level above
            found[nodes] = forecasts[nodes]
        elif len(nodes) > DENSE:
            found[nodes] = _sparse(peers, S, forecasts[nodes], method)
        else:
            found[nodes] = _dense(
                peers, S.toarray(), forecasts[nodes], method, actual[nodes], fitted[nodes]
            )
    # A series without demand keeps a forecast of exactly 0, which SMAPE tells from almost 0.
    bottom = found[first_bottom:]
    bottom[np.abs(bottom) <= _ROUNDING * max(1.0, np.abs(forecasts).max())] = 0
    return hierarchy.aggregate(bottom)


def _dense(
    peers: object, S: np.ndarray, y: np.ndarray, method: str,
    actual: np.ndarray, fitted: np.ndarray,
) -> np.ndarray:  # fmt: skip
    upper = len(S) - S.shape[1]
    if method == "bottom-up":
        return peers.BottomUp().fit_predict(S=S, y_hat=y)["mean"]
    if method == "top-down":
        if not (S[0] == 1).all():
            raise InputError("top-down needs one top above each series", got=f"{upper} upper nodes",
                             hint="Use ols or mint")  # fmt: skip
        # The shares are of what happened; where that is nothing, equal.
        seen = np.where(actual[0].sum() > 0, actual, S @ np.ones((S.shape[1], actual.shape[1])))
        tags = {"top": np.array([0]), "bottom": np.arange(upper, len(S))}
        model = peers.TopDown("average_proportions")
        return model.fit_predict(S=S, y_hat=y, tags=tags, y_insample=_kept(seen))["mean"]
    if method == "ols" or _flat(actual - fitted):
        return peers.MinTrace("ols").fit_predict(S=S, y_hat=y)["mean"]
    model = peers.MinTrace("mint_shrink")
    return model.fit_predict(S=S, y_hat=y, y_insample=actual, y_hat_insample=fitted)["mean"]


def _kept(actual: np.ndarray) -> np.ndarray:
    """Months in which the top is not 0: a share of nothing is undefined."""
    return actual[:, actual[0] > 0]


def _flat(errors: np.ndarray) -> bool:
    """Whether some node never erred, so that its variance is 0 and W has no inverse."""
    return bool((np.ptp(errors, axis=1) <= 1e-9).any())


def _sparse(peers: object, S: sparse.csr_matrix, y: np.ndarray, method: str) -> np.ndarray:
    if method not in ("ols", "bottom-up"):
        raise InputError(f"{method} takes at most {DENSE} nodes that hang together",
                         got=S.shape[0], hint="Use ols or bottom-up, or fewer levels")  # fmt: skip
    model = peers.BottomUpSparse() if method == "bottom-up" else peers.MinTraceSparse("ols")
    return np.asarray(model.fit_predict(S=S, y_hat=y)["mean"])
