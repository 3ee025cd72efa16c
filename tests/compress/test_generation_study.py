"""The study of generation: its design, its run folder, its verdicts; on a tiny Llama."""

from __future__ import annotations

import json
import math
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from parsimony.compress.export import save
from parsimony.compress.generation_study import cost, study
from parsimony.compress.generation_study.analysis import resilience, together, told
from parsimony.compress.generation_study.design import Design, Request, check
from parsimony.compress.quantizer import Spec
from parsimony.compress.quantizing import quantize
from parsimony.core import trials
from parsimony.core.console import Console
from parsimony.core.errors import InputError
from parsimony.core.pages import Page
from parsimony.testing import tiny

QUIET = Console(quiet=True)
METHODS = ("int8", "nf4b32", "random4")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny language model and a table of texts."""
    folder = tmp_path_factory.mktemp("place")
    tiny.write(folder / "lm", "llama")
    rows = [f"row {i} says {'abcdefghij'[i % 10] * (i % 7 + 3)} and {i * i}" for i in range(90)]
    pd.DataFrame({"text": rows}).to_csv(folder / "texts.csv", index=False)
    return folder


def asked(place: Path, **given: Any) -> Request:
    few = {
        "methods": METHODS, "temperatures": (0.0, 0.5, 0.8), "top_k": (5, None), "lengths": (6,),
        "seeds": 2, "prompts": 4, "prompt": 8, "windows": 6, "batch": 4, "timed": False,
        "device": "cpu",
    }  # fmt: skip
    return Request(**{"model": str(place / "lm"), "data": str(place / "texts.csv"), **few, **given})


@pytest.fixture(scope="module")
def whole(place: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A study: its folder and its result."""
    folder = tmp_path_factory.mktemp("study") / "run"
    return folder, study.study(asked(place), folder, QUIET)


def test_the_original_comes_first_and_everything_is_compared_with_it(
    whole: tuple[Path, dict[str, Any]],
) -> None:
    folder, result = whole
    reference, *methods = result["methods"]
    assert reference["method"] == result["reference"] == "fp32" and "difference" not in reference
    assert [m["method"] for m in methods] == list(METHODS)
    settings = [(0.0, None), (0.5, 5), (0.5, None), (0.8, 5), (0.8, None)]
    for method in result["methods"]:
        assert [(s["temperature"], s["top_k"]) for s in method["samples"]] == settings
        for sample in method["samples"]:
            assert sample["perplexity"]["estimate"] == math.exp(sample["nats"]["estimate"])
    for method in methods:
        read = json.loads((folder / f"cells/{method['method']}_predictions.json").read_text())
        base = json.loads((folder / "cells/fp32_predictions.json").read_text())
        gap = np.mean(read["nats"]) - np.mean(base["nats"])
        assert method["difference"]["estimate"] == pytest.approx(gap)
        assert [(d["temperature"], d["top_k"]) for d in method["divergence"]] == settings[1:]
        assert {(r["top_k"], r["tokens"]) for r in method["resilience"]} == {(5, 6), (None, 6)}
    kl = {m["method"]: m["divergence"][-1]["kl"]["estimate"] for m in methods}
    assert 0 < kl["int8"] < kl["nf4b32"] < kl["random4"]
    page = json.loads((folder / "page.json").read_text())
    assert Page(**page).command == "compress generation"
    titles = [figure["title"] for section in page["sections"] for figure in section["figures"]]
    assert "Distance to the original, top-k 5" in titles and "Bytes of stored tensors" in titles


def test_greedy_decoding_is_done_once_and_the_rest_with_every_seed(
    whole: tuple[Path, dict[str, Any]],
) -> None:
    folder, result = whole
    files = {file.name for file in folder.glob("cells/nf4b32_t*")}
    drawn = {
        f"nf4b32_t{t}_k{k}_n6_s{s}.json" for t in (0.5, 0.8) for k in (5, "all") for s in (0, 1)
    }
    assert files == drawn | {"nf4b32_t0_kall_n6_s0.json"}
    assert any("are greedy decoding: the likeliest token" in note for note in result["notes"])


