"""Sounds: a folder with one sub-folder per class, or a column of files; read, and checked.

A sound is named by its path or held as the bytes of its file (as Parquet files of ``datasets``
do). Every one is decoded once when it is loaded: a file that cannot be read, or that holds nothing
to learn from, is refused by its name before anything is trained.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from parsimony.core.data.files import is_missing, make_table
from parsimony.core.errors import DataError, require

EXTENSIONS = (".wav", ".flac", ".ogg", ".mp3")
# What a checked table holds of each sound beside the sound itself.
FACTS = ("digest", "samples", "rate", "channels")
_SHORTEST = 0.025  # seconds: one frame of a spectrogram


@dataclass(frozen=True)
class Sound:
    """A decoded sound.

    Attributes:
        samples: mean of the channels, in [-1, 1]; shape (samples,), float32.
        rate: samples per second.
        channels: of the file.
    """

    samples: np.ndarray
    rate: int
    channels: int


def read(sound: str | bytes) -> Sound:
    """Decode a path, or the bytes of a sound file.

    Raises:
        ValueError: it cannot be decoded; the message says why.
        OSError: the file cannot be opened.
    """
    soundfile = require("soundfile", "audio")
    data = sound if isinstance(sound, bytes) else Path(sound).read_bytes()
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise ValueError(error.error_string.rstrip(". ")) from None
    return Sound(samples.mean(1), int(rate), samples.shape[1])


def prepare(values: pd.Series, column: str, file: str) -> pd.DataFrame:
    """Decode and check every sound of a column.

    Args:
        values: paths, relative to the folder that ``file`` is or lies in; or bytes of sound
            files; or objects with ``bytes`` or ``path``, as ``datasets`` writes them.
        column: its name, for errors.
        file: the table they are from, for errors.

    Returns:
        ``audio`` (absolute path, or bytes), ``digest`` (sha256 of the file), ``samples`` (their
        number), ``rate`` (Hz) and ``channels``, with the index of ``values``.

    Raises:
        DataError: a sound that is missing, unreadable, empty, silent, shorter than 25 ms, or with
            samples that are not finite.
    """
    source = Path(file).resolve()
    folder = source if source.is_dir() else source.parent if source.is_file() else Path.cwd()
    return pd.DataFrame(
        [_checked(value, folder, file, int(str(row)), column) for row, value in values.items()],
        index=values.index,
        columns=["audio", *FACTS],
    )


def _checked(
    value: Any, folder: Path, file: str, row: int, column: str
) -> tuple[str | bytes, str, int, int, int]:
    if isinstance(value, Mapping):
        value = value.get("bytes") or value.get("path")
    place: dict[str, Any] = {"file": file, "row": row, "column": column}

    def refusal(rule: str, hint: str = "Repair or remove it") -> DataError:
        return DataError(rule, **place, hint=hint)

    if is_missing(value):
        raise refusal("a sound must not be missing")
    if isinstance(value, str):
        value = str(folder / value)
        table = "" if Path(file).is_dir() else f" of {file}, row {row}"
        place = {"file": f"{value}{table}"}
    elif not isinstance(value, bytes):
        raise refusal("a sound must be a path, or the bytes of a sound file")
    try:
        data = value if isinstance(value, bytes) else Path(value).read_bytes()
        sound = read(data)
    except OSError as error:
        raise refusal(
            f"the sound must be a readable file ({error.strerror})",
            "Paths are relative to the folder of the table",
        ) from None
    except ValueError as error:
        raise refusal(f"the sound must be one that can be decoded ({error})") from None
    if not np.isfinite(sound.samples).all():
        raise refusal("the samples of a sound must be finite numbers")
    if len(sound.samples) < _SHORTEST * sound.rate:
        raise refusal("a sound must be at least 25 ms long")
    if np.ptp(sound.samples) == 0:
        rule = "a sound must not be silent"
        raise refusal(rule if sound.channels == 1 else f"{rule} once its channels are averaged")
    digest = hashlib.sha256(data).hexdigest()
    return value, digest, len(sound.samples), sound.rate, sound.channels


def columns_of(table: pd.DataFrame) -> list[str]:
    """The columns that hold nothing but sounds, by the look of their cells."""
    found = []
    for column in table.columns:
        values = [value for value in table[column] if not is_missing(value)]
        if values and all(map(_looks_like_sound, values)):
            found.append(column)
    return found


def _looks_like_sound(value: Any) -> bool:
    if isinstance(value, Mapping):
        return value.keys() == {"bytes", "path"} and _looks_like_sound(value["path"] or b"")
    if isinstance(value, str):
        return value.lower().endswith(EXTENSIONS)
    return isinstance(value, bytes)


def sounds_below(folder: Path) -> list[Path]:
    """Sound files anywhere below ``folder``, in order; hidden ones are left out."""
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in EXTENSIONS
        and not any(part.startswith(".") for part in file.relative_to(folder).parts)
    )


def read_folder(folder: Path) -> pd.DataFrame:
    """A table of the sounds in the sub-folders: ``audio`` (path) and ``label`` (sub-folder).

    Raises:
        DataError: there is none.
    """
    found = [
        (str(file.resolve()), sub.name)
        for sub in _folders(folder)
        for file in sounds_below(sub)
    ]  # fmt: skip
    if not found:
        raise DataError(
            "a folder of sounds needs a sub-folder with sounds for each class", file=folder,
            hint=f"Known formats: {', '.join(EXTENSIONS)}",
        )  # fmt: skip
    paths, labels = zip(*found, strict=True)
    return make_table({"audio": list(paths), "label": list(labels)}, str(folder))


def list_folder(folder: Path, column: str) -> pd.DataFrame:
    """A table of all sounds below a folder, named by their paths in it.

    Raises:
        DataError: there is none.
    """
    found = [file.relative_to(folder).as_posix() for file in sounds_below(folder)]
    if not found:
        raise DataError(
            "there must be at least one sound", file=folder,
            hint=f"Known formats: {', '.join(EXTENSIONS)}",
        )  # fmt: skip
    return make_table({column: found}, str(folder))


def splits_in(folder: Path, names: Mapping[str, str]) -> dict[str, Path] | None:
    """The folders of a folder of sounds by split, one under ``""`` where there are no splits.

    Args:
        folder: with sounds in ``CLASS/`` or in ``SPLIT/CLASS/``.
        names: split by the name that its folder may have.

    Returns:
        ``None`` when no sub-folder holds a sound.
    """
    filled = [sub for sub in _folders(folder) if sounds_below(sub)]
    if not filled:
        return None
    named = {sub: names.get(sub.name.lower()) for sub in filled}
    if "train" in named.values() and all(named.values()):
        if len(set(named.values())) < len(named):
            raise DataError(
                "a folder of sounds needs one sub-folder for each split", file=folder,
                got=sorted(sub.name for sub in filled),
            )  # fmt: skip
        return {str(split): sub for sub, split in named.items()}
    return {"": folder}


def _folders(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))
