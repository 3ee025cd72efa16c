"""From sounds to batches: windows, resampling, spectrograms. docs/audio.md runs the rest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from parsimony.core import inputs, pretrained
from parsimony.core.data import audio, load, sounds
from parsimony.core.errors import DataError, InputError
from parsimony.core.inputs.sound import resample
from parsimony.testing import tiny_audio


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_audio.write(tmp_path_factory.mktemp("sound") / "ast")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_audio.write_sounds(tmp_path_factory.mktemp("sound") / "sounds", per_class=10)


def of(model: Path) -> inputs.Inputs:
    return inputs.of(pretrained.find(str(model)), "audio-classification")


def test_the_window_covers_the_sounds_and_says_so(model: Path, folder: Path) -> None:
    reads, data = of(model), load(str(folder))
    config = pretrained.config(pretrained.find(str(model)), data.task, data.labels)
    window, said = reads.window(data, config, None)
    assert window == tiny_audio.FRAMES
    assert (
        said[0]
        == "window: 40 frames of 10 ms (default: covers 95 % of the training sounds, at most 40)"
    )
    window, said = reads.window(data, config, 20)
    assert window == 20
    assert "positions: cut from the centre of the checkpoint's 40 frames" in said
    assert any(s.startswith("18 of 18 training sounds (100.0%) are longer") for s in said)
    assert (
        "positions: interpolated from the checkpoint's 40 frames"
        in reads.window(data, config, 80)[1]
    )
    with pytest.raises(InputError, match="--window must be at least 16 frames"):
        reads.window(data, config, 15)


def test_other_rates_and_channels_are_said(model: Path, tmp_path: Path) -> None:
    made = sounds.make("tone", 1, seconds=0.4)
    cells = [sounds.wav(made, 8_000), sounds.wav(np.stack([made, made / 2], axis=1))]
    table = audio.prepare(pd.Series(cells, index=[1, 2]), "clip", "t")
    said = list(of(model)._changes(table))  # type: ignore[attr-defined]
    assert said == [
        "1 of 2 sounds are resampled to 16000 Hz from 8000 Hz",
        "1 of 2 sounds have several channels, which are averaged",
    ]


def test_resampling_keeps_a_tone() -> None:
    seconds = np.arange(8_000) / 8_000
    up = resample(np.sin(2 * np.pi * 440 * seconds).astype(np.float32), 8_000, 16_000)
    expected = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    assert up.dtype == np.float32
    assert np.abs(up - expected)[500:-500].max() < 1e-2


def test_kept_spectrograms_are_those_of_the_rows(model: Path, folder: Path, tmp_path: Path) -> None:
    reads, data = of(model), load(str(folder))
    reads.keep(data, tmp_path, 30)
    kept = reads.kept(tmp_path, "test", 30)
    fresh = reads.encode(data.splits["test"], 30)
    assert len(kept) == len(fresh) == len(data.splits["test"])
    assert np.array_equal(kept[1]["input_values"], fresh[1]["input_values"])
    assert kept[1]["labels"] == fresh[1]["labels"]
    assert len(reads.kept(tmp_path, "test", 30, limit=2)) == 2
    batch = reads.collator([kept[0], kept[1]])
    assert batch["input_values"].shape == (2, 30, tiny_audio.MELS)


def test_a_missing_column_is_named(model: Path) -> None:
    with pytest.raises(DataError) as error:
        of(model).checked(pd.DataFrame({"clips": ["a.wav"]}, index=[1]), ["clip"], "t.csv")
    assert "the column 'clip' of sounds must be there" in str(error.value)
    assert "Did you mean 'clips'" in str(error.value)


def test_a_text_model_and_a_text_folder_are_refused_for_sounds(
    tmp_path: Path, folder: Path
) -> None:
    from parsimony.testing import tiny

    text = pretrained.find(str(tiny.write(tmp_path / "bert")))
    with pytest.raises(InputError, match="needs its preprocessor_config"):
        inputs.of(text, "audio-classification")
    with pytest.raises(InputError, match="needs an Audio Spectrogram Transformer, but got 'bert'"):
        pretrained.config(text, "audio-classification")
