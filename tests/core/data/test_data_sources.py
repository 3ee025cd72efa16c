"""Sources with splits of their own, and names that lead nowhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from parsimony.core.data import load
from parsimony.core.errors import DataError, InputError


def rows(start: int, count: int) -> list[dict[str, Any]]:
    return [{"text": f"words {i}", "label": "ab"[i % 2]} for i in range(start, start + count)]


def write(path: Path, content: list[dict[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in content))


def refusal(source: str | Path, kind: type[InputError] = DataError, **options: Any) -> str:
    with pytest.raises(kind) as caught:
        load(source, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def sizes(source: str | Path, **options: Any) -> dict[str, int]:
    return {name: len(table) for name, table in load(source, **options).splits.items()}


def test_a_folder_keeps_its_splits(tmp_path: Path) -> None:
    write(tmp_path / "d" / "train.jsonl", rows(0, 20))
    write(tmp_path / "d" / "dev.jsonl", rows(20, 7))
    write(tmp_path / "d" / "test.jsonl", rows(40, 5))
    data = load(tmp_path / "d")
    assert data.name == "d"
    assert set(data.splits["validation"]["text"]) == {row["text"] for row in rows(20, 7)}
    assert set(data.splits["test"]["text"]) == {row["text"] for row in rows(40, 5)}
    assert len(data.splits["train"]) == 20


@pytest.mark.parametrize(("given", "cut"), [("test", "validation"), ("validation", "test")])
def test_a_missing_split_is_a_fifth_of_train(given: str, cut: str, tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", rows(0, 20))
    write(tmp_path / f"{given}.jsonl", rows(20, 6))
    assert sizes(tmp_path) == {"train": 16, given: 6, cut: 4}
    assert f"The {cut} split is a fifth of the source's train split." in load(tmp_path).notices


def test_a_folder_with_train_alone_is_split_like_a_file(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", rows(0, 20))
    assert sizes(tmp_path) == {"train": 12, "validation": 4, "test": 4}
    assert load(tmp_path).fingerprint == load(tmp_path / "train.jsonl").fingerprint


def test_a_limit_is_shared_by_own_splits(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", rows(0, 60))
    write(tmp_path / "validation.jsonl", rows(100, 20))
    write(tmp_path / "test.jsonl", rows(200, 20))
    assert sizes(tmp_path, limit=50) == {"train": 30, "validation": 10, "test": 10}
    assert refusal(tmp_path, InputError, limit=5) == (
        "a limit needs room for 2 rows of its test split, so that every class is in every "
        "split, but got 1. Raise --limit"
    )


def test_rows_in_two_own_splits_are_kept_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", rows(0, 20))
    write(tmp_path / "validation.jsonl", rows(20, 8))
    write(tmp_path / "test.jsonl", rows(17, 8))
    data = load(tmp_path)
    assert len(data.splits["test"]) == 8
    assert (
        "3 of 8 test texts are in the train split too; measures on them are too good."
        in data.notices
    )
    assert not any("validation texts" in notice for notice in data.notices)


def test_a_split_without_labels_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", rows(0, 20))
    write(tmp_path / "test.jsonl", [{**row, "label": None} for row in rows(20, 6)])
    assert sizes(tmp_path) == {"train": 12, "validation": 4, "test": 4}
    assert "The test split has no labels and is left out." in load(tmp_path).notices


def test_a_label_that_training_never_sees(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", rows(0, 20))
    write(tmp_path / "test.jsonl", [*rows(20, 3), {"text": "more", "label": "A"}])
    assert refusal(tmp_path) == (
        f"{tmp_path}/test.jsonl, row 4, column 'label': the label 'A' of the test split is never "
        "seen in training. Did you mean 'a'? Known: a, b"
    )


def test_a_column_that_one_split_lacks(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", rows(0, 20))
    write(tmp_path / "test.jsonl", [{"text": "a", "labels": "a"}])
    assert refusal(tmp_path) == (
        f"{tmp_path}/test.jsonl: there is no column 'label'. "
        "Did you mean 'labels'? Known: labels, text"
    )


def test_folders_that_are_no_data_set(tmp_path: Path) -> None:
    write(tmp_path / "test.jsonl", rows(0, 3))
    assert refusal(tmp_path) == (
        f"{tmp_path}: a folder needs a train file, such as train.csv, with validation and test "
        "optional. Data files in it: test.jsonl; pass one of them by its path"
    )
    write(tmp_path / "dev.jsonl", rows(0, 3))
    write(tmp_path / "validation.jsonl", rows(0, 3))
    assert refusal(tmp_path) == (
        f"{tmp_path}: a folder needs one file for each split, but 'dev.jsonl' and "
        "'validation.jsonl' are both the validation split"
    )


def class_ids(content: list[dict[str, Any]]) -> datasets.Dataset:
    features = datasets.Features(
        text=datasets.Value("string"), label=datasets.ClassLabel(names=["b", "a"])
    )
    return datasets.Dataset.from_list(content).cast(features)


def test_a_saved_datasets_folder_with_splits_and_class_ids(tmp_path: Path) -> None:
    write(tmp_path / "files" / "train.jsonl", rows(0, 20))
    write(tmp_path / "files" / "test.jsonl", rows(20, 6))
    splits = {
        "train": class_ids(rows(0, 20)),
        "test": class_ids(rows(20, 6)),
        "unsupervised": class_ids(rows(30, 3)),
    }
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "saved"))
    data = load(tmp_path / "saved")
    assert data.labels == ("a", "b")
    assert "Splits left out: unsupervised." in data.notices
    assert data.fingerprint == load(tmp_path / "files").fingerprint


def test_a_broken_datasets_folder(tmp_path: Path) -> None:
    (tmp_path / "dataset_info.json").write_text("{")
    assert refusal(tmp_path).startswith(f"{tmp_path}: not a readable datasets folder (")


def test_a_datasets_folder_without_train(tmp_path: Path) -> None:
    datasets.DatasetDict({"test": class_ids(rows(0, 6))}).save_to_disk(str(tmp_path / "saved"))
    assert refusal(tmp_path / "saved") == (
        f"{tmp_path / 'saved'}: a data set with splits needs a train split, but got ['test']"
    )


def test_a_hub_name_loads_by_name_and_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def hub(*arguments: object) -> datasets.DatasetDict:
        asked.append(arguments)
        unlabelled = class_ids([{"text": "x", "label": -1}, {"text": "y", "label": -1}])
        return datasets.DatasetDict(train=class_ids(rows(0, 20)), test=unlabelled)

    monkeypatch.setattr(datasets, "load_dataset", hub)
    data = load("owner/name:small")
    assert data.name == "owner/name:small"
    assert {name: len(table) for name, table in data.splits.items()}["train"] == 12
    assert "The test split has no labels and is left out." in data.notices
    load("owner/name")
    assert asked == [("owner/name", "small"), ("owner/name", None)]


def test_a_hub_name_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal("owner/name", InputError, allow_network=False) == (
        "the data set 'owner/name' is on the hub, and this run may not use the network. "
        "Download it and pass its path"
    )

    def unreachable(*arguments: object) -> None:
        raise ConnectionError("Couldn't reach the hub\nmore")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    assert refusal("owner/name", InputError) == (
        "the data set 'owner/name' cannot be loaded from the hub (Couldn't reach the hub). "
        "Check the name and the connection, or pass a file; "
        "a configuration is written owner/name:configuration"
    )


def test_a_path_with_a_typing_error_never_reaches_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("asked the hub")

    monkeypatch.setattr(datasets, "load_dataset", never)
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data" / "reviews.jsonl", rows(0, 9))
    assert refusal("data/review.jsonl") == (
        "data/review.jsonl: there is no such file or data set. Did you mean "
        "'data/reviews.jsonl'? Known: data/reviews.jsonl, digits, "
        "generated-sounds, stdlib-code, stdlib-docs, stdlib-functions"
    )
    assert "Did you mean 'data/reviews.jsonl'" in refusal("data/reviews")
    assert refusal("absent/reviews.csv").startswith("absent/reviews.csv: there is no such file")
    assert "Did you mean 'stdlib-docs'" in refusal("stdlib-doc")
