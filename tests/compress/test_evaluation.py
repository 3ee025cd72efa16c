"""Scores of every kind against closed forms; speed by stand-ins that take a known time."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from compressed import model, windows
from torch import nn

from parsimony.compress import evaluation, speed
from parsimony.compress.page import page


class Uniform(nn.Module):
    """Knows nothing of seven tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, input_ids, output_hidden_states=False):
        return SimpleNamespace(logits=torch.zeros(*input_ids.shape, 7))

    def can_generate(self):
        return True


def test_a_model_that_knows_nothing_loses_the_logarithm_of_the_vocabulary():
    found = evaluation.evaluation_for(Uniform(), torch.ones(5, 4, dtype=torch.long), batch=2)
    scores = found.rows(Uniform())
    assert found.metric.name == "loss per token" and scores.shape == (5,)
    assert scores == pytest.approx([math.log(7)] * 5)
    assert found.summary(scores)["perplexity"] == pytest.approx(7)


def test_the_loss_is_transformers_own():
    found, ids = model("gpt2"), windows(6, 9)
    scores = evaluation.loss_per_token(ids, batch=4).rows(found)
    with torch.no_grad():
        wanted = [float(found(input_ids=row[None], labels=row[None]).loss) for row in ids]
    assert scores == pytest.approx(wanted, rel=1e-5)


def test_a_model_is_like_itself_and_less_like_another():
    found, ids = model("bert"), windows(6, 9)
    like = evaluation.evaluation_for(found, ids, batch=4)
    assert like.rows(found) == pytest.approx([1.0] * 6)
    assert (like.rows(model("bert", seed=5)) < 0.999).all()


def test_a_masked_diffusion_model_is_scored_by_its_bound():
    diffusion = Uniform()
    diffusion.bound = lambda ids: torch.full((len(ids),), 2.5)
    found = evaluation.evaluation_for(diffusion, windows(3, 4), batch=2)
    assert found.metric == evaluation.BOUND and found.rows(diffusion).tolist() == [2.5] * 3
    assert "perplexity" not in found.summary(found.rows(diffusion))


@pytest.mark.parametrize(
    ("times", "verdict"),
    [
        ([2.0, 1.5, 1.2], "faster on this machine"),
        ([0.5, 0.9, 0.8], "slower on this machine"),
        ([0.9, 1.1, 1.3], "not faster on this machine"),
    ],
)
def test_faster_means_faster_in_every_pair(monkeypatch, times, verdict):
    ratios = iter([9.0, 9.0, *times])  # the first two warm up
    monkeypatch.setattr(speed, "_pair", lambda models, ids: next(ratios))
    found = speed.compare(Uniform(), Uniform(), windows(2, 4), passes=3)
    assert found.verdict == verdict and found.ratio == sorted(times)[1]


def test_the_page_says_what_was_chosen_and_what_it_cost():
    result = {
        "model": {"name": "m"}, "chosen": "rtn:w4", "class": "LlamaForCausalLM",
        "artifact": "model", "bytes": {"original": 100, "compressed": 30, "share": 0.3},
        "metric": {"name": "loss per token"}, "data": {"notices": ["two rows repeat"]},
        "checkpoint": {"bytes": {"roles": {"codes": 20, "scales": 10}}}, "notes": ["a note"],
        "speed": {"ratio": 0.9, "verdict": "not faster on this machine"},
        "steps": [
            {"step": "original", "interval": {"estimate": 1.0, "low": 0.9, "high": 1.1}},
            {"step": "rtn:w4", "interval": {"estimate": 1.2, "low": 1.1, "high": 1.3},
             "difference": {"estimate": 0.2, "low": 0.1, "high": 0.3}, "verdict": "worse",
             "blocks": [{"error": 0.5, "reconstructed": 0.2}]},
        ],
    }  # fmt: skip
    shown = page(result)
    assert shown.summary == (
        "rtn:w4: 30.0% of the bytes; loss per token worse on held-out windows; not faster on this "
        "machine (0.90x)."
    )
    assert shown.notes == ["two rows repeat", "a note"]
    assert [section.title for section in shown.sections] == ["Quality", "Size", "Blocks", "Use"]
    bars = shown.sections[1].figures[0]
    assert bars.parts == ["codes", "scales", "dense"]
    assert bars.rows == [("original", [0.0, 0.0, 100.0]), ("rtn:w4", [20.0, 10.0, 0.0])]


def test_a_classifier_is_scored_by_the_names_of_its_classes(tmp_path):
    import pandas as pd
    import transformers

    from parsimony.core.errors import InputError
    from parsimony.testing import tiny

    config = tiny.config("bert")
    config.id2label, config.label2id = {0: "good", 1: "bad"}, {"good": 0, "bad": 1}
    torch.manual_seed(0)
    classifier = transformers.BertForSequenceClassification(config)
    with torch.no_grad():
        classifier.classifier.weight.zero_()
        classifier.classifier.bias.copy_(torch.tensor([1.0, 0.0]))  # says "good" to everything
    # The data number their classes in another order.
    table = pd.DataFrame({"text": ["a b", "c", "d e f"], "label": [1, 0, 1]})
    words = tiny.tokenizer("bert")
    found = evaluation.accuracy(table, ("bad", "good"), words, classifier, 16, batch=2)
    assert found.metric.name == "accuracy" and found.rows(classifier).tolist() == [1.0, 0.0, 1.0]
    with pytest.raises(InputError, match="The model knows \\['bad', 'good'\\]"):
        evaluation.accuracy(table, ("bad", "fine"), words, classifier, 16)
