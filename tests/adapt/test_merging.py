"""Merging gives a plain model with the adapter's outputs, or refuses before anything is written."""

from __future__ import annotations

from pathlib import Path

import made_runs
import pandas as pd
import pytest
import torch
import transformers

from parsimony.adapt.loading import load_run
from parsimony.adapt.merging import merge
from parsimony.core import artifacts
from parsimony.core.errors import InputError


def encoded(model: Path) -> dict[str, torch.Tensor]:
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(model))
    return dict(tokenizer(made_runs.texts(), padding=True, return_tensors="pt"))


@pytest.mark.parametrize("method", ["lora", "bias", "linear-probe", "ln-tuning"])
def test_a_merged_model_needs_no_peft(method: str, tmp_path: Path) -> None:
    made = made_runs.make(tmp_path, {method: 2 if method == "lora" else 0})
    adapted = load_run(made.folder)
    batch = encoded(made.model)
    with torch.no_grad():
        expected = adapted.model(**batch).logits
    out = tmp_path / "merged"
    measured = merge(adapted, made.folder, out)
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(str(out)).eval()
    assert not any("lora" in name or "modules_to_save" in name for name in plain.state_dict())
    assert plain.config.id2label == dict(enumerate(made_runs.KINDS))
    assert encoded(out).keys() == batch.keys()
    assert torch.equal(encoded(out)["input_ids"], batch["input_ids"])
    with torch.no_grad():
        found = plain(**batch).logits
    assert (found - expected).abs().max().item() <= 1e-5
    assert measured["rows"] == 12 and measured["changed_predictions"] == 0
    assert 0 <= measured["largest_change"] <= 1e-5
    artifacts.verify(out)
    origin = artifacts.read_json(out / "parsimony.json")
    assert origin == {**made.origin, "merged": measured}
    assert not list(tmp_path.glob(".*tmp"))


def test_the_change_is_measured_not_assumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A merge that loses the adapter shows up in the figures."""
    made = made_runs.make(tmp_path, {"lora": 2})
    adapted = load_run(made.folder)
    base = adapted.model.unload  # drops the adapter instead of folding it in
    monkeypatch.setattr(adapted.model, "merge_and_unload", base, raising=False)
    rows = pd.read_parquet(made.folder / "data" / "test.parquet")["text"].tolist()
    batch = dict(adapted.tokenizer(rows, padding=True, return_tensors="pt"))
    with torch.no_grad():
        before = adapted.model(**batch).logits
    measured = merge(adapted, made.folder, tmp_path / "merged")
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(
        str(tmp_path / "merged")
    ).eval()
    with torch.no_grad():
        after = plain(**batch).logits
    assert measured["largest_change"] == pytest.approx((after - before).abs().max().item(), 1e-3)
    assert measured["largest_change"] > 1e-3
    changed = (after.argmax(-1) != before.argmax(-1)).sum().item()
    assert measured["changed_predictions"] == changed


def test_a_regression_has_outputs_and_no_labels_to_change(tmp_path: Path) -> None:
    made = made_runs.make(tmp_path, {"lora": 2}, task="regression")
    measured = merge(load_run(made.folder), made.folder, tmp_path / "merged")
    assert measured["changed_predictions"] is None
    assert measured["largest_change"] <= 1e-5


def test_an_existing_folder_is_left_alone(tmp_path: Path) -> None:
    made = made_runs.make(tmp_path, {"lora": 2})
    out = tmp_path / "mine"
    out.mkdir()
    with pytest.raises(InputError) as error:
        merge(load_run(made.folder), made.folder, out)
    assert str(error.value) == f"the merged model needs a new folder, but got '{out}'. Choose --out"
    assert not list(out.iterdir())


def test_a_method_that_cannot_merge_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    made = made_runs.make(tmp_path, {"prompt": 2})
    before = sorted(made.folder.rglob("*"))
    with pytest.raises(InputError) as error:
        merge(load_run(made.folder), made.folder, made.folder / "merged")
    assert str(error.value) == (
        "'prompt' cannot be merged into the base weights. Load it as an adapter instead; the "
        "report shows how"
    )
    assert sorted(made.folder.rglob("*")) == before


def test_a_model_trained_in_full_is_merged_already(tmp_path: Path) -> None:
    made = made_runs.make(tmp_path, {"full": 0})
    with pytest.raises(InputError) as error:
        merge(load_run(made.folder), made.folder, tmp_path / "merged")
    assert str(error.value) == (
        f"'full' trained the whole model: it is merged already. Use {made.folder / 'model'}"
    )
    assert not (tmp_path / "merged").exists()
