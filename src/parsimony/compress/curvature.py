"""What SparseGPT and GPTQ solve with: the Cholesky factor of a layer's inverse Hessian."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

DAMPING = 0.01
_MOST_DAMPING = 10.0


@dataclass(frozen=True)
class Factor:
    """U with U^T U = (H + damping * mean(diag H) * I)^-1.

    Attributes:
        upper: U, [width, width], upper triangular.
        dead: inputs that were never other than zero, bool [width]; nothing is lost with them.
        damping: as it was needed: ten times more until the matrix was positive definite.
    """

    upper: Tensor
    dead: Tensor
    damping: float


def inverse_factor(hessian: Tensor, damping: float = DAMPING) -> Factor | None:
    """Factorise; dead inputs get a curvature of 1 (Frantar and Alistarh 2023, arXiv 2301.00774).

    Args:
        hessian: [width, width], symmetric.
        damping: share of the mean of the diagonal that is added to it.

    Returns:
        ``None`` where no damping up to 10 makes it positive definite (not a number in it).
    """
    dead = hessian.diagonal() == 0
    prepared = hessian + torch.diag(dead.to(hessian.dtype))
    mean = prepared.diagonal().mean()
    identity = torch.eye(len(prepared), dtype=prepared.dtype, device=prepared.device)
    while damping <= _MOST_DAMPING:
        lower, failed = torch.linalg.cholesky_ex(prepared + damping * mean * identity)
        if not failed:
            upper, failed = torch.linalg.cholesky_ex(torch.cholesky_inverse(lower), upper=True)
            if not failed and upper.isfinite().all():
                return Factor(upper, dead, damping)
        damping *= 10
    return None
