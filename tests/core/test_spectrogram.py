"""Positions of Audio Spectrogram Transformers for clips of another length."""

from __future__ import annotations

import pytest
import torch
from transformers import ASTConfig, ASTModel

from parsimony.core import spectrogram
from parsimony.core.errors import InputError
from parsimony.testing import tiny_audio


@pytest.mark.parametrize(("frames", "tokens"), [(1024, 1214), (500, 590), (400, 470), (100, 110)])
def test_the_published_model_has_the_published_tokens(frames: int, tokens: int) -> None:
    frequency, time = spectrogram.grid(ASTConfig(), frames)
    assert frequency * time + spectrogram.SPECIAL_TOKENS == tokens
    with torch.device("meta"):
        table = ASTModel(ASTConfig(max_length=frames)).embeddings.position_embeddings
    assert table.shape[1] == tokens


def table(frequency: int, time: int) -> torch.Tensor:
    """Position f + i t in the only channel; the special ones are -1."""
    image = torch.arange(frequency)[:, None] * 10.0 + torch.arange(time)
    return torch.cat([torch.full((2,), -1.0), image.flatten()])[None, :, None]


def test_a_shorter_clip_gets_the_centre() -> None:
    fitted = spectrogram.fit_positions(table(3, 7), (3, 7), 3)
    assert fitted[0, :2, 0].tolist() == [-1, -1]
    assert fitted[0, 2:, 0].tolist() == [2, 3, 4, 12, 13, 14, 22, 23, 24]


def test_a_longer_clip_is_interpolated_and_keeps_its_order() -> None:
    fitted = spectrogram.fit_positions(table(2, 4), (2, 4), 9)[0, 2:, 0].view(2, 9)
    assert (fitted.diff(dim=1) >= 0).all()
    assert torch.allclose(fitted[1] - fitted[0], torch.tensor(10.0))


def test_as_many_patches_are_left_alone() -> None:
    assert torch.equal(spectrogram.fit_positions(table(2, 4), (2, 4), 4), table(2, 4))


def test_a_model_takes_the_new_length_and_zeros_are_only_on_request() -> None:
    model = ASTModel(tiny_audio.config()).eval()
    torch.nn.init.normal_(model.embeddings.position_embeddings)
    spectrogram.set_frames(model, 60)
    assert model(torch.zeros(1, 60, tiny_audio.MELS)).last_hidden_state.isfinite().all()
    assert model.embeddings.position_embeddings.any()
    spectrogram.set_frames(model, 60, "official_zero")
    assert not model.embeddings.position_embeddings.any()


def test_too_few_frames_and_unknown_positions_are_refused() -> None:
    model = ASTModel(tiny_audio.config())
    with pytest.raises(InputError, match="a spectrogram needs at least 16 frames, but got 15"):
        spectrogram.set_frames(model, 15)
    with pytest.raises(InputError, match=r"unknown positions.*Did you mean 'official_zero'"):
        spectrogram.set_frames(model, 20, "oficial_zero")
