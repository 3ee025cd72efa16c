"""``load``: equal rows give equal data in every format and order, and nothing is hidden."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import datasets
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsimony.core.data import TaskData, load
from parsimony.core.data.taskdata import fingerprint, row_keys
from parsimony.core.errors import DataError, InputError

ROWS = [
    {"text": f'sentence {i}, "quoted"\nand long', "label": ("neg", "pos", "01")[i % 3]}
    for i in range(45)
]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    table = pd.DataFrame(rows)
    if path.suffix in (".csv", ".tsv"):
        table.to_csv(path, index=False, sep="," if path.suffix == ".csv" else "\t")
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    elif path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        datasets.Dataset.from_list(rows).save_to_disk(str(path))
    return path


def same(first: TaskData, second: TaskData) -> bool:
    return first.fingerprint == second.fingerprint and all(
        first.splits[name].equals(second.splits[name]) for name in first.splits
    )


def texts(data: TaskData, split: str) -> list[str]:
    return data.splits[split]["text"].tolist()


def test_what_a_classification_file_becomes(tmp_path: Path) -> None:
    data = load(write(tmp_path / "mine.csv", ROWS))
    assert (data.name, data.task) == ("mine.csv", "text-classification")
    assert (data.text, data.label, data.labels) == (("text",), "label", ("01", "neg", "pos"))
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 27, "validation": 9, "test": 9,
    }  # fmt: skip
    assert list(data.splits["train"].columns) == ["text", "label"]
    assert data.splits["train"]["label"].dtype == "int64"
    known = {row["text"]: row["label"] for row in ROWS}
    for split in data.splits.values():
        for text, label in zip(split["text"], split["label"], strict=True):
            assert known[text] == data.labels[label]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.json", "a.parquet", "a.folder"])
def test_every_format_gives_the_same_data(name: str, tmp_path: Path) -> None:
    assert same(load(write(tmp_path / name, ROWS)), load(write(tmp_path / "b.jsonl", ROWS)))


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_every_format_gives_the_same_numbers(name: str, tmp_path: Path) -> None:
    rows = [{"text": f"text {i}", "label": i / 7} for i in range(30)]
    data = load(write(tmp_path / name, rows))
    assert data.task == "regression"
    assert data.splits["train"]["label"].dtype == "float64"
    assert same(data, load(write(tmp_path / "b.jsonl", rows)))


@settings(max_examples=15)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(
    tmp_path_factory: pytest.TempPathFactory, shuffler: random.Random
) -> None:
    folder = tmp_path_factory.mktemp("order")
    rows = [*ROWS, ROWS[0]]
    shuffler.shuffle(rows)
    first = load(write(folder / "a.jsonl", [*ROWS, ROWS[0]]), limit=30)
    assert same(first, load(write(folder / "b.jsonl", rows), limit=30))


def test_the_fingerprint_sees_every_used_cell_the_task_and_the_split(tmp_path: Path) -> None:
    rows = [{**row, "unused": i} for i, row in enumerate(ROWS)]
    base = load(write(tmp_path / "a.jsonl", rows)).fingerprint
    other_text = [{**row, "text": row["text"] + "!" * (i == 7)} for i, row in enumerate(rows)]
    other_label = [{**rows[0], "label": "pos"}, *rows[1:]]
    unused = [{**row, "unused": 0} for row in rows]
    assert load(write(tmp_path / "b.jsonl", other_text)).fingerprint != base
    assert load(write(tmp_path / "c.jsonl", other_label)).fingerprint != base
    assert load(write(tmp_path / "d.jsonl", unused), label="label").fingerprint == base
    assert load(tmp_path / "a.jsonl", task="causal-lm").fingerprint != base
    assert load(tmp_path / "a.jsonl", seed=1).fingerprint != base
    assert load(tmp_path / "a.jsonl", limit=30).fingerprint != base
    assert load(tmp_path / "a.jsonl").fingerprint == base


def test_the_fingerprint_is_fixed_for_all_machines() -> None:
    table = pd.DataFrame({"text": ["é", "b"], "label": [0.1, 1e-7]})
    keys = row_keys(table, ["text", "label"])
    # printf '["\\u00e9", 0.1]' | sha256sum
    assert keys[0] == "b70abc54d0135332f2e44adf7defc9a6d1428d6900c4e55f617ba6309d6a44ab"
    parts = {"train": keys, "validation": [], "test": []}
    assert fingerprint("regression", (), parts) == fingerprint(
        "regression", (), {**parts, "train": keys[::-1]}
    )


def test_whole_number_classes_are_ordered_as_numbers(tmp_path: Path) -> None:
    rows = [{"text": f"text {i}", "label": i % 12} for i in range(60)]
    data = load(write(tmp_path / "a.csv", rows))
    assert data.labels == tuple(str(i) for i in range(12))


def test_pairs(tmp_path: Path) -> None:
    rows = [
        {"premise": f"it rains {i}", "hypothesis": f"it is wet {i}", "label": i % 2 == 0}
        for i in range(20)
    ]
    data = load(write(tmp_path / "a.jsonl", rows))
    assert data.task == "text-pair-classification"
    assert data.text == ("premise", "hypothesis")
    assert data.labels == ("False", "True")
    assert list(data.splits["test"].columns) == ["text", "text_pair", "label"]


def test_a_corpus_has_no_label_and_loses_blank_lines(tmp_path: Path) -> None:
    rows = [{"text": "" if i in (3, 5) else f"line {i}"} for i in range(12)]
    data = load(write(tmp_path / "a.jsonl", rows))
    assert (data.task, data.label, data.labels) == ("causal-lm", None, ())
    assert list(data.splits["train"].columns) == ["text"]
    assert "2 blank texts are left out." in data.notices
    assert sorted(t for name in data.splits for t in texts(data, name)) == sorted(
        row["text"] for row in rows if row["text"]
    )


def test_identical_rows_leave_before_splitting_and_are_counted(tmp_path: Path) -> None:
    data = load(write(tmp_path / "a.jsonl", [*ROWS, *ROWS[:4], ROWS[0]]))
    assert "5 rows repeat another and are left out before splitting." in data.notices
    assert same(data, load(write(tmp_path / "b.jsonl", ROWS)))


def test_texts_with_several_labels_are_counted(tmp_path: Path) -> None:
    again = [{"text": ROWS[i]["text"], "label": "other"} for i in range(3)]
    data = load(write(tmp_path / "a.jsonl", [*ROWS, *again]))
    assert "3 texts have more than one label." in data.notices


def test_the_limit_keeps_proportions(tmp_path: Path) -> None:
    rows = [{"text": f"text {i}", "label": "rare" if i % 5 == 0 else "common"} for i in range(200)]
    path = write(tmp_path / "a.jsonl", rows)
    data = load(path, limit=50)
    counts = pd.concat(data.splits.values())["label"].value_counts()
    assert {data.labels[i]: n for i, n in counts.items()} == {"common": 40, "rare": 10}
    assert load(path, limit=200).fingerprint == load(path).fingerprint


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (0, "a limit must be a positive whole number, but got 0"),
        (8, "a limit needs room for 9 rows of the data, so that every class is in every split, "
            "but got 8. Raise --limit"),
    ],
)  # fmt: skip
def test_a_limit_that_is_too_small(limit: int, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(write(tmp_path / "a.jsonl", ROWS), limit=limit)
    assert str(caught.value) == message


def test_a_class_that_is_too_small_says_how_many_rows_it_has(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [*ROWS, {"text": "one more", "label": "rare"}])
    with pytest.raises(DataError, match=r"at least 3 different rows.*class 'rare' has 1\. Add"):
        load(path)
