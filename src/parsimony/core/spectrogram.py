"""The Audio Spectrogram Transformer's geometry, and its positions for clips of another length.

T frames of M mel bands are cut into patches of P x P, ``frequency_stride`` and ``time_stride``
apart: ((M - P) // f + 1) x ((T - P) // t + 1) tokens, behind two special ones (Gong et al. 2021,
arXiv 2104.01778).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from parsimony.core.errors import InputError, nearest

if TYPE_CHECKING:
    from transformers import ASTConfig, PreTrainedModel

SPECIAL_TOKENS = 2  # class and distillation
POSITIONS = ("pretrained", "official_zero")


def grid(config: ASTConfig, frames: int | None = None) -> tuple[int, int]:
    """(frequency, time) patches of ``frames``, or of the config's own ``max_length``."""
    patch = config.patch_size
    assert isinstance(patch, int)
    frames = config.max_length if frames is None else frames
    return (
        (config.num_mel_bins - patch) // config.frequency_stride + 1,
        (frames - patch) // config.time_stride + 1,
    )


def fit_positions(table: torch.Tensor, old: tuple[int, int], time: int) -> torch.Tensor:
    """Positions for another number of time patches.

    The centre is cut out for shorter clips, and longer ones are interpolated along time, as when
    the image transformer's table was first carried over to sound (Gong et al. 2021, section 2.2).

    Args:
        table: positions of the special tokens, then of the patches; shape
            (1, 2 + frequency * time, width).
        old: (frequency, time) patches of ``table``.
        time: patches along time that are wanted.

    Returns:
        shape (1, 2 + frequency * ``time``, width).
    """
    special, patches = table[:, :SPECIAL_TOKENS], table[:, SPECIAL_TOKENS:]
    image = patches.transpose(1, 2).reshape(1, -1, *old)  # (1, width, frequency, time)
    if time <= old[1]:
        start = (old[1] - time) // 2
        image = image[..., start : start + time]
    else:
        image = nn.functional.interpolate(image, (old[0], time), mode="bilinear")
    return torch.cat([special, image.flatten(2).transpose(1, 2)], dim=1).contiguous()


def set_frames(model: PreTrainedModel, frames: int, positions: str = "pretrained") -> None:
    """Make a model take spectrograms of ``frames`` frames, in place.

    Args:
        model: an ``ASTModel`` or ``ASTForAudioClassification``.
        frames: at least the size of a patch.
        positions: ``"pretrained"`` fits the table the model has (see ``fit_positions``);
            ``"official_zero"`` is for ablation: all zeros, which is what loading a checkpoint with
            another ``max_length`` and ``ignore_mismatched_sizes=True`` leaves.

    Raises:
        InputError: fewer frames than a patch has; an unknown kind of positions.
    """
    if positions not in POSITIONS:
        raise InputError("unknown positions", got=positions, hint=nearest(positions, POSITIONS))
    config: Any = model.config
    if frames < config.patch_size:
        raise InputError(f"a spectrogram needs at least {config.patch_size} frames", got=frames)
    old, new = grid(config), grid(config, frames)
    embeddings: Any = model.base_model.embeddings
    table = embeddings.position_embeddings
    fitted = fit_positions(table.detach(), old, new[1])
    if positions == "official_zero":
        fitted = torch.zeros_like(fitted)
    embeddings.position_embeddings = nn.Parameter(fitted, requires_grad=table.requires_grad)
    config.max_length = frames
