"""The decoder that a ``ModelShape`` describes, or the part of it that one pipeline stage has.

The projections into attention and into the MLP are one matrix each, its rows ordered by heads and
by units, so that equal slices of rows are whole heads and whole units for tensor parallelism, which
then needs one all-reduce for each of attention and MLP in either direction, as the planner counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from parsimony.plan.cluster.model_shape import ModelShape

DEVIATION = 0.02
"""Standard deviation of the matrices at the start, GPT-2's."""

ROTARY_BASE = 10_000.0


class GPT(nn.Module):
    """Layers of a decoder, with the embedding before and the output layer behind them if it has
    the ends.

    Args:
        shape: of the whole model.
        layers: indices of those that it has; parameters keep the names of the whole model.
        first: has the embedding, and takes token ids.
        last: has the final norm and the output layer, and gives logits.
        flash: attention keeps no scores.
        recompute: ``"none"``, ``"selective"`` (attention) or ``"full"`` (whole layers).
    """

    def __init__(
        self,
        shape: ModelShape,
        layers: Iterable[int],
        first: bool = True,
        last: bool = True,
        flash: bool = True,
        recompute: str = "none",
    ) -> None:
        super().__init__()
        self.recompute = recompute
        self.embedding = nn.Embedding(shape.vocabulary, shape.hidden) if first else None
        self.positions = (
            nn.Embedding(shape.positions, shape.hidden) if first and shape.positions else None
        )
        again = recompute == "selective"
        self.blocks = nn.ModuleDict({str(i): Block(shape, flash, again) for i in layers})
        self.norm = _norm(shape) if last else None
        self.output = nn.Linear(shape.hidden, shape.vocabulary, bias=False) if last else None
        self.tied = shape.tied
        self.tie()

    def tie(self) -> None:
        """Let the output layer use the embedding's weight, where both are here."""
        if self.tied and self.embedding is not None and self.output is not None:
            self.output.weight = self.embedding.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (batch, sequence, vocabulary) of the last stage, else (batch, sequence, hidden).

        Args:
            x: token ids (batch, sequence) for the first stage, else what the stage before gave.
        """
        if self.embedding is not None:
            ids, x = x, self.embedding(x)
            if self.positions is not None:
                x = x + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks.values():
            again = self.recompute == "full"
            x = checkpoint(block, x, use_reentrant=False) if again else block(x)
        if self.norm is not None and self.output is not None:
            x = self.output(self.norm(x))
        return x


class Block(nn.Module):
    """Norm, attention, norm, MLP, each pair added to its input."""

    def __init__(self, shape: ModelShape, flash: bool, again: bool) -> None:
        super().__init__()
        self.attention_norm = _norm(shape)
        self.attention = Attention(shape, flash, again)
        self.mlp_norm = _norm(shape)
        self.mlp = MLP(shape)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of (batch, sequence, hidden), the same."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class Attention(nn.Module):
    """Causal attention; rotary positions where the shape has no table of learned ones."""

    def __init__(self, shape: ModelShape, flash: bool, again: bool) -> None:
        super().__init__()
        self._flash, self._again, self._rotary = flash, again, not shape.positions
        groups = shape.kv_heads or shape.heads
        self._width = shape.query_width // shape.heads
        self._queries = shape.heads // groups  # of a group, which shares one key and one value
        rows = shape.query_width + 2 * shape.key_width
        self.qkv = nn.Linear(shape.hidden, rows, bias=shape.biases)
        self.out = nn.Linear(shape.query_width, shape.hidden, bias=shape.biases)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of (batch, sequence, hidden), the same."""
        batch, sequence, _ = x.shape
        grouped = self.qkv(x).view(batch, sequence, -1, self._queries + 2, self._width)
        q, k, v = grouped.split([self._queries, 1, 1], dim=3)
        if self._rotary:
            q, k = _rotate(q), _rotate(k)
        k, v = (part.expand(*q.shape) for part in (k, v))
        q, k, v = (part.flatten(2, 3).transpose(1, 2) for part in (q, k, v))
        attend = self._attend
        mixed = checkpoint(attend, q, k, v, use_reentrant=False) if self._again else attend(q, k, v)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _attend(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        if self._flash:
            return functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        scores = q @ k.transpose(-1, -2) / self._width**0.5
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).triu(1)
        return scores.masked_fill(future, float("-inf")).softmax(-1) @ v


class MLP(nn.Module):
    """Two matrices with GELU; or three, gated by SiLU."""

    def __init__(self, shape: ModelShape) -> None:
        super().__init__()
        self._gated = shape.gated
        rows = (2 if shape.gated else 1) * shape.inner
        self.up = nn.Linear(shape.hidden, rows, bias=shape.biases)
        self.down = nn.Linear(shape.inner, shape.hidden, bias=shape.biases)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of (batch, sequence, hidden), the same."""
        x = self.up(x)
        if self._gated:
            gate, x = x.unflatten(-1, (-1, 2)).unbind(-1)
            return self.down(functional.silu(gate) * x)
        return self.down(functional.gelu(x))


def _norm(shape: ModelShape) -> nn.Module:
    return nn.LayerNorm(shape.hidden) if shape.biases else nn.RMSNorm(shape.hidden, eps=1e-5)


def _rotate(x: torch.Tensor) -> torch.Tensor:
    """Rotary positions (arXiv 2104.09864) of (batch, sequence, groups, heads, width)."""
    half = x.shape[-1] // 2
    powers = torch.arange(half, device=x.device, dtype=torch.float32) / half
    angles = torch.outer(
        torch.arange(x.shape[1], device=x.device, dtype=torch.float32), ROTARY_BASE**-powers
    )[:, None, None]
    left, right = x.float().chunk(2, dim=-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((left * cos - right * sin, right * cos + left * sin), dim=-1).to(x.dtype)


def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the next tokens, in 32 bits.

    Args:
        logits: (batch, sequence, vocabulary), split by vocabulary under tensor parallelism.
        targets: ids (batch, sequence).
    """
    return functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())


def initial(name: str, shape: torch.Size, seed: int) -> torch.Tensor:
    """The values that a parameter starts with; they depend on its name alone, not on the layout.

    Args:
        name: in the whole model.
        shape: of the whole parameter.
        seed: of the run.
    """
    if "norm" in name or name.endswith("bias"):
        return torch.full(shape, float(name.endswith("weight")))
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
    return torch.randn(shape, generator=generator) * DEVIATION
