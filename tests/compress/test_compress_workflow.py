"""``compress`` from end to end on tiny models, from Python."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
import transformers

from parsimony.compress import masks, workflow
from parsimony.compress.workflow import Request
from parsimony.core import artifacts
from parsimony.core.budget import Budget
from parsimony.core.console import Console
from parsimony.core.errors import BudgetError, InputError
from parsimony.testing import tiny

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Different words in every row, so that no row repeats another."""
    file = tmp_path_factory.mktemp("texts") / "texts.csv"
    rows = [
        f"row {i} says {'abcdefghij'[i % 10] * (i % 7 + 3)} and then {i * i}" for i in range(90)
    ]
    pd.DataFrame({"text": rows}).to_csv(file, index=False)
    return str(file)


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny.write(tmp_path_factory.mktemp("llama"), "llama"))


def request(model: str, texts: str, **given: object) -> Request:
    settings = {"samples": 6, "window": 16, "batch": 4, "steps": 4, **given}
    return Request(model=model, calibration=texts, **settings)  # type: ignore[arg-type]


def test_prune_retrain_quantize_loads_in_plain_transformers(
    tmp_path: Path, llama: str, texts: str
) -> None:
    asked = request(llama, texts, prune="wanda:2:4", retrain="norms+masklora:r=2",
                    quantize="gptq:w4g16", reconstruct=2)  # fmt: skip
    result = workflow.compress(asked, tmp_path / "run", QUIET)
    assert [step["step"] for step in result["steps"]] == [
        "original", "pruned and reconstructed", "retrained", "gptq:w4g16",
    ]  # fmt: skip
    out = tmp_path / "run" / "model"
    model = transformers.AutoModelForCausalLM.from_pretrained(out)
    kept = masks.load(out)
    model(input_ids=torch.tensor([[5, 6, 7]]))  # compressed-tensors unpacks at the first pass
    assert len(kept) == 28 and masks.intact(model, kept)
    assert all(masks.follows(mask, 2, 4) for mask in kept.values())
    blocks = result["steps"][1]["blocks"]
    assert len(blocks) == 4 and all(b["error"] > 0 and b["reconstructed"] > 0 for b in blocks)
    assert 0 < result["steps"][2]["share"] < 0.1
    assert result["bytes"]["compressed"] < result["bytes"]["original"]
    assert json.loads((tmp_path / "run" / "page.json").read_text())["command"] == "compress"
    assert not (tmp_path / "run" / "journal").exists()
    artifacts.verify(out)


