"""The catalogue: every name of the surveys once, counts as peft has them, traits by trying."""

from __future__ import annotations

import csv
import importlib
from importlib import resources
from pathlib import Path

import peft
import pytest
import torch
from torch import nn

from parsimony.adapt import catalogue, solve
from parsimony.adapt.catalogue import BEYOND, Entry, fitting, traits
from parsimony.adapt.catalogue.fitting import Rules
from parsimony.adapt.method import methods
from parsimony.core import cost
from parsimony.core.budget import Budget
from parsimony.core.console import Console
from parsimony.core.errors import InputError
from parsimony.testing import tiny

LORA = Entry("LoRA", method="lora")
PROMPT = Entry("Prompt tuning", method="prompt")
FULL = Entry("full", method="full")


@pytest.fixture(scope="module")
def setup(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    model = tiny.write(tmp_path_factory.mktemp("catalogue") / "model")
    return fitting.setup_of(str(model), "text-classification", 4, 16)


def test_names_are_unique_and_every_one_is_in_a_survey(setup) -> None:  # type: ignore[no-untyped-def]
    found = catalogue.entries(setup.facts)
    assert len({e.name for e in found}) == len(found)
    assert all(e.review or e.comprehensive for e in found)


def test_what_the_table_ties_to_a_method_exists() -> None:
    text = (resources.files(catalogue) / "surveys.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    assert len(rows) > 100
    assert {r["method"] for r in rows} - {""} <= set(methods())
    assert {r["peft"] for r in rows} - {""} <= set(catalogue._types())
    first = {"additive", "partial", "reparameterized", "hybrid", "unified", ""}
    assert {r["review"].partition("/")[0] for r in rows} == first
    first = {"additive", "selective", "reparameterized", "hybrid", "systems", ""}
    assert {r["comprehensive"].partition("/")[0] for r in rows} == first


def test_every_method_of_ours_and_of_peft_is_there(setup) -> None:  # type: ignore[no-untyped-def]
    found = catalogue.entries(setup.facts)
    assert {e.method for e in found} - {""} == set(methods())
    used = {catalogue._type_of(name, setup.facts) for name in methods()}
    assert {e.peft for e in found} | used >= set(catalogue._types())
    assert {e.name for e in found if e.review == BEYOND} >= {"full", "MISS"}


def test_counts_are_those_of_the_wrapped_model(setup) -> None:  # type: ignore[no-untyped-def]
    rows = {r.entry.name: r for r in fitting.rows(setup, Rules(), Console(quiet=True))}
    lora = rows["LoRA"]
    hidden, layers, rank = tiny.HIDDEN, tiny.LAYERS, catalogue.SIZE
    head = 2 * hidden + 2
    assert lora.title == f"lora r={rank}"
    assert lora.footprint.trainable.value == layers * 2 * rank * 2 * hidden + head
    assert lora.footprint.head.value == head
    assert lora.footprint.parameters.value == solve.base_parameters(setup)
    assert rows["full"].footprint.trainable.value == solve.base_parameters(setup)
    adalora = rows["AdaLoRA"].footprint.trainable.value
    config = peft.AdaLoraConfig(task_type="SEQ_CLS", total_step=1)
    plain = solve.pretrained.build(setup.facts.config, setup.task)
    assert adalora == cost.count(peft.get_peft_model(plain, config))[1]
    away = rows["UniPELT"].footprint.trainable
    assert (away.value, away.note) == (None, "not available here")
    assert not any(r.rejected for r in rows.values())
    assert rows["LoRA+"].entry.where == "peft.optimizers.create_loraplus_optimizer"
    for name in ("create_loraplus_optimizer", "create_lorafa_optimizer"):
        assert hasattr(importlib.import_module("peft.optimizers"), name)


def test_a_limit_takes_a_smaller_size_or_says_by_how_much_it_fails(setup) -> None:  # type: ignore[no-untyped-def]
    total = solve.base_parameters(setup)

    def row(entry: Entry, rules: Rules) -> fitting.Row:
        return fitting._row(entry, setup, rules, total, solve.head_parameters(setup))

    wide = row(LORA, Rules(Budget(trainable=1.0)))
    narrow = row(LORA, Rules(Budget(trainable=0.03)))
    assert not wide.rejected and not narrow.rejected
    assert wide.footprint.trainable.value / total > 0.03 >= narrow.footprint.trainable.value / total
    none = row(FULL, Rules(Budget(trainable=0.03)))
    assert none.rejected == ("trains 100% of the parameters, more than trainable=3%",)
    peak = row(LORA, Rules(Budget(memory=1e9))).footprint.peak_memory.value
    assert peak == solve.step_cost(setup, "lora", catalogue.SIZE)[0].peak_bytes
    tight = row(LORA, Rules(Budget(memory=1000)))
    assert tight.rejected[0].endswith(" is more than memory=1000 B")
    away = row(Entry("Somewhere else"), Rules(traits=("mergeable",)))
    assert away.rejected == ("not available here",)
    assert away.traits["mergeable"].value is None


def test_traits_are_seen() -> None:
    assert traits.probe(LORA, "mergeable").value is True
    assert traits.probe(LORA, "no-latency").reason.startswith("none once merged; unmerged ")
    for name in ("several-adapters", "mixed-batches", "conv2d", "embedding", "gpt2-conv1d"):
        assert traits.probe(LORA, name).value is True, name
    assert traits.probe(PROMPT, "mergeable") == traits.Verdict(
        False, "what it does cannot be folded into the base weights"
    )
    assert traits.probe(PROMPT, "no-latency").value is False
    assert traits.probe(PROMPT, "conv2d").reason == "its configuration chooses no layers"
    assert traits.probe(FULL, "no-latency").value is True
    assert traits.probe(FULL, "several-adapters").value is False
    unknown = traits.probe(Entry("none", peft="XLORA"), "mergeable")
    assert unknown.value is None
    assert unknown.reason.startswith("cannot be tried on the tiny models: ")


def test_quantized_bases_are_tried() -> None:
    pytest.importorskip("bitsandbytes")
    for name in ("8bit", "4bit"):
        assert traits.probe(LORA, name).value is True
        assert traits.probe(FULL, name).value is False


def test_a_merge_that_loses_something_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(model: peft.PeftModel) -> nn.Module:
        plain: nn.Module = model.merge_and_unload()
        with torch.no_grad():
            plain.get_submodule("bert.encoder.layer.0.output.dense").weight.mul_(1.1)
        return plain

    monkeypatch.setattr(traits.peft_border, "merged", careless)
    found = traits.TRAITS["mergeable"](traits.Trial(LORA))
    assert found.value is False
    assert found.reason.startswith("merging moves the outputs by ")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "mergable",
            "unknown trait 'mergable'. Did you mean 'mergeable'? Known: "
            f"{', '.join(sorted(traits.TRAITS))}",
        ),
        (
            "time=5min",
            "a limit of --fits is on memory or trainable, but got 'time=5min'. Known: memory, "
            "trainable",
        ),
        ("memory=8GIG", "a quantity in bytes needs a number and a unit, but got '8GIG'."),
    ],
)
def test_bad_rules_get_one_line(text: str, line: str) -> None:
    with pytest.raises(InputError) as error:
        Rules.parse(text)
    assert str(error.value).startswith(line)


def test_rules_are_read() -> None:
    found = Rules.parse("memory=8GiB, mergeable,no-latency, trainable=1%")
    assert found == Rules(Budget(memory=8 * 2**30, trainable=0.01), ("mergeable", "no-latency"))
    assert Rules.parse("") == Rules()


def test_the_windows_and_batches_it_refuses(tmp_path: Path) -> None:
    model = str(tiny.write(tmp_path / "model"))
    with pytest.raises(InputError, match="--window must be 1 to 64 tokens for this model"):
        fitting.setup_of(model, "text-classification", 4, 65)
    with pytest.raises(InputError, match="--batch must be a positive whole number, but got 0"):
        fitting.setup_of(model, "text-classification", 0, 16)
