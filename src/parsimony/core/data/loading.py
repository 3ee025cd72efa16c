"""``load``: from a name to checked, split, fingerprinted data."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pandas as pd

from parsimony.core.data.check import prepare
from parsimony.core.data.columns import Columns, choose
from parsimony.core.data.files import is_missing
from parsimony.core.data.sources import WHOLE, Source, open_source
from parsimony.core.data.splits import cut, sample
from parsimony.core.data.taskdata import SPLITS, Task, TaskData, fingerprint, row_keys
from parsimony.core.errors import DataError, InputError, nearest

# The cells that tell rows apart (of a sound, its content), and those that go with them.
_CELLS = ("text", "text_pair", "messages", "features", "digest", "label")
_KEPT = (*_CELLS, "audio", "samples", "rate", "channels")


def load(
    source: str | Path,
    *,
    text: str | None = None,
    label: str | None = None,
    task: Task | None = None,
    seed: int = 0,
    limit: int | None = None,
    allow_network: bool = True,
) -> TaskData:
    """Read, check and split a data set.

    A source without splits of its own loses identical rows, then is split 60/20/20, each class
    on its own. A source with train and test only has a fifth of train cut off for validation
    (and likewise for a missing test); its rows are kept as they are, and duplicates are reported.
    Neither splits nor fingerprint depend on the order of the rows; each split is in the order of
    its rows' hashes, which mixes classes.

    Args:
        source: a CSV, TSV, JSONL, JSON or Parquet file; a folder with train, validation and test
            files; a folder with a sub-folder of sounds for each class; a folder written by
            ``datasets``; a built-in name (a string); or a hub name (``owner/name``,
            ``owner/name:configuration``), the only one that uses the network.
        text: the text column, or two with a comma between, or the column of sounds (paths
            relative to the table); found when not given.
        label: the label column; found when not given.
        task: found from the columns when not given.
        seed: decides splits and subsample.
        limit: keep this many rows in all, classes in proportion; own splits in proportion too.
        allow_network: refuse hub names when false.

    Raises:
        DataError: bad content; names file, row and column.
        InputError: arguments that do not fit the data, or each other.
    """
    if limit is not None and limit < 1:
        raise InputError("a limit must be a positive whole number", got=limit)
    found = open_source(source, allow_network=allow_network)
    columns = _choose(found, text, label, task)
    found, unlabelled = _leave_unlabelled(found, columns)
    tables, blank = _prepare(found, columns)
    notices = [*found.notices, *columns.notices, *unlabelled, *blank]

    whole = WHOLE in tables
    if whole:
        tables[WHOLE], dropped = _deduplicate(tables[WHOLE])
        notices += dropped
    tables = {name: _in_content_order(table) for name, table in tables.items()}
    by_class = columns.task.endswith("classification")
    if by_class:
        _check_classes(tables, found, str(columns.label))
    if limit is not None:
        tables = _limit(tables, limit, seed=seed, by_class=by_class)
    tables = _split(tables, found, seed=seed, by_class=by_class, notices=notices)
    notices += _overlaps(tables, columns, own_splits=not whole)

    keys = {name: row_keys(table, _cells(table)) for name, table in tables.items()}
    labels = _class_names(tables["train"]) if by_class else ()
    return TaskData(
        name=found.name,
        task=columns.task,
        text=columns.text,
        label=columns.label,
        labels=labels,
        splits={name: _finish(tables[name], labels) for name in SPLITS},
        notices=tuple(notices),
        fingerprint=fingerprint(columns.task, labels, keys),
    )


def _choose(found: Source, text: str | None, label: str | None, task: Task | None) -> Columns:
    first = found.tables.get(WHOLE, found.tables.get("train"))
    file = found.files.get(WHOLE, found.files.get("train", found.name))
    builtin = found.builtin
    if found.columns is not None:
        if text is None and label is None and task in (None, found.columns.task):
            return found.columns
        raise InputError(
            "a folder of sounds has its classes in its sub-folders",
            got=task or f"text={text}, label={label}",
            hint="Leave out --task, --text and --label, or give a table",
        )
    if builtin is None:
        return choose(first, file, text=text, label=label, task=task)
    same = task in (None, builtin.task) or (task, builtin.task) == ("code", "instruction")
    if same:
        known = Columns(
            task or builtin.task,
            tuple(builtin.text.split(",")) if builtin.text else (),
            builtin.label,
            notices=(),
        )
        if text in (None, builtin.text) and label in (None, builtin.label):
            return known
    fixed = builtin.text is None or builtin.task == "audio-classification"
    if fixed or not (same or task == "causal-lm"):
        raise InputError(
            f"the built-in '{found.name}' is made for {builtin.task}",
            got=task or f"text={text}, label={label}",
            hint="Leave out --task, --text and --label",
        )
    return choose(first, file, text=text or builtin.text, label=label, task=task)


def _leave_unlabelled(found: Source, columns: Columns) -> tuple[Source, list[str]]:
    """Public test splits often come without labels; such a split measures nothing."""
    if columns.label is None or WHOLE in found.tables:
        return found, []
    empty = [
        name
        for name, table in found.tables.items()
        if name != "train"
        and columns.label in table.columns
        and all(is_missing(value) for value in table[columns.label])
    ]
    tables = {name: table for name, table in found.tables.items() if name not in empty}
    notices = [f"The {name} split has no labels and is left out." for name in empty]
    if set(tables) == {"train"}:
        tables = {WHOLE: tables["train"]}
        return replace(found, tables=tables, files={WHOLE: found.files["train"]}), notices
    return replace(found, tables=tables), notices


def _prepare(found: Source, columns: Columns) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Checked tables with the shared columns."""
    tables, notices = {}, []
    for name, table in found.tables.items():
        if columns.task == "causal-lm":
            table, dropped = _drop_blank(table, columns.text[0])
            notices += dropped
        prepared = prepare(table, columns, found.files[name])
        if columns.task == "tabular-classification":
            prepared["features"] = table["features"]
        if found.builtin is not None and found.builtin.group is not None:
            prepared["group"] = table[found.builtin.group]
        tables[name] = prepared
    return tables, notices


