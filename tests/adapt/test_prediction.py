"""A run's model on new rows: the labels training saw, in rows that are otherwise left alone."""

from __future__ import annotations

import datetime
from pathlib import Path

import made_runs
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Finished

from parsimony.adapt import prediction
from parsimony.adapt.loading import Loaded, load_run
from parsimony.adapt.setup import Plan
from parsimony.adapt.trial import folder_of, scores_of
from parsimony.core import artifacts
from parsimony.core.errors import DataError, InputError


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    made = made_runs.make(tmp_path_factory.mktemp("predict"), {"lora": 2})
    return load_run(made.folder)


def table(texts: list[object], **others: list[object]) -> pd.DataFrame:
    """Rows as ``read_rows`` gives them."""
    index = pd.Index(range(1, len(texts) + 1))
    return pd.DataFrame(
        {name: pd.Series(v, dtype=object, index=index) for name, v in others.items()}
        | {"note": pd.Series(texts, dtype=object, index=index)}
    )


def test_classes_and_their_probabilities(loaded: Loaded) -> None:
    rows = table(made_runs.texts(), ticket=[f"{i:03d}" for i in range(12)])
    found, notice = prediction.predict(loaded, rows, "new.csv", batch=5)
    assert list(found.columns) == ["ticket", "note", "prediction", "probability"]
    assert found[["ticket", "note"]].equals(rows)
    assert notice == ""
    for text, label, probability in zip(
        found["note"], found["prediction"], found["probability"], strict=True
    ):
        batch = loaded.tokenizer([text], return_tensors="pt")
        with torch.no_grad():
            expected = loaded.model(**batch).logits.softmax(-1)[0]
        assert label == made_runs.KINDS[int(expected.argmax())]
        assert probability == pytest.approx(float(expected.max()), abs=1e-6)
        assert 1 / 3 <= probability <= 1
    assert len(set(found["prediction"])) > 1


def test_the_same_labels_as_in_training(finished: Finished) -> None:
    """Right where the trial's stored test scores say right, on the whole test split."""
    loaded = load_run(finished.folder)
    plan = Plan.read(finished.folder)
    split = pd.read_parquet(finished.folder / "data" / "test.parquet")
    found, _ = prediction.predict(loaded, table(split["text"].tolist()), "test")
    truth = [loaded.origin["labels"][i] for i in split["label"]]
    right = (found["prediction"].to_numpy() == np.array(truth)).astype(float)
    result = artifacts.read_json(finished.folder / "result.json")["recommendation"]
    winners = [c for c in plan.candidates if c.label == result["candidate"]]
    stored = [
        scores_of(folder_of(finished.folder, c, result["seed"]), "test", plan.steps).tolist()
        for c in winners
        if (folder_of(finished.folder, c, result["seed"]) / f"rung-{plan.steps}.json").is_file()
    ]
    assert stored == [right.tolist()]


def test_pairs_and_cut_pairs(tmp_path: Path) -> None:
    made = made_runs.make(
        tmp_path, {"bias": 0}, task="text-pair-classification", text=("note", "reply")
    )
    loaded = load_run(made.folder)
    # 24 tokens: three special ones and 21 bytes; the second pair has 22 of them.
    rows = table(["a" * 10, "a" * 11], reply=["b" * 11, "b" * 11])
    found, notice = prediction.predict(loaded, rows, "pairs")
    assert list(found.columns) == ["reply", "note", "prediction", "probability"]
    assert notice == "1 of 2 texts (50.0%) are longer than the window of 24 tokens and were cut"
    swapped = rows.rename(columns={"note": "reply", "reply": "note"})
    other, _ = prediction.predict(loaded, swapped, "pairs")
    assert other["probability"].tolist() != found["probability"].tolist()


def test_regression_gives_numbers_and_no_probability(tmp_path: Path) -> None:
    loaded = load_run(made_runs.make(tmp_path, {"bias": 0}, task="regression").folder)
    found, _ = prediction.predict(loaded, table(made_runs.texts()), "rows")
    assert list(found.columns) == ["note", "prediction"]
    batch = loaded.tokenizer(made_runs.texts(), padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = loaded.model(**batch).logits.squeeze(-1)
    assert found["prediction"].tolist() == pytest.approx(expected.tolist(), abs=1e-5)


def test_a_language_model_is_refused(tmp_path: Path) -> None:
    loaded = Loaded(torch.nn.Identity(), None, {"task": "causal-lm"}, True)  # type: ignore[arg-type]
    with pytest.raises(InputError) as error:
        prediction.predict(loaded, table(["a"]), "rows")
    assert str(error.value) == (
        "predict gives labels and numbers; this run trained a language model. Load the adapter "
        "and generate; the report shows how"
    )


@pytest.mark.parametrize("column", ["prediction", "probability"])
def test_a_column_is_never_overwritten(loaded: Loaded, column: str) -> None:
    with pytest.raises(InputError) as error:
        prediction.predict(loaded, table(["a"], **{column: ["mine"]}), "new.csv")
    assert str(error.value) == f"new.csv has a column '{column}' already. Rename it, then try again"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["a", None], "new.csv, row 2, column 'note': the text must not be missing, but got None"),
        ([3], "new.csv, row 1, column 'note': the text must be text, but got 3"),
        (
            ["a", "\ud800"],
            "new.csv, row 2, column 'note': the text must be valid Unicode, but has half a "
            "surrogate pair",
        ),
        ([], "new.csv: there must be at least one row"),
    ],
)
def test_bad_texts_are_named(loaded: Loaded, texts: list[object], expected: str) -> None:
    with pytest.raises(DataError) as error:
        prediction.predict(loaded, table(texts), "new.csv")
    assert str(error.value) == expected


def test_a_missing_text_column_names_the_nearest(loaded: Loaded) -> None:
    with pytest.raises(DataError) as error:
        prediction.predict(loaded, pd.DataFrame({"nott": ["a"], "kind": ["b"]}), "new.csv")
    assert str(error.value) == (
        "new.csv: the text column 'note' must be there. Did you mean 'nott'? Known: kind, nott"
    )


def test_json_keeps_every_value_it_has_a_word_for() -> None:
    day = datetime.date(2026, 8, 1)
    rows = pd.DataFrame(
        {"a": [0.1 + 0.2, float("nan"), 1e-20], "b": [2**70, {"c": [1.5, None]}, day]}, dtype=object
    )
    assert prediction.records(rows) == [
        {"a": 0.30000000000000004, "b": 2**70},
        {"a": None, "b": {"c": [1.5, None]}},
        {"a": 1e-20, "b": "2026-08-01"},
    ]
    lines = prediction.encode(rows, ".jsonl").decode().splitlines()
    assert lines[2] == '{"a": 1e-20, "b": "2026-08-01"}'
