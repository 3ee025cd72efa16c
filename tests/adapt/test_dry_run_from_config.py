"""What a training would need, told from a config alone: of 7B parameters, and beside real runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers

from parsimony.adapt import workflow
from parsimony.adapt.workflow import Request
from parsimony.core import cost, training
from parsimony.core.budget import Budget
from parsimony.core.console import Console
from parsimony.core.errors import InputError
from parsimony.core.meter import forget_peak, peak_memory
from parsimony.testing import tiny

QUIET = Console(quiet=True)
TABLE = Path(__file__).parents[2] / "../shared/data/peft_method_comparison.csv"
GB = 1e9


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LLaMA-7B's config, and a tokenizer."""
    made = tmp_path_factory.mktemp("seven")
    transformers.LlamaConfig(
        vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32,
        num_attention_heads=32, bos_token_id=1, eos_token_id=2,
    ).save_pretrained(made)  # fmt: skip
    tiny.tokenizer("llama").save_pretrained(made)
    return made


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("data") / "answers.jsonl"
    rows = [{"prompt": f"What is {k} plus one?", "completion": f"It is {k + 1}."}
            for k in range(40)]  # fmt: skip
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return file


def request(folder: Path, data: Path, **changes: Any) -> Request:
    plain = {"methods": ("lora",), "budget": Budget(memory=6 * GB), "batch": 4, "window": 48}
    return Request(model=str(folder), data=str(data), **{**plain, **changes})


def test_seven_billion_parameters_in_six_gigabytes(
    folder: Path, data: Path, tmp_path: Path
) -> None:
    forget_peak()
    before = peak_memory().value or 0.0
    found = workflow.preview(request(folder, data), tmp_path, QUIET)
    assert (peak_memory().value or 0.0) - before < 0.5 * GB  # nothing of it was made
    assert found["predicted_seconds"] is None
    for candidate in found["candidates"]:
        assert " 4bit" in candidate["candidate"]
        assert candidate["seconds"] is None
        # 6.5e9 values of the blocks at 4.127 bits each, and two tables of 32000 x 4096 in bf16.
        assert 3.8 * GB < candidate["peak_memory"] <= 6 * GB


def test_without_weights_nothing_is_trained_or_timed(
    folder: Path, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"needs its weights as safetensors.*--dry-run"):
        workflow.adapt(request(folder, data), tmp_path / "run", QUIET)
    timed = request(folder, data, budget=Budget(time=600), base="4bit")
    with pytest.raises(InputError, match=r"time of a model without weights cannot be told"):
        workflow.preview(timed, tmp_path, QUIET)


QUERY_VALUE = {"task_type": "CAUSAL_LM", "target_modules": ["q_proj", "v_proj"]}
RUNS: dict[str, Any] = {
    "full-finetuning/llama-3.2-3B-lr_0.00001": None,
    "lora/llama-3.2-3B-rank32": lambda: peft.LoraConfig(r=32, **QUERY_VALUE),
    "lora/llama-3.2-3B-rank32-dora": lambda: peft.LoraConfig(r=32, use_dora=True, **QUERY_VALUE),
    "vera/llama-3.2-3B-default": lambda: peft.VeraConfig(r=256, **QUERY_VALUE),
    "prompt_tuning/llama-3.2-3B-default": lambda: peft.PromptTuningConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=200
    ),
}


@pytest.mark.parametrize("run", RUNS)
def test_the_peak_is_that_of_published_runs(run: str) -> None:
    """Llama-3.2-3B in bfloat16, 4 rows of at most 768 tokens (peft's method comparison).

    What those runs report is what CUDA had reserved, gaps of its allocator included. Of thirteen of
    them the tensors counted here were 0 to 8 % fewer, in the median 1.7 %.
    """
    if not TABLE.is_file():
        pytest.skip("the table of published runs is not here")
    with TABLE.open(encoding="utf-8", newline="") as stream:
        rows = {row["experiment"]: row for row in csv.DictReader(stream)}
    config = transformers.LlamaConfig(
        vocab_size=128256, hidden_size=3072, intermediate_size=8192, num_hidden_layers=28,
        num_attention_heads=24, num_key_value_heads=8, head_dim=128, tie_word_embeddings=True,
    )  # fmt: skip

    def build() -> torch.nn.Module:
        model = transformers.LlamaForCausalLM(config).to(torch.bfloat16)
        return peft.get_peft_model(model, RUNS[run]()) if RUNS[run] else model

    settings = training.TrainSettings(1e-4, 1)
    traced = cost.trace_step(
        cost.on_meta(build),
        cost.text_batch(config, "causal-lm", 4, 768),
        lambda parameters: training.optimizer_for(list(parameters), settings),
    )
    assert traced.trainable == int(rows[run]["num_trainable"])
    assert traced.peak_bytes == pytest.approx(float(rows[run]["mem_max_bytes"]), rel=0.08)
