"""From conversations to an adapter that answers, by the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import small_run
import torch
import transformers

from parsimony.adapt import prediction
from parsimony.adapt.loading import load_run
from parsimony.adapt.setup import Plan
from parsimony.adapt.trial import folder_of, scores_of
from parsimony.core import artifacts, scoring
from parsimony.core.data import read_rows
from parsimony.core.errors import InputError
from parsimony.testing import tiny

TEMPLATE = (
    "{% for m in messages %}<{{ m.role[0] }}>{{ m.content }}[SEP]{% endfor %}"
    "{% if add_generation_prompt %}<a>{% endif %}"
)
SETTINGS = ["--budget", "trainable=50%", "--configurations", "1", "--seeds", "3", "--batch", "8",
            "--workers", "1", "--epochs", "1"]  # fmt: skip


def rows_of(count: int = 40) -> list[dict[str, Any]]:
    """Whatever is asked, the answer is "ok"."""
    return [
        {"messages": [{"role": "user", "content": f"say {number}: "},
                      {"role": "assistant", "content": "ok"}]}
        for number in range(count)
    ]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("instruction")
    model = tiny.write(home / "model", "llama")
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(model))
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(model)
    (home / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows_of()))
    command = [sys.executable, "-m", "parsimony", "adapt", str(model), str(home / "rows.jsonl")]
    small_run.call([*command, *SETTINGS, "--methods", "lora", "--out", str(home / "run")])
    return home


def test_a_tuner_of_ours_on_codes_is_trained_loaded_merged_and_exported(made: Path) -> None:
    # Each step in a process of its own, which knows no more than what the run left behind.
    out = made / "codes"
    command = [sys.executable, "-m", "parsimony"]
    chosen = ["--methods", "krona", "--base", "4bit", "--out", str(out)]
    small_run.call([*command, "adapt", str(made / "model"), str(made / "rows.jsonl"), *SETTINGS,
                    *chosen])  # fmt: skip
    code = artifacts.read_json(out / "result.json")["recommendation"]["load"]
    code += "print(sum(type(m).__name__ == 'Linear4bit' for m in model.modules()))\n"
    done = subprocess.run([sys.executable, "-c", code], cwd=out, env=small_run.environment(),
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == str(tiny.LLAMA_LAYERS)  # down_proj alone has 64 inputs
    small_run.call([*command, "merge", str(out), "--out", str(made / "merged")])
    merged = transformers.AutoModelForCausalLM.from_pretrained(str(made / "merged"))
    loaded = load_run(out)
    ids = torch.arange(3, 19)[None]
    with torch.no_grad():
        ours, plain = loaded.model(input_ids=ids).logits.float(), merged(input_ids=ids).logits
    assert (ours - plain).abs().max() < 0.02 * plain.abs().max()  # ours rounds to bfloat16
    done = small_run.call([*command, "export", str(out), "--json"])
    exported = json.loads(done.stdout)  # both measured on the codes
    assert exported["after"] == pytest.approx(exported["before"], abs=0.01)


def test_the_score_is_the_loss_of_what_is_handed_over(made: Path) -> None:
    result = artifacts.read_json(made / "run" / "result.json")
    assert result["data"]["task"] == "instruction"
    assert result["data"]["rows"] == {"train": 24, "validation": 8, "test": 8}
    assert result["metric"] == {
        "name": "loss per completion token", "unit": "nats", "higher_is_better": False
    }  # fmt: skip
    loaded, plan = load_run(made / "run"), Plan.read(made / "run")
    seed = result["recommendation"]["seed"]
    stored = scores_of(folder_of(made / "run", plan.candidates[0], seed), "test", plan.steps)
    rows = plan.setup.rows("test")
    again = scoring.score(loaded.model, rows, loaded.collator, "instruction")
    assert again.scores == pytest.approx(stored, rel=1e-5)


def test_the_report_and_the_snippet_serve_it(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (made / "run" / "report.html").read_text()
    assert "loss per completion token" in page
    monkeypatch.chdir(made / "run")
    space: dict[str, Any] = {}
    exec(artifacts.read_json(Path("result.json"))["recommendation"]["load"], space)
    ids = space["prompt"]["input_ids"]
    text = space["tokenizer"].decode(ids[0])
    assert text == "<u>What is next?[SEP]<a>"
    ours = load_run(made / "run").model
    with torch.no_grad():
        assert torch.equal(ours(input_ids=ids).logits, space["model"](input_ids=ids).logits)


def test_predict_refuses_it(made: Path) -> None:
    loaded = load_run(made / "run")
    rows = read_rows(made / "rows.jsonl")
    with pytest.raises(InputError) as error:
        prediction.predict(loaded, rows, "rows")
    assert str(error.value).startswith("predict gives labels and numbers; this run trained a ")


def test_the_run_keeps_its_rows(made: Path) -> None:
    loaded = load_run(made / "run")
    window = loaded.origin["window"]
    mapped = loaded.inputs.kept(made / "run" / "data", "test", window)
    answers = set()
    for number in range(len(mapped)):
        answers.add(loaded.tokenizer.decode([x for x in mapped[number]["labels"] if x != -100]))
    assert answers == {"ok[SEP]"}
