"""Sounds as spectrograms of a fixed number of frames, for Audio Spectrogram Transformers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import Dataset

from parsimony.core import artifacts, pretrained
from parsimony.core.data import TaskData, audio
from parsimony.core.errors import DataError, InputError, nearest, require
from parsimony.core.inputs.base import Inputs
from parsimony.core.inputs.tokens import keep_table
from parsimony.core.pretrained import Pretrained

if TYPE_CHECKING:
    from transformers import PretrainedConfig

# The feature extractor's frames, in samples at its rate of 16 kHz: 25 ms long, 10 ms apart.
_FRAME, _HOP = 400, 160
_MOSTLY_PADDING = 0.5


class SpectrogramRows(Dataset[dict[str, Any]]):
    """Rows of a split as spectrograms; ``labels`` where they have one.

    Args:
        features: shape (rows, frames, mel bands), float32; may lie in a mapped file.
        labels: class ids; shape (rows,).
    """

    def __init__(self, features: np.ndarray, labels: np.ndarray | None) -> None:
        self._features, self._labels = features, labels

    def __len__(self) -> int:
        return len(self._features)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row: dict[str, Any] = {"input_values": np.array(self._features[index])}
        if self._labels is not None:
            row["labels"] = int(self._labels[index])
        return row


def collate(rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Stack spectrograms of equal length; shape (rows, frames, mel bands)."""
    batch = {"input_values": torch.from_numpy(np.stack([row["input_values"] for row in rows]))}
    if "labels" in rows[0]:
        batch["labels"] = torch.tensor([row["labels"] for row in rows])
    return batch


