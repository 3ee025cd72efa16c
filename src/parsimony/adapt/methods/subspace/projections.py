"""Random projections P from R^d to R^n with columns of length one, drawn from a seed.

``dense``, ``sparse`` and ``fastfood`` are those of Li et al. 2018 (arXiv 1804.08838, section 2 and
appendix S7); fastfood is Le, Sarlos and Smola 2013's, the sparse one Li, Hastie and Church's 2006.

What is ours: ``orthonormal``, whose d = n reaches every point; fastfood's first transform runs on
the d entries alone, as the rest of its input is zero; a sparse column has exactly round(sqrt(m))
entries in a tensor of m rather than that number on average, so its length needs no measuring.
"""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import nn

from parsimony.core.errors import InputError, nearest

_FACTOR = 64  # side of the Hadamard blocks; 32 to 128 were equally fast on a CPU


def hadamard(n: int, like: torch.Tensor) -> torch.Tensor:
    """Sylvester's Hadamard matrix, shape (n, n), n a power of two; dtype and device of ``like``."""
    matrix = like.new_ones(1, 1)
    while len(matrix) < n:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix


def walsh_hadamard(x: torch.Tensor) -> torch.Tensor:
    """H x without forming H, unnormalised; time O(N log N).

    H of size a b is the Kronecker product of those of sizes a and b, so blocks of ``_FACTOR``
    entries are transformed by one matrix product each.

    Args:
        x: shape (N,), N a power of two.

    Raises:
        InputError: another length.
    """
    n = len(x)
    if n & (n - 1) or not n:
        raise InputError("the Walsh-Hadamard transform needs a power of two", got=n)
    rest = n
    while rest > 1:
        side = min(rest, _FACTOR)
        rest //= side
        block = hadamard(side, x)
        # The last block is H x^T for rows of neighbours, written the fast way round.
        y = block @ x.view(-1, side, rest) if rest > 1 else x.view(-1, side) @ block
        x = y.reshape(n)
    return x


class Projection(nn.Module, ABC):
    """y = P v with P of shape (n, d), drawn at the first use from the seed and never stored.

    Args:
        sizes: entries of the tensors that y is made of, in order; n is their sum.
        d: columns.
        seed: decides P, on every device: it is drawn on the CPU.
        part: which part of a larger P this is, where there are several of one seed.
    """

    def __init__(self, sizes: Sequence[int], d: int, seed: int, part: str = "") -> None:
        super().__init__()
        self.sizes, self.n, self.d = tuple(sizes), sum(sizes), d
        digest = hashlib.sha256(f"{seed}/{part}".encode()).digest()
        self._seed = int.from_bytes(digest[:7], "big")

    @abstractmethod
    def draw(self, random: torch.Generator | None, device: str) -> dict[str, torch.Tensor]:
        """The tensors that stand for P; ``random`` is ``None`` on the meta device."""

    @abstractmethod
    def product(self, v: torch.Tensor) -> torch.Tensor:
        """P v from the drawn tensors; shape (n,)."""

    def forward(self, v: torch.Tensor) -> torch.Tensor:
        """P v; shape (n,), in the dtype of ``v``."""
        self.prepare(v)
        return self.product(v)

    def prepare(self, v: torch.Tensor) -> None:
        """Draw P where that has not been done, for use with ``v``."""
        if self._buffers:
            return
        # Not an inference tensor, even where the first use is in inference mode.
        with torch.inference_mode(False), torch.no_grad():
            meta = v.device.type == "meta"
            random = None if meta else torch.Generator("cpu").manual_seed(self._seed)
            for name, drawn in self.draw(random, "meta" if meta else "cpu").items():
                dtype = v.dtype if drawn.is_floating_point() else None
                self.register_buffer(name, drawn.to(v.device, dtype), persistent=False)

    def stored_bytes(self) -> int:
        """Bytes that stand for P in float32."""
        drawn = self.draw(None, "meta").values()
        return sum(tensor.numel() * tensor.element_size() for tensor in drawn)

    def matrix(self) -> torch.Tensor:
        """P itself, shape (n, d), for looking at small ones."""
        return torch.stack([self(row) for row in torch.eye(self.d)], dim=1)


class Dense(Projection):
    """Normal entries, each column divided by its length; memory and time O(n d)."""

    P: torch.Tensor

    def draw(self, random: torch.Generator | None, device: str) -> dict[str, torch.Tensor]:
        entries = torch.randn(self.n, self.d, generator=random, device=device)
        return {"P": entries.div_(torch.linalg.vector_norm(entries, dim=0))}

    def product(self, v: torch.Tensor) -> torch.Tensor:
        return self.P @ v