def _drop_blank(table: pd.DataFrame, column: str) -> tuple[pd.DataFrame, list[str]]:
    """Corpora keep their empty lines as rows; those teach a language model nothing."""
    if column not in table.columns:
        return table, []
    blank = table[column].map(lambda value: isinstance(value, str) and not value.strip())
    count = int(blank.sum())
    if not count or count == len(table):
        return table, []
    rows = "1 blank text is" if count == 1 else f"{count} blank texts are"
    return table[~blank], [f"{rows} left out."]


def _cells(table: pd.DataFrame) -> list[str]:
    return [name for name in _CELLS if name in table.columns]


def _in_content_order(table: pd.DataFrame) -> pd.DataFrame:
    keys = pd.Series(row_keys(table, _cells(table)), index=table.index)
    return table.loc[keys.sort_values(kind="stable").index]


def _deduplicate(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    keys = pd.Series(row_keys(table, _cells(table)), index=table.index)
    repeated = keys.duplicated()
    count = int(repeated.sum())
    if not count:
        return table, []
    rows = "1 row repeats another and is" if count == 1 else f"{count} rows repeat another and are"
    return table[~repeated], [f"{rows} left out before splitting."]


def _check_classes(tables: dict[str, pd.DataFrame], found: Source, column: str) -> None:
    train = "train" if "train" in tables else WHOLE
    known = set(tables[train]["label"])
    if len(known) < 2:
        raise DataError(
            "classification needs at least two classes",
            file=found.files[train],
            column=column,
            got=sorted(known),
            hint="Pass --label with another column",
        )
    for name, table in tables.items():
        for row, value in table["label"].sort_index().items():
            if value not in known:
                raise DataError(
                    f"the label '{value}' of the {name} split is never seen in training",
                    file=found.files[name],
                    row=row,
                    column=column,
                    hint=nearest(value, known) if len(known) <= 50 else "Add it to the train split",
                )


def _limit(
    tables: dict[str, pd.DataFrame], limit: int, *, seed: int, by_class: bool
) -> dict[str, pd.DataFrame]:
    total = sum(len(table) for table in tables.values())
    if limit >= total:
        return tables
    if WHOLE in tables:
        parts = {WHOLE: limit}
    else:
        parts = {name: round(limit * len(table) / total) for name, table in tables.items()}
    # Where splits are still to be cut, each class must have a row for every one of them.
    to_cut = len(SPLITS) - len(tables)
    return {
        name: sample(
            table,
            parts[name],
            seed=seed,
            by_class=by_class,
            least=1 + to_cut if name in (WHOLE, "train") else 1,
            what="the data" if name == WHOLE else f"its {name} split",
        )
        for name, table in tables.items()
    }


def _split(
    tables: dict[str, pd.DataFrame],
    found: Source,
    *,
    seed: int,
    by_class: bool,
    notices: list[str],
) -> dict[str, pd.DataFrame]:
    """Cut the splits that the source lacks."""
    missing = [name for name in SPLITS[1:] if name not in tables]
    if not missing:
        return tables
    whole = WHOLE if WHOLE in tables else "train"
    if whole == "train":
        notices.append(f"The {missing[0]} split is a fifth of the source's train split.")
    parts = cut(
        tables[whole],
        missing,
        seed=seed,
        file=found.files[whole],
        by_class=by_class,
        group="group" if "group" in tables[whole].columns else None,
    )
    return {name: table for name, table in tables.items() if name != whole} | parts


def _overlaps(tables: dict[str, pd.DataFrame], columns: Columns, *, own_splits: bool) -> list[str]:
    """Sentences about texts that are in training and held out too, or have several labels."""
    if not columns.text:
        return []
    content = [name for name in _CELLS if name not in ("features", "label")]
    texts = [name for name in content if name in tables["train"].columns]
    kind = "sound" if "digest" in texts else "text"
    keys = {name: row_keys(tables[name], texts) for name in SPLITS}
    notices = []
    if own_splits:
        seen = set(keys["train"])
        for name in SPLITS[1:]:
            count = sum(key in seen for key in keys[name])
            if count:
                notices.append(
                    f"{count} of {len(keys[name])} {name} {kind}s are in the train split too; "
                    f"measures on them are too good."
                )
    if columns.label is not None:
        labelled = {
            pair
            for name in SPLITS
            for pair in zip(keys[name], tables[name]["label"].tolist(), strict=True)
        }
        count = sum(n > 1 for n in Counter(key for key, _ in labelled).values())
        if count:
            texts_have = f"1 {kind} has" if count == 1 else f"{count} {kind}s have"
            notices.append(f"{texts_have} more than one label.")
    return notices


def _class_names(train: pd.DataFrame) -> tuple[str, ...]:
    names = set(train["label"])
    whole = all(name.isascii() and name.isdigit() and str(int(name)) == name for name in names)
    return tuple(sorted(names, key=int) if whole else sorted(names))


def _finish(table: pd.DataFrame, labels: tuple[str, ...]) -> pd.DataFrame:
    table = table[[name for name in _KEPT if name in table.columns]].reset_index(drop=True)
    if labels:
        ids = {name: i for i, name in enumerate(labels)}
        table["label"] = table["label"].map(ids).astype("int64")
    return table