class SoundInputs(Inputs):
    """Sounds through the checkpoint's feature extractor, resampled and mixed down to suit it."""

    unit = "frames"
    things = "sounds"

    def __init__(self, model: Pretrained) -> None:
        self.processor = pretrained.feature_extractor(model)
        self.collator = collate

    def longest(self, config: PretrainedConfig) -> int:
        """What the checkpoint was trained on; more takes ``--window``."""
        return int(config.max_length)

    def window(
        self, data: TaskData, config: PretrainedConfig, given: int | None
    ) -> tuple[int, list[str]]:
        extractor, table = self.processor, data.splits["train"]
        if extractor.num_mel_bins != config.num_mel_bins:
            raise InputError(
                "the feature extractor must make as many mel bands as the model reads, "
                f"{config.num_mel_bins}",
                got=extractor.num_mel_bins,
                hint="Use the preprocessor_config.json that was saved with these weights",
            )
        frames = sorted(self._frames(table))
        if given is not None:
            if given < config.patch_size:
                raise InputError(
                    f"--window must be at least {config.patch_size} frames for this model",
                    got=given,
                )
            window, source = given, "given"
        else:
            covering = frames[min(len(frames) - 1, int(0.95 * len(frames)))]
            most = self.longest(config)
            window = min(most, max(int(config.patch_size), -(-covering // 10) * 10))
            source = f"default: covers 95 % of the training sounds, at most {most}"
        notices = [f"window: {window} frames of 10 ms ({source})"]
        if window != config.max_length:
            how = "cut from the centre of" if window < config.max_length else "interpolated from"
            notices.append(f"positions: {how} the checkpoint's {config.max_length} frames")
        notices.append(
            f"features: {extractor.num_mel_bins} mel bands, normalised with the checkpoint's mean "
            f"{extractor.mean:.4g} and deviation {extractor.std:.4g}"
            if extractor.do_normalize
            else f"features: {extractor.num_mel_bins} mel bands, not normalised by this checkpoint"
        )
        notices += self._changes(pd.concat(data.splits.values()))
        if longer := sum(length > window for length in frames):
            lost = sum(max(0, length - window) for length in frames) / sum(frames)
            notices.append(
                f"{longer} of {len(frames)} training sounds ({longer / len(frames):.1%}) are "
                f"longer than the window and are cut: {lost:.1%} of all frames"
            )
        padding = 1 - sum(min(length, window) for length in frames) / (window * len(frames))
        if padding > _MOSTLY_PADDING:
            notices.append(f"{padding:.1%} of a batch is padding; a smaller --window is cheaper")
        return window, notices

    def _changes(self, table: pd.DataFrame) -> Iterator[str]:
        """Sentences about what is done to sounds before they become spectrograms."""
        target = self.processor.sampling_rate
        other = table["rate"][table["rate"] != target]
        if len(other):
            rates = ", ".join(f"{rate} Hz" for rate in sorted(set(other)))
            yield f"{len(other)} of {len(table)} sounds are resampled to {target} Hz from {rates}"
        mixed = int((table["channels"] > 1).sum())
        if mixed:
            yield f"{mixed} of {len(table)} sounds have several channels, which are averaged"

    def _frames(self, table: pd.DataFrame) -> list[int]:
        """Frames of each sound after resampling."""
        target = self.processor.sampling_rate
        return [
            1 + (math.ceil(samples * target / rate) - _FRAME) // _HOP
            for samples, rate in zip(table["samples"], table["rate"], strict=True)
        ]

    def keep(self, data: TaskData, folder: Path, window: int) -> dict[str, int]:
        """Write the labels, and the spectrograms in a file that every trial maps."""
        for name, table in data.splits.items():
            keep_table(table[["digest", "label"]], folder / f"{name}.parquet")
            shape = (len(table), window, self.processor.num_mel_bins)
            file = folder / f"{name}.npy"
            temporary = file.with_name(f".{file.name}.tmp")
            mapped = np.lib.format.open_memmap(temporary, "w+", np.float32, shape)
            for row, features in enumerate(self._spectrograms(table, window)):
                mapped[row] = features
            mapped.flush()
            temporary.replace(file)
        artifacts.sync_folder(folder)
        return {name: len(table) for name, table in data.splits.items()}

    def kept(
        self, folder: Path, split: str, window: int, limit: int | None = None
    ) -> SpectrogramRows:
        labels = pd.read_parquet(folder / f"{split}.parquet")["label"].to_numpy()
        features = np.load(folder / f"{split}.npy", mmap_mode="r")
        return SpectrogramRows(features[:limit], labels[:limit])

    def checked(self, rows: pd.DataFrame, columns: list[str], name: str) -> pd.DataFrame:
        column = columns[0]
        if column not in rows:
            raise DataError(
                f"the column '{column}' of sounds must be there",
                file=name,
                hint=nearest(column, map(str, rows.columns)),
            )
        if not len(rows):
            raise DataError("there must be at least one row", file=name)
        return audio.prepare(rows[column], column, name)

    def encode(self, table: pd.DataFrame, window: int) -> SpectrogramRows:
        labels = table["label"].to_numpy() if "label" in table else None
        return SpectrogramRows(np.stack(list(self._spectrograms(table, window))), labels)

    def longer(self, table: pd.DataFrame, window: int) -> int:
        return sum(frames > window for frames in self._frames(table))

    def _spectrograms(self, table: pd.DataFrame, window: int) -> Iterator[np.ndarray]:
        """One per row, shape (window, mel bands): cut or padded at the end."""
        extractor = self.processor
        extractor.max_length = window
        for cell in table["audio"]:
            sound = audio.read(cell)
            samples = resample(sound.samples, sound.rate, extractor.sampling_rate)
            found = extractor(samples, sampling_rate=extractor.sampling_rate, return_tensors="np")
            yield found["input_values"][0]

    def save(self, folder: Path, window: int) -> None:
        self.processor.max_length = window
        super().save(folder, window)

    def example(
        self, config: PretrainedConfig, batch: int, window: int
    ) -> Callable[[], dict[str, torch.Tensor]]:
        def inputs() -> dict[str, torch.Tensor]:
            return {
                "input_values": torch.zeros(batch, window, config.num_mel_bins),
                "labels": torch.zeros(batch, dtype=torch.long),
            }

        return inputs


def resample(samples: np.ndarray, rate: int, target: int) -> np.ndarray:
    """Band-limited resampling; shape (ceil(samples * target / rate),), float32."""
    if rate == target:
        return samples
    common = math.gcd(rate, target)
    found: np.ndarray = require("scipy.signal", "adapt").resample_poly(
        samples, target // common, rate // common
    )
    return found.astype(np.float32)
