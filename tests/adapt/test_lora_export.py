"""An export as LoRA loads with peft alone, gives the same outputs, and says what it lost."""

from __future__ import annotations

from pathlib import Path

import made_runs
import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file

from parsimony.adapt.loading import load_run
from parsimony.adapt.lora_export import export
from parsimony.cli import main
from parsimony.core import artifacts
from parsimony.core.errors import InputError


@pytest.mark.parametrize("method", ["lokr", "loha", "vera", "lamda", "krona"])
def test_an_additive_adapter_is_the_same_as_lora(method: str, tmp_path: Path) -> None:
    made = made_runs.make(tmp_path, {method: 2})
    adapted = load_run(made.folder)
    measured = export(adapted, made.folder, tmp_path / "lora")
    assert measured["largest_change"] <= 0.05 and measured["kept"] >= 0.9999
    assert measured["rows"] == 12 and measured["metric"] == "accuracy"
    artifacts.verify(tmp_path / "lora")
    config = peft.PeftConfig.from_pretrained(str(tmp_path / "lora"))
    assert (config.peft_type, config.r, config.lora_alpha) == ("LORA", *[measured["rank"]] * 2)
    base = transformers.AutoModelForSequenceClassification.from_pretrained(
        str(made.model), num_labels=3
    )
    twin = peft.PeftModel.from_pretrained(base, str(tmp_path / "lora")).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(made.model))
    batch = tokenizer(made_runs.texts(), padding=True, return_tensors="pt")
    with torch.no_grad():
        apart = (twin(**batch).logits - adapted.model(**batch).logits).abs().max()
    assert float(apart) == pytest.approx(measured["largest_change"], abs=1e-5)


def test_a_low_rank_loses_what_it_says(tmp_path: Path) -> None:
    """Eckart and Young: what rank 1 leaves of an update is all but its first singular value."""
    made = made_runs.make(tmp_path, {"lokr": 2})
    adapted = load_run(made.folder)
    measured = export(adapted, made.folder, tmp_path / "lora", rank=1)
    layers = {n: m for n, m in adapted.model.named_modules() if hasattr(m, "lokr_w1")}
    tensors = load_file(tmp_path / "lora" / "adapter_model.safetensors")
    kept = []
    for name, layer in layers.items():
        delta = layer.get_delta_weight("default").detach()
        a, b = (tensors[f"{name}.lora_{side}.weight"] for side in "AB")
        kept.append(1 - float((delta - b @ a).square().sum() / delta.square().sum()))
    assert measured["kept"] == pytest.approx(min(kept), abs=1e-4) and measured["kept"] < 0.99
    assert measured["bytes_after"] > 0


@pytest.mark.parametrize(
    ("method", "size", "text"),
    [
        ("lora", 2, "'lora' is LoRA already. Serve RUN/adapter"),
        ("dora", 2, "'dora' is not an update that adds to dense weights, so no LoRA equals it. "
         "Merge it where it can be merged, or serve it with peft"),
        ("ia3", 0, "'ia3' is not an update that adds to dense weights, so no LoRA equals it. "
         "Merge it where it can be merged, or serve it with peft"),
        ("linear-probe", 0, "'linear-probe' is not an update that adds to dense weights, so no "
         "LoRA equals it. Merge it where it can be merged, or serve it with peft"),
        ("full", 0, "'full' trained the whole model; there is no adapter to export. Serve "
         "RUN/model"),
    ],
)  # fmt: skip
def test_what_no_lora_equals_is_refused(method: str, size: int, text: str, tmp_path: Path) -> None:
    made = made_runs.make(tmp_path, {method: size})
    with pytest.raises(InputError) as error:
        export(load_run(made.folder), made.folder, tmp_path / "lora")
    assert str(error.value).replace(str(made.folder), "RUN") == text
    assert not (tmp_path / "lora").exists()


def test_the_command_says_what_was_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = made_runs.make(tmp_path, {"lokr": 2}).folder

    def call(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["export", str(run), *arguments])
        shown = capsys.readouterr()
        return int(stop.value.code or 0), shown.out, shown.err

    code, _, err = call("--rank", "99")
    assert code == 2
    assert "--rank must be 1 to" in err and "the smallest side of an adapted weight" in err
    code, out, _ = call()
    assert code == 0
    assert out.startswith("On 12 test rows: accuracy ") and "its energy" in out
    code, _, err = call()
    assert (code, err) == (
        2,
        f"parsimony: the export needs a new folder, but got '{run / 'lora'}'. Choose --out\n",
    )
