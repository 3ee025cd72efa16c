"""Sounds are found, decoded and checked before anything is trained; bad ones are named."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from parsimony.core.data import audio, load, sounds
from parsimony.core.errors import DataError, InputError
from parsimony.testing import tiny_audio

TONE = sounds.make("tone", 0)[:1600]


def write(file: Path, samples: np.ndarray = TONE, rate: int = 16_000) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, samples, rate)
    return file


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_every_known_format_is_decoded(tmp_path: Path, suffix: str) -> None:
    sound = audio.read(str(write(tmp_path / f"a{suffix}")))
    assert (sound.rate, sound.channels, sound.samples.dtype) == (16_000, 1, np.float32)
    assert abs(len(sound.samples) - len(TONE)) <= (2500 if suffix == ".mp3" else 0)


def test_channels_are_averaged(tmp_path: Path) -> None:
    left, right = TONE, np.zeros_like(TONE)
    sound = audio.read(str(write(tmp_path / "a.wav", np.stack([left, right], axis=1))))
    assert sound.channels == 2
    assert np.allclose(sound.samples, left / 2, atol=1e-4)


def test_a_file_and_its_bytes_are_the_same_sound(tmp_path: Path) -> None:
    file = write(tmp_path / "a.wav")
    cells = pd.Series(
        ["a.wav", file.read_bytes(), {"bytes": None, "path": "a.wav"}], index=[1, 2, 3]
    )
    found = audio.prepare(cells, "clip", str(tmp_path))
    assert found["digest"].nunique() == 1
    assert found["samples"].tolist() == [len(TONE)] * 3


BAD = {
    "missing": (None,
                "TABLE, row 1, column 'clip': a sound must not be missing. Repair or remove it"),
    "a number": (7, "TABLE, row 1, column 'clip': a sound must be a path, or the bytes of a sound "
                 "file. Repair or remove it"),
    "absent": ("no.wav",
               "FOLDER/no.wav of TABLE, row 1: the sound must be a readable file (No such "
               "file or directory). Paths are relative to the folder of the table"),
    "no sound": (b"text", "TABLE, row 1, column 'clip': the sound must be one that can be decoded "
                 "(Format not recognised). Repair or remove it"),
    "silent": (sounds.wav(np.zeros(800)),
               "TABLE, row 1, column 'clip': a sound must not be silent. "
               "Repair or remove it"),
    "silent together": (
        sounds.wav(np.stack([TONE, -TONE], axis=1)),
        "TABLE, row 1, column 'clip': a sound must not be silent once its channels are averaged. "
        "Repair or remove it",
    ),
    "short": (sounds.wav(TONE[:300]), "TABLE, row 1, column 'clip': a sound must be at least 25 ms "
              "long. Repair or remove it"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_a_bad_sound_is_named_in_one_line(tmp_path: Path, what: str) -> None:
    cell, text = BAD[what]
    table = tmp_path / "t.csv"
    table.write_text("clip,kind\n")
    with pytest.raises(DataError) as error:
        audio.prepare(pd.Series([cell], index=[1]), "clip", str(table))
    said = str(error.value).replace(str(table), "TABLE").replace(str(tmp_path), "FOLDER")
    assert said == text


def test_samples_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    broken = TONE.astype(np.float32)
    broken[5] = np.nan
    soundfile.write(stream, broken, 16_000, format="WAV", subtype="FLOAT")
    with pytest.raises(DataError, match="the samples of a sound must be finite numbers"):
        audio.prepare(pd.Series([stream.getvalue()], index=[1]), "clip", "t")


def test_a_folder_of_classes_is_a_data_set(tmp_path: Path) -> None:
    tiny_audio.write_sounds(tmp_path / "s", ("tone", "clicks"), per_class=10)
    (tmp_path / "s" / ".hidden").mkdir()
    data = load(str(tmp_path / "s"))
    assert (data.task, data.labels) == ("audio-classification", ("clicks", "tone"))
    assert sum(map(len, data.splits.values())) == 20
    for name, rows in data.splits.items():
        assert set(rows["label"]) == {0, 1}, name


def test_a_moved_folder_has_the_same_fingerprint(tmp_path: Path) -> None:
    tiny_audio.write_sounds(tmp_path / "s", ("tone", "clicks"), per_class=6)
    before = load(str(tmp_path / "s")).fingerprint
    shutil.move(tmp_path / "s", tmp_path / "t")
    assert load(str(tmp_path / "t")).fingerprint == before


def test_splits_of_a_folder_are_kept(tmp_path: Path) -> None:
    for split, count in (("train", 8), ("test", 4)):
        tiny_audio.write_sounds(tmp_path / "s" / split, ("tone", "clicks"), count)
    data = load(str(tmp_path / "s"))
    assert len(data.splits["test"]) == 8
    assert len(data.splits["train"]) + len(data.splits["validation"]) == 16


def test_a_table_of_paths_is_understood(tmp_path: Path) -> None:
    tiny_audio.write_sounds(tmp_path, ("tone", "clicks"), per_class=6)
    rows = [f"{kind}/{n}.wav,{kind}" for kind in ("tone", "clicks") for n in range(6)]
    (tmp_path / "t.csv").write_text("\n".join(["clip,kind", *rows]) + "\n")
    data = load(str(tmp_path / "t.csv"))
    assert (data.task, data.text, data.label) == ("audio-classification", ("clip",), "kind")
    assert "The sounds are in column 'clip'; pass --text to choose another." in data.notices


def test_a_folder_without_sounds_and_a_task_for_texts_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty" / "class").mkdir(parents=True)
    with pytest.raises(DataError, match="A folder of sounds needs a sub-folder for each class"):
        load(str(tmp_path / "empty"))
    tiny_audio.write_sounds(tmp_path / "s", ("tone", "clicks"), per_class=3)
    with pytest.raises(InputError, match="a folder of sounds has its classes in its sub-folders"):
        load(str(tmp_path / "s"), task="text-classification")


def test_generated_sounds_are_the_same_every_time_and_differ_by_class() -> None:
    for kind in sounds.CLASSES:
        assert np.abs(sounds.make(kind, 0, seconds=0.4)).max() > 0.19
        one, again, other = (sounds.make(kind, seed) for seed in (3, 3, 4))
        assert np.array_equal(one, again)
        assert not np.array_equal(one, other)
        assert 0.19 <= np.abs(one).max() <= 0.81
    with pytest.raises(InputError, match=r"lasts at least 0\.4 seconds, but got 0\.3"):
        sounds.make("tone", 0, seconds=0.3)
    # A chirp upwards ends higher than it begins.
    halves = np.split(sounds.make("chirp-up", 0), 2)
    low, high = (np.abs(np.fft.rfft(half)).argmax() for half in halves)
    assert low < high


def test_real_speech_makes_a_data_set(tmp_path: Path) -> None:
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    for word in ("seven", "stop"):
        (tmp_path / "s" / word).mkdir(parents=True)
        for speed in range(120, 220, 10):
            file = tmp_path / "s" / word / f"{speed}.wav"
            subprocess.run(["espeak-ng", "-s", str(speed), "-w", str(file), word], check=True)
    data = load(str(tmp_path / "s"))
    assert data.labels == ("seven", "stop")
    assert set(data.splits["train"]["rate"]) == {22_050}  # to be resampled