def test_the_original_is_not_changed_and_its_texts_are_its_own(
    whole: tuple[Path, dict[str, Any]], place: Path
) -> None:
    folder, _ = whole
    job = study.read(asked(place), QUIET)
    cell = json.loads((folder / "cells/fp32_t0_kall_n6_s0.json").read_text())
    ids, written = torch.tensor(job.prompts), []
    for _ in range(6):
        with torch.no_grad():
            written.append(job.model(input_ids=ids).logits[:, -1].argmax(-1))
        ids = torch.cat([ids, written[-1][:, None]], 1)
    for row, length, text in zip(
        torch.stack(written, 1).tolist(), cell["length"], cell["texts"], strict=True
    ):
        assert job.tokenizer.decode(row[: int(length)]) == text


def test_a_study_that_was_stopped_goes_on_to_the_same_bytes(
    whole: tuple[Path, dict[str, Any]], place: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    class Stopped(Exception):
        pass

    left = 9
    write = study.Run.write

    def stopping(run: Any, name: str, value: object) -> None:
        nonlocal left
        left -= name.startswith("cells/")
        if not left:
            raise Stopped
        write(run, name, value)

    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(study.Run, "write", stopping)
        study.study(asked(place), tmp_path / "run", QUIET)
    kept = {f.name: f.stat().st_mtime_ns for f in tmp_path.glob("run/cells/*.json")}
    assert len(kept) == 8
    result = study.resume(tmp_path / "run", QUIET)
    for name, time in kept.items():
        assert (tmp_path / "run/cells" / name).stat().st_mtime_ns == time
    folder, expected = whole
    for file in folder.glob("cells/*.json"):
        if "cost" not in file.name:  # holds what was measured
            assert (tmp_path / "run/cells" / file.name).read_bytes() == file.read_bytes()
    for method in (*result["methods"], *expected["methods"]):
        method.pop("peak_memory", None)
    assert result == expected


def test_a_study_goes_on_with_its_own_texts_only(place: Path, tmp_path: Path) -> None:
    data = tmp_path / "texts.csv"
    data.write_text((place / "texts.csv").read_text())
    few = asked(place, data=str(data), methods=("int8",), temperatures=(0.0,), seeds=1)
    study.study(few, tmp_path / "run", QUIET)
    (tmp_path / "run/result.json").unlink()
    data.write_text(data.read_text().replace("says", "said"))
    with pytest.raises(InputError, match="goes on with the texts that it began with"):
        study.resume(tmp_path / "run", QUIET)


def test_what_a_model_cannot_do_is_cut_and_said() -> None:
    wanted = Request(
        temperatures=(0.0, 0.5), top_k=(1, 300, 5), lengths=(4, 60, 90), seeds=3, seed=7
    )
    design, notes = Design.of(wanted, prompt=10, vocabulary=259, positions=64)
    assert design.settings == ((0.0, None), (0.5, None), (0.5, 5))
    assert design.lengths == (4, 54) and design.seeds == (7, 8, 9)
    assert "top-k 300 is all 259 tokens of the vocabulary" in notes
    assert "60 new tokens are cut to 54: the model reads 64, 10 of them the prompt" in notes
    assert any(note.startswith("temperature 0 and top-k 1 are greedy decoding") for note in notes)
    with pytest.raises(InputError, match="leave room for a token, and the model reads 64"):
        Design.of(wanted, prompt=64, vocabulary=259, positions=64)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"temperatures": (0.5, -0.1)}, "a temperature must be finite and not negative"),
        ({"top_k": (0,)}, "top-k must leave at least one token"),
        ({"methods": ()}, "at least one of --methods"),
        ({"methods": ("nf4", "NF4")}, "every method can be studied once, but got 'nf4, nf4'"),
        ({"methods": ("nf5",)}, "unknown way to quantize"),
        ({"seeds": 0}, "seeds must be positive, but got 0"),
        ({"lengths": (0,)}, "a text has at least one new token"),
        ({"prompts": 200}, "prompts are the beginnings of windows, of which there are 128"),
        ({"between": (0.8, 0.5)}, "spans two temperatures, the lower first"),
        ({"seed": -1}, "--seed must be a whole number"),
    ],
)
def test_settings_that_make_no_study(given: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        check(Request(**given))


def test_models_that_make_no_study(place: Path, tmp_path: Path) -> None:
    tiny.write(tmp_path / "bert", "bert")
    with pytest.raises(InputError, match="only a model that predicts the next token writes"):
        study.read(asked(place, model=str(tmp_path / "bert")), QUIET)
    with pytest.raises(InputError, match=r"layers\.0\.self_attn\.q_proj"):
        study.study(asked(place, methods=("rtn:w4g64",)), tmp_path / "run", QUIET)
    assert not (tmp_path / "run").exists(), "nothing was spent"
    model = tiny.model("llama")
    found = quantize(model, "nf4b32")
    save(model, found.codes, tmp_path / "coded", tiny.tokenizer("llama"))
    with pytest.raises(InputError, match="the model must not be quantized already"):
        study.read(asked(place, model=str(tmp_path / "coded")), QUIET)


def test_bytes_of_what_is_not_counted_are_not_known() -> None:
    model = tiny.model("llama")
    dense = 4 * sum(p.numel() for p in model.parameters())
    assert study.stored_bytes(model, None) == {"dense": dense}
    assert sum(study.stored_bytes(model, Spec.parse("rtn:w4g16")).values()) < dense
    assert study.stored_bytes(model, Spec.parse("rtn:w4g16-asym")) is None


def test_a_code_book_to_compare_with_has_no_layers_to_time(tmp_path: Path) -> None:
    model = tiny.model("llama")
    paces, reason = cost.paces(model, quantize(model, "random4"), [5, 6], 3)
    assert paces == [] and "has the code books nf4 and fp4, but got 'random4'" in reason


def test_a_pace_is_the_median_of_five_after_two(monkeypatch: pytest.MonkeyPatch) -> None:
    durations = [90.0, 80.0, 3.0, 1.0, 2.0, 5.0, 4.0, 70.0, 60.0, 10.0, 8.0, 9.0, 7.0, 6.0]
    clock = iter(t for end, d in zip(accumulate(durations), durations, strict=True)
                 for t in (end - d, end))  # fmt: skip
    asked_for = []
    monkeypatch.setattr(cost.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(
        cost, "answers", lambda model, prompts, **how: asked_for.append((len(prompts), how))
    )
    found = cost.pace(torch.nn.Identity(), [5, 6], batch=8, tokens=32)
    assert (found.first, found.rate) == (3.0, 8 * 32 / 8.0)
    assert [how["tokens"] for _, how in asked_for] == [1] * 7 + [32] * 7
    assert all(rows == 8 and how["stops"] == [] for rows, how in asked_for)


def test_a_shipped_form_is_timed(tmp_path: Path) -> None:
    model = tiny.model("llama")
    paces, form = cost.paces(model, quantize(model, "nf4b32"), [5, 6], 3)
    assert form == "bitsandbytes" and [p.batch for p in paces] == [1, 8]
    assert all(p.first > 0 and p.rate > 0 for p in paces)


def test_resilience_is_measured_by_what_seeds_alone_change() -> None:
    seeds = np.array([[1.0, 2.0, 3.0], [1.1, 2.0, 3.4], [0.9, 2.2, 3.2]])  # spread 0.4 at most
    assert resilience([0.5, 0.5], seeds[:, :2]) == 1
    assert resilience([0.1, 0.3, 0.2], seeds) == pytest.approx(0.5)
    assert resilience([0.0, 0.8, 0.2], seeds) == pytest.approx(-1)
    with pytest.raises(InputError, match="two temperatures and two seeds, but got '1 and 3'"):
        resilience([0.1], seeds[:, :1])


def test_a_difference_is_called_only_where_its_interval_excludes_zero() -> None:
    words = ("better", "worse")
    assert told(trials.Interval(0.2, 0.1, 0.3), words)["verdict"] == "worse"
    assert told(trials.Interval(-0.2, -0.3, -0.1), words)["verdict"] == "better"
    for low, high in ((-0.1, 0.3), (0.0, 0.3)):
        found = told(trials.Interval(0.2, low, high), words)
        assert found["verdict"] == "no difference found"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("texts", "other", "the same prompts and windows"),
        ("seeds", [0], "the same seeds"),
        ("lengths", [7], "the same lengths"),
        ("settings", [[0.0, None]], "the same temperatures and top-k"),
    ],
)
def test_studies_that_differ_do_not_stand_in_one_table(
    whole: tuple[Path, dict[str, Any]], name: str, value: Any, text: str
) -> None:
    _, result = whole
    together([result, result])
    other = {**result, "identity": {**result["identity"], name: value}}
    with pytest.raises(InputError, match=f"studies in one table need {text}"):
        together([result, other])
    with pytest.raises(InputError, match="only studies of generation"):
        together([result, {"kind": "compress"}])