def test_a_run_that_stops_between_steps_goes_on_to_the_same_bytes(
    tmp_path: Path, llama: str, texts: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(llama, texts, prune="magnitude:0.5", retrain="masklora:r=2",
                    quantize="rtn:w4g16")  # fmt: skip
    workflow.compress(asked, tmp_path / "whole", QUIET)
    from parsimony.compress.steps import Steps

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Steps, "_quantize", stopped)
        workflow.compress(asked, tmp_path / "stopped", QUIET)
    workflow.resume(tmp_path / "stopped", QUIET)
    files = [tmp_path / run / "model" / "model.safetensors" for run in ("whole", "stopped")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_size_is_met_with_the_most_bits_and_the_choice_says_why(
    tmp_path: Path, llama: str, texts: str
) -> None:
    sizes = {
        spec: workflow.preview(request(llama, texts, quantize=spec), QUIET)
        for spec in ("rtn:w8", "rtn:w4g32")
    }
    share = {s: found["sizes"][s] / found["stored_bytes"] for s, found in sizes.items()}
    limit = sum(share.values()) / 2
    asked = request(llama, texts, budget=Budget(size=limit))
    result = workflow.compress(asked, tmp_path / "run", QUIET)
    tried = [step["step"] for step in result["steps"][1:]]
    assert tried == ["rtn:w4g32", "gptq:w4g32", "awq+rtn:w4g32"]
    assert (
        result["bytes"]["share"] == pytest.approx(share["rtn:w4g32"]) and result["chosen"] in tried
    )
    assert result["notes"][0].startswith(f"Chosen: {result['chosen']}: ")
    asked = request(llama, texts, budget=Budget.parse("size=1%"))
    with pytest.raises(BudgetError, match=r"must take at most 1\.0% of .* The nearest budget that"):
        workflow.compress(asked, tmp_path / "no", QUIET)
    assert not (tmp_path / "no").exists()


def test_what_is_predicted_is_what_is_stored(tmp_path: Path, llama: str, texts: str) -> None:
    for spec in ("rtn:w8", "rtn:w4g32", "rtn:w8a8", "int8"):
        asked = request(llama, texts, quantize=spec)
        predicted = workflow.preview(asked, QUIET)
        result = workflow.compress(asked, tmp_path / spec.replace(":", "-"), QUIET)
        roles = result["checkpoint"]["bytes"]["roles"]
        assert predicted["sizes"][spec] == sum(roles.values())
        exact = spec != "int8"  # whose own library rounds in halves
        assert result["checkpoint"]["reload_difference"] < (1e-4 if exact else 0.05)


def test_an_encoder_is_judged_by_the_likeness_of_its_embeddings(tmp_path: Path, texts: str) -> None:
    bert = tiny.write(tmp_path / "bert", "bert")
    asked = request(str(bert), texts, prune="magnitude:0.5", quantize="rtn:w8")
    result = workflow.compress(asked, tmp_path / "run", QUIET)
    assert result["metric"]["name"] == "cosine to the original's embeddings"
    scores = [step["score"] for step in result["steps"]]
    assert scores[0] == pytest.approx(1.0) and 0 < scores[1] < 1
    assert result["steps"][1]["verdict"] == "worse"
    transformers.AutoModel.from_pretrained(tmp_path / "run" / "model")


def test_a_function_of_the_user_is_the_evaluation(tmp_path: Path, llama: str, texts: str) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "import torch\n"
        "def bytes_in_order(model):\n"
        "    logits = model(input_ids=torch.tensor([[5, 6, 7, 8]])).logits\n"
        "    return logits[0, :, 9].tolist()\n"
        "def nothing(model):\n"
        "    return float('nan')\n"
    )
    asked = request(llama, texts, quantize="rtn:w8", evaluate=f"{file}:bytes_in_order")
    result = workflow.compress(asked, tmp_path / "run", QUIET)
    assert result["metric"] == {
        "name": "bytes_in_order", "unit": "score", "higher_is_better": True,
    }  # fmt: skip
    for function, text in [
        (f"{file}:nothing", "must return a finite score for every row"),
        (f"{file}:missing", "must define the function 'missing'"),
        ("no.py:score", "an evaluation is FILE.py:FUNCTION"),
    ]:
        asked = request(llama, texts, quantize="rtn:w8", evaluate=function)
        with pytest.raises(InputError, match=text):
            workflow.compress(asked, tmp_path / "bad", QUIET)
        import shutil

        shutil.rmtree(tmp_path / "bad", ignore_errors=True)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({}, "a compression needs something to do"),
        ({"retrain": "masklora"}, "there is nothing to retrain without --prune"),
        ({"prune": "wanda"}, "a pruning names how much goes, but got 'wanda'. Such as wanda:50%"),
        ({"prune": "wanda:50"}, "at least 0 and below 1, but got 50.0. Is it 0.5?"),
        ({"quantize": "gtpq:w4g16"}, "Did you mean 'gptq'"),
        ({"prune": "magnitude:0.5", "quantize": "rtn:w4g24"}, r"q_proj"),
        ({"quantize": "duquant:w4a4"}, "a checkpoint holds what is in the weights, and this comp"),
        ({"quantize": "gptq:w4g16-asym"}, "no version of transformers reads an asymmetric grid"),
        ({"prune": "magnitude:0.5", "quantize": "quarot:w4a4"}, "pruned weights would not stay z"),
        ({"quantize": "rtn:w8", "window": 100}, "--window must be 2 to 64 tokens"),
        ({"quantize": "rtn:w8", "samples": 10_000}, r"fewer --samples \(at most"),
        ({"quantize": "rtn:w8", "batch": 0}, "--batch must be positive"),
        (
            {"quantize": "rtn:w8", "budget": Budget.parse("time=3s")},
            "compress cannot keep a limit on 'time'",
        ),
        ({"quantize": "rtn:w8", "calibration": "digits"}, "a calibration needs texts"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_written(
    tmp_path: Path, llama: str, texts: str, given: dict[str, object], text: str
) -> None:
    asked = Request(**{**vars(request(llama, texts)), **given})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=text):
        workflow.compress(asked, tmp_path / "run", QUIET)
    assert not (tmp_path / "run").exists()


