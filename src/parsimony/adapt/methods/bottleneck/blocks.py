"""What an adapter computes between the two widths: dense, conformer and convpass blocks.

Every block maps hidden states of width d to an update of the same width through a bottleneck of
width k. Its last projection starts at zero, so that the model starts unchanged; the first never
does, since two zero factors would give each other no gradient.
"""

from __future__ import annotations

import warnings
from typing import ClassVar

import torch
from torch import nn
from torch.nn import functional
from transformers.activations import ACT2FN

from parsimony.core.errors import InputError


class Dense(nn.Module):
    """up(act(down(h))); 2 d k + d + k parameters (Houlsby et al. 2019, arXiv 1902.00751, fig. 2).

    Args:
        d: width of the hidden states.
        k: width of the bottleneck.
        activation: a name that transformers knows.
        bias: both projections have one.
    """

    activation: ClassVar[str] = "gelu"

    def __init__(self, d: int, k: int, activation: str, bias: bool = True) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(d, k, bias), nn.Linear(k, d, bias)
        self.act = ACT2FN[activation]

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """h: (..., d) -> (..., d)."""
        update: torch.Tensor = self.up(self.act(self.down(h)))
        return update


class Convpass(Dense):
    """up(act(conv(act(down(h))))), the convolution over 3 tokens; 3 k^2 + k more than ``Dense``.

    Jie and Deng 2022 (arXiv 2207.07039), with one axis of tokens as in Cappellazzo et al. 2024
    (arXiv 2402.00828). The papers drop out before the last projection, this adapter at its input.
    """

    activation: ClassVar[str] = "quick_gelu"

    def __init__(self, d: int, k: int, activation: str, bias: bool = True) -> None:
        super().__init__(d, k, activation, bias)
        self.conv = nn.Conv1d(k, k, 3)

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """h: (..., tokens, d) -> (..., tokens, d)."""
        rows = _along_tokens(self.act(self.down(h)))
        mixed = self.act(_same(self.conv, rows))
        update: torch.Tensor = self.up(_along_width(mixed, h))
        return update


class Conformer(nn.Module):
    """up(SiLU(norm(depthwise(GLU(down(LayerNorm(h))))))) (Cappellazzo et al. 2024, 2312.03694).

    2 d + 2 (d k + k) + k kernel + k + 2 k + k d + d parameters: the convolution module of
    Gulati et al. 2020 (arXiv 2005.08100) between widths d and k.

    Args:
        d: width of the hidden states.
        k: width of the bottleneck.
        activation: after the inner normalisation.
        kernel: tokens that the depthwise convolution spans.
        norm: ``"batch"`` or ``"group"`` (one group: no statistics over the batch).
    """

    activation: ClassVar[str] = "silu"

    def __init__(self, d: int, k: int, activation: str, kernel: int, norm: str) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(d)
        self.down, self.up = nn.Linear(d, 2 * k), nn.Linear(k, d)
        self.conv = nn.Conv1d(k, k, kernel, groups=k)
        self.norm_mid = nn.BatchNorm1d(k) if norm == "batch" else nn.GroupNorm(1, k)
        self.act = ACT2FN[activation]

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """h: (..., tokens, d) -> (..., tokens, d).

        A batch of one has no statistics worth keeping: batch normalisation uses the running ones.

        Raises:
            InputError: fewer tokens than the kernel spans.
        """
        if h.shape[-2] < self.conv.kernel_size[0]:
            raise InputError(
                "the conformer adapter's kernel must not span more tokens than there are",
                got={"kernel": self.conv.kernel_size[0], "tokens": h.shape[-2]},
                hint="Lower kernel, or give longer inputs",
            )
        rows = _along_tokens(functional.glu(self.down(self.norm_in(h)), dim=-1))
        mixed = self.act(self._normalise(_same(self.conv, rows)))
        update: torch.Tensor = self.up(_along_width(mixed, h))
        return update

    def _normalise(self, rows: torch.Tensor) -> torch.Tensor:
        norm = self.norm_mid
        if isinstance(norm, nn.BatchNorm1d) and self.training and len(rows) == 1:
            warnings.warn(
                "a batch of one: the conformer adapter normalises with its running statistics; "
                "norm='group' needs none",
                stacklevel=2,
            )
            return functional.batch_norm(
                rows, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
            )
        normalised: torch.Tensor = norm(rows)
        return normalised


class Scaled(nn.Module):
    """c * block(h) with a trained factor c per channel, one at the start.

    Steitz and Roth 2024, Adapter+ (arXiv 2406.06820); d parameters more than the block.
    """

    def __init__(self, block: nn.Module, d: int) -> None:
        super().__init__()
        self.block = block
        self.channel = nn.Parameter(torch.ones(d))

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        """h: (..., d) -> (..., d)."""
        update: torch.Tensor = self.channel * self.block(h)
        return update


def _along_tokens(h: torch.Tensor) -> torch.Tensor:
    """(..., tokens, k) -> (rows, k, tokens)."""
    return h.reshape(-1, *h.shape[-2:]).transpose(1, 2)


def _along_width(rows: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
    """(rows, k, tokens) -> (..., tokens, k), leading sizes as those of ``h``."""
    return rows.transpose(1, 2).contiguous().view(*h.shape[:-1], -1)


def _same(conv: nn.Conv1d, rows: torch.Tensor) -> torch.Tensor:
    """The convolution with as many tokens out as in, for even kernels too."""
    kernel = conv.kernel_size[0]
    padded: torch.Tensor = conv(functional.pad(rows, ((kernel - 1) // 2, kernel // 2)))
    return padded


@torch.no_grad()
def start(block: Dense | Conformer, init: str) -> None:
    """Draw the initial projections.

    Args:
        block: changed in place; only its two projections.
        init: ``"zero-up"``: Xavier-uniform down, zero up, zero biases; ``"houlsby"``: both normal
            with deviation 0.01, cut at two deviations, zero biases (Houlsby et al. 2019, section
            3.6), which starts near the unchanged model, not at it.
    """
    for layer in (block.down, block.up):
        if init == "houlsby":
            nn.init.trunc_normal_(layer.weight, std=0.01, a=-0.02, b=0.02)
        elif layer is block.down:
            nn.init.xavier_uniform_(layer.weight)
        else:
            nn.init.zeros_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
