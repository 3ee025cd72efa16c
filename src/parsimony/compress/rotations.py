"""Orthogonal matrices in float64: Hadamard's where there is one, else Haar's."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


def has_hadamard(size: int) -> bool:
    """Whether ``hadamard`` knows a matrix of this size."""
    return size == 1 or (size % 2 == 0 and (has_hadamard(size // 2) or _paley(size) > 0))


def hadamard(size: int) -> Tensor | None:
    """A matrix of plus and minus 1/sqrt(size) with orthonormal rows, [size, size].

    By doubling (Sylvester) from the smallest known factor, and Paley's two constructions for
    those: size - 1 a prime 3 mod 4, or size / 2 - 1 a prime 1 mod 4.

    Returns:
        ``None`` where these give none.
    """
    return _signs(size) / math.sqrt(size) if has_hadamard(size) else None


def _paley(size: int) -> int:
    """Which of Paley's constructions gives a matrix of an even size; 0 for none."""
    if size % 4 == 0 and _prime(size - 1):
        return 1
    return 2 if size % 8 == 4 and _prime(size // 2 - 1) else 0


def _signs(size: int) -> Tensor:
    if size == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    pair = torch.tensor([[1, 1], [1, -1]], dtype=torch.float64)
    if has_hadamard(size // 2):
        return torch.kron(pair, _signs(size // 2))
    if _paley(size) == 1:
        return torch.eye(size, dtype=torch.float64) + _conference(size - 1, -1)
    eye = torch.eye(size // 2, dtype=torch.float64)
    other = torch.tensor([[1, -1], [-1, -1]], dtype=torch.float64)
    return torch.kron(_conference(size // 2 - 1, 1), pair) + torch.kron(eye, other)


def _conference(prime: int, sign: int) -> Tensor:
    """Quadratic residues of differences, bordered by ones and ``sign``."""
    squares = {i * i % prime for i in range(1, prime)}
    row = torch.tensor([0] + [1 if i in squares else -1 for i in range(1, prime)])
    index = torch.arange(prime)
    made = torch.zeros(prime + 1, prime + 1, dtype=torch.float64)
    made[1:, 1:] = row[(index[:, None] - index) % prime].double()
    made[0, 1:], made[1:, 0] = 1, sign
    return made


def _prime(number: int) -> bool:
    return number > 1 and all(number % d for d in range(2, math.isqrt(number) + 1))


def haar(size: int, generator: torch.Generator) -> Tensor:
    """A rotation or reflection drawn evenly from all, [size, size] (Mezzadri 2007)."""
    normal = torch.randn(size, size, dtype=torch.float64, generator=generator)
    q, r = torch.linalg.qr(normal)
    return q * r.diagonal().sign()


def spread(size: int, generator: torch.Generator) -> Tensor:
    """A Hadamard matrix with rows of random sign where there is one, else Haar's, [size, size]."""
    known = hadamard(size)
    if known is None:
        return haar(size, generator)
    signs = torch.randint(0, 2, (size, 1), generator=generator) * 2 - 1
    return known * signs


@dataclass(frozen=True, eq=False)
class Rotated:
    """A forward pre-hook that multiplies a layer's input by ``rotation``, [width, width]."""

    rotation: Tensor

    def __call__(self, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        x = args[0]
        return x @ self.rotation.to(x), *args[1:]
