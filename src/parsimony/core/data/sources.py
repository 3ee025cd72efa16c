"""Turn what the user names into tables: a file, a folder, a built-in, or a hub data set."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from parsimony.core.data import audio
from parsimony.core.data.builtins import BUILTINS, Builtin, builtin_names
from parsimony.core.data.columns import Columns
from parsimony.core.data.files import from_arrow, is_data_file, make_table, read_table
from parsimony.core.errors import DataError, InputError, nearest, require

WHOLE = "all"  # the one split of a source that has none of its own

_SPLIT_NAMES = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(:[\w.-]+)?")
_DATASET_MARKERS = ("dataset_dict.json", "dataset_info.json")


@dataclass(frozen=True)
class Source:
    """Tables as they lie, before anything is chosen or checked.

    Attributes:
        name: what notices and results call it.
        tables: ``{"all": table}``, or the source's own splits, ``"train"`` among them.
        files: the file (or ``name:split``) of each table, for errors.
        notices: splits that were left out.
        builtin: set when the source is built in; its columns and task are then known.
        columns: set for a folder of sounds, where they are known too.
    """

    name: str
    tables: dict[str, pd.DataFrame]
    files: dict[str, str]
    notices: tuple[str, ...] = ()
    builtin: Builtin | None = None
    columns: Columns | None = None


def open_source(source: str | Path, *, allow_network: bool) -> Source:
    """Read a source. A built-in's name wins over a path (write ``./digits`` for a folder).

    Raises:
        DataError: nothing there, or unreadable content.
        InputError: a hub name while the network is not allowed, or a data set that cannot be had.
    """
    if isinstance(source, str) and source in BUILTINS:
        builtin = BUILTINS[source]()
        return Source(source, {WHOLE: builtin.table}, {WHOLE: source}, builtin=builtin)
    path = Path(source).expanduser()
    if path.is_dir():
        if any((path / marker).is_file() for marker in _DATASET_MARKERS):
            return _open_saved(path)
        return _open_folder(path)
    if path.exists():
        return Source(path.name, {WHOLE: read_table(path)}, {WHOLE: str(path)})
    if _is_hub_name(str(source), path):
        return _open_hub(str(source), allow_network)
    raise _not_found(str(source), path)


def _is_hub_name(source: str, path: Path) -> bool:
    # A path with a typing error must not reach the network.
    looks_local = is_data_file(path) or path.parent.is_dir()
    return _HUB_NAME.fullmatch(source) is not None and not looks_local


def _not_found(source: str, path: Path) -> DataError:
    folder = path.parent
    beside = [
        f for f in (folder.iterdir() if folder.is_dir() else ()) if f.is_dir() or is_data_file(f)
    ]
    names = [file.name for file in beside if not file.name.startswith(".")]
    close = difflib.get_close_matches(path.name, names, n=5, cutoff=0.5)
    known = [str(folder / name) for name in close] + list(builtin_names())
    return DataError("there is no such file or data set", file=source, hint=nearest(source, known))


def _open_folder(path: Path) -> Source:
    """A folder with one file per split, such as ``train.csv`` and ``test.csv``."""
    found: dict[str, Path] = {}
    for file in sorted(path.iterdir()):
        split = _SPLIT_NAMES.get(file.stem.lower())
        if split is None or not is_data_file(file):
            continue
        if split in found:
            raise DataError(
                f"a folder needs one file for each split, but '{found[split].name}' and "
                f"'{file.name}' are both the {split} split",
                file=path,
            )
        found[split] = file
    if "train" not in found and (parts := audio.splits_in(path, _SPLIT_NAMES)) is not None:
        return _open_sounds(path, parts)
    if "train" not in found:
        names = sorted(file.name for file in path.iterdir() if is_data_file(file))
        raise DataError(
            "a folder needs a train file, such as train.csv, with validation and test optional",
            file=path,
            hint=f"Data files in it: {', '.join(names)}; pass one of them by its path"
            if names
            else "A folder of sounds needs a sub-folder for each class",
        )
    tables = {split: read_table(file) for split, file in found.items()}
    files = {split: str(file) for split, file in found.items()}
    return _with_splits(path.resolve().name, tables, files)


def _open_sounds(path: Path, parts: dict[str, Path]) -> Source:
    """A folder with sounds in one sub-folder per class, in splits or not."""
    tables = {split or "train": audio.read_folder(folder) for split, folder in parts.items()}
    files = {split or "train": str(folder) for split, folder in parts.items()}
    known = Columns("audio-classification", ("audio",), "label", notices=())
    return replace(_with_splits(path.resolve().name, tables, files), columns=known)


def _open_saved(path: Path) -> Source:
    """A folder that ``datasets`` wrote with ``save_to_disk``."""
    datasets = require("datasets", "adapt")
    try:
        loaded = datasets.load_from_disk(str(path))
    except Exception as error:  # whatever is wrong inside, it is the folder that is unreadable
        raise DataError(f"not a readable datasets folder ({error})", file=path) from error
    return _from_datasets(path.resolve().name, str(path), loaded)


def _open_hub(name: str, allow_network: bool) -> Source:
    """``owner/name`` or ``owner/name:configuration`` from the hub."""
    if not allow_network:
        raise InputError(
            f"the data set '{name}' is on the hub, and this run may not use the network",
            hint="Download it and pass its path",
        )
    datasets = require("datasets", "adapt")
    repository, _, configuration = name.partition(":")
    try:
        loaded = datasets.load_dataset(repository, configuration or None)
    except Exception as error:  # many kinds, all of them: not there, not reachable, not readable
        reason = str(error).strip().partition("\n")[0]
        raise InputError(
            f"the data set '{name}' cannot be loaded from the hub ({reason})",
            hint="Check the name and the connection, or pass a file; "
            "a configuration is written owner/name:configuration",
        ) from error
    return _from_datasets(name, name, loaded)


def _from_datasets(name: str, place: str, loaded: Any) -> Source:
    if not isinstance(loaded, Mapping):
        return Source(name, {WHOLE: _from_dataset(loaded, place)}, {WHOLE: place})
    tables: dict[str, pd.DataFrame] = {}
    files: dict[str, str] = {}
    ignored = []
    for key, dataset in loaded.items():
        split = _SPLIT_NAMES.get(key.lower())
        if split is None or split in tables:
            ignored.append(key)
            continue
        files[split] = f"{place}:{key}"
        tables[split] = _from_dataset(dataset, files[split])
    if "train" not in tables:
        raise DataError(
            "a data set with splits needs a train split", file=place, got=sorted(loaded)
        )
    notices = (f"Splits left out: {', '.join(ignored)}.",) if ignored else ()
    return _with_splits(name, tables, files, notices)


def _from_dataset(dataset: Any, place: str) -> pd.DataFrame:
    """Class ids become class names; the id -1, which marks a missing label, becomes ``None``."""
    class_label = require("datasets", "adapt").ClassLabel
    table = from_arrow(dataset.with_format("arrow")[:], place)
    columns = {column: table[column].tolist() for column in table.columns}
    for column, feature in dataset.features.items():
        if isinstance(feature, class_label):
            names = feature.names
            columns[column] = [
                names[value] if value is not None and value >= 0 else None
                for value in columns[column]
            ]
    return make_table(columns, place)


def _with_splits(
    name: str,
    tables: dict[str, pd.DataFrame],
    files: dict[str, str],
    notices: tuple[str, ...] = (),
) -> Source:
    if set(tables) == {"train"}:
        return Source(name, {WHOLE: tables["train"]}, {WHOLE: files["train"]}, notices)
    return Source(name, tables, files, notices)
