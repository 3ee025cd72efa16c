"""Masked-diffusion language model: text is written by filling masks, in any order.

A stack of Llama's blocks without a causal mask and without a time step reads a text in which some
tokens are one mask token, and predicts what they were. Training draws how many are masked; writing
starts from masks alone and keeps the most confident predictions, step by step. Its loss is an upper
bound of the negative log-likelihood, never a perplexity beside an autoregressive model's.

Source: Nie et al. 2025, Large Language Diffusion Models (LLaDA), arXiv 2502.09992. What Dream adds
(logits that fill the next position) is not supported.
"""

from parsimony.models.masked_diffusion.likelihood import Bound, bound, log_likelihood
from parsimony.models.masked_diffusion.model import (
    MaskedDiffusionConfig,
    MaskedDiffusionLM,
    MaskedDiffusionModel,
    check_bidirectional,
)
from parsimony.models.masked_diffusion.noise import diffusion_loss, draw_masks
from parsimony.models.masked_diffusion.sampling import Sampling, sample, transfer_schedule

__all__ = [
    "Bound",
    "MaskedDiffusionConfig",
    "MaskedDiffusionLM",
    "MaskedDiffusionModel",
    "Sampling",
    "bound",
    "check_bidirectional",
    "diffusion_loss",
    "draw_masks",
    "log_likelihood",
    "sample",
    "transfer_schedule",
]