class Orthonormal(Dense):
    """Orthonormal columns, uniform among all such; d at most n. Drawing them takes O(n d^2)."""

    def draw(self, random: torch.Generator | None, device: str) -> dict[str, torch.Tensor]:
        columns, upper = torch.linalg.qr(
            torch.randn(self.n, self.d, generator=random, device=device)
        )
        return {"P": columns * upper.diagonal().sign()}  # without it, not uniform


class Sparse(Projection):
    """round(sqrt(m)) entries of either sign a column in a tensor of m; O(d sqrt(n)).

    All entries of a tensor have one size, with which it gets its share m / n of the square of the
    column's length, as it does of a dense one on average.
    """

    rows: torch.Tensor
    values: torch.Tensor

    def draw(self, random: torch.Generator | None, device: str) -> dict[str, torch.Tensor]:
        rows, sizes, offset = [], [], 0
        for m in self.sizes:
            count = round(math.sqrt(m))
            # One entry in each of ``count`` stretches of nearly equal length.
            edges = torch.arange(count + 1, device=device) * m // count
            drawn = torch.rand(count, self.d, generator=random, device=device)
            within = (drawn * edges.diff()[:, None]).long()
            rows.append((offset + edges[:-1, None] + within).int())
            sizes.append(torch.full((count, 1), math.sqrt(m / (count * self.n)), device=device))
            offset += m
        where = torch.cat(rows)
        signs = torch.rand(where.shape, generator=random, device=device) < 0.5
        size = torch.cat(sizes)
        return {"rows": where.flatten(), "values": torch.where(signs, size, -size)}

    def product(self, v: torch.Tensor) -> torch.Tensor:
        found = v.new_zeros(self.n)
        return found.index_add(0, self.rows, (self.values * v).flatten())


class Fastfood(Projection):
    """H (g * (H (b * v))[pi]) scaled, for N = 2^ceil(log2 n); memory O(n), time O(n log n).

    b: signs; pi: a permutation of N; g: normal, all drawn once. Columns are of length one on
    average: the first n of the N entries are used.
    """

    signs: torch.Tensor
    places: torch.Tensor
    normal: torch.Tensor

    def draw(self, random: torch.Generator | None, device: str) -> dict[str, torch.Tensor]:
        whole, few = _power_of_two(max(self.n, self.d)), _power_of_two(self.d)
        signs = torch.randint(2, (few,), generator=random, device=device) * 2.0 - 1
        # H of a vector that is zero but for its first ``few`` entries repeats with that period.
        places = torch.randperm(whole, generator=random, device=device).remainder_(few).int()
        normal = torch.randn(whole, generator=random, device=device)
        length = torch.linalg.vector_norm(normal) * math.sqrt(self.n)  # sqrt(N) sqrt(n / N)
        return {"signs": signs, "places": places, "normal": normal.div_(length)}

    def product(self, v: torch.Tensor) -> torch.Tensor:
        padded = nn.functional.pad(v, (0, len(self.signs) - self.d))
        inner = walsh_hadamard(self.signs * padded)
        return walsh_hadamard(self.normal * inner.index_select(0, self.places))[: self.n]


PROJECTIONS: dict[str, type[Projection]] = {
    "dense": Dense,
    "sparse": Sparse,
    "fastfood": Fastfood,
    "orthonormal": Orthonormal,
}


def projection(
    kind: str, sizes: Sequence[int], d: int, seed: int = 0, part: str = ""
) -> Projection:
    """A projection by the name of its kind; see ``Projection``."""
    return PROJECTIONS[known(kind)](sizes, d, seed, part)


def known(kind: str) -> str:
    """``kind``, where there is such a projection.

    Raises:
        InputError: there is none; the nearest is named.
    """
    if kind not in PROJECTIONS:
        raise InputError("unknown projection", got=kind, hint=nearest(kind, PROJECTIONS))
    return kind


def check_dimension(d: int, total: int) -> None:
    """Refuse a d that is no dimension of a subspace of R^total.

    Raises:
        InputError: naming both.
    """
    if not 1 <= d <= total:
        raise InputError(f"d must be 1 to D = {total}, the number of values it moves", got=d)


def _power_of_two(n: int) -> int:
    """The least power of two that is at least ``n``."""
    return 1 << (n - 1).bit_length()