def test_a_calibration_that_cannot_fit_is_refused_with_the_numbers(
    tmp_path: Path, llama: str, texts: str
) -> None:
    asked = request(llama, texts, quantize="gptq:w4g16", budget=Budget.parse("memory=200kB"))
    with pytest.raises(BudgetError, match=r"the calibration needs .* at its peak .* of them the m"):
        workflow.compress(asked, tmp_path / "run", QUIET)
    assert not (tmp_path / "run").exists()


def test_pickled_weights_are_refused(tmp_path: Path, llama: str, texts: str) -> None:
    import shutil

    folder = tmp_path / "pickled"
    shutil.copytree(llama, folder)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(InputError, match="pickled weights are never loaded"):
        workflow.compress(request(str(folder), texts, quantize="rtn:w8"), tmp_path / "run", QUIET)


def test_a_compressed_checkpoint_is_not_compressed_again(
    tmp_path: Path, llama: str, texts: str
) -> None:
    workflow.compress(request(llama, texts, quantize="rtn:w8"), tmp_path / "run", QUIET)
    again = request(str(tmp_path / "run" / "model"), texts, quantize="rtn:w8")
    with pytest.raises(InputError, match="the model must not be quantized already"):
        workflow.compress(again, tmp_path / "again", QUIET)


def test_an_encoder_is_retrained_block_by_block_within_the_share(
    tmp_path: Path, texts: str
) -> None:
    bert = str(tiny.write(tmp_path / "bert", "bert"))
    given: dict[str, object] = {"prune": "magnitude:0.5", "retrain": "biases+norms"}
    with pytest.raises(InputError, match="retrained by its own loss on texts, and this one has n"):
        workflow.compress(request(bert, texts, **given), tmp_path / "run", QUIET)
    given |= {"steps": 0, "reconstruct": 4, "rate": 1e-2}
    with pytest.raises(BudgetError, match=r"at most 0\.1000% of the parameters may train, but got"):
        budget = Budget.parse("trainable=0.1%")
        workflow.compress(request(bert, texts, **given, budget=budget), tmp_path / "run", QUIET)
    budget = Budget.parse("trainable=10%")
    asked = request(bert, texts, **given, budget=budget)
    result = workflow.compress(asked, tmp_path / "run", QUIET)
    assert [step["step"] for step in result["steps"]][1:] == ["pruned and reconstructed"]
    assert result["chosen"] == "pruned and reconstructed"
    kept = masks.load(tmp_path / "run" / "model")
    model = transformers.AutoModel.from_pretrained(tmp_path / "run" / "model")
    assert masks.intact(model, kept)


def test_a_classifier_is_judged_by_its_accuracy(tmp_path: Path) -> None:
    rows = [{"text": f"row {i} is {'fine' if i % 2 else 'poor'} {i * i}", "label": f"c{i % 2}"}
            for i in range(80)]  # fmt: skip
    pd.DataFrame(rows).to_csv(tmp_path / "rows.csv", index=False)
    config = tiny.config("bert")
    config.id2label, config.label2id = {0: "c0", 1: "c1"}, {"c0": 0, "c1": 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.BertForSequenceClassification(config)
    model.save_pretrained(tmp_path / "classifier")
    tiny.tokenizer("bert").save_pretrained(tmp_path / "classifier")
    asked = request(str(tmp_path / "classifier"), str(tmp_path / "rows.csv"), quantize="rtn:w8")
    result = workflow.compress(asked, tmp_path / "run", QUIET)
    assert result["metric"]["name"] == "accuracy" and result["class"].endswith("Classification")
    assert result["memory"]["original"] > result["bytes"]["compressed"]
    loaded = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "run" / "model"
    )
    assert loaded.config.id2label == {0: "c0", 1: "c1"}
