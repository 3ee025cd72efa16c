"""Per-row scores against hand computation; padding and evaluation leave no trace."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from torch import nn

from parsimony.core import scoring
from parsimony.core.scoring import METRICS, Collator, EncodedRows


class Given(nn.Module):
    """Returns the logits it was made with, row by row."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))
        self._rows = iter(logits)

    def forward(self, input_ids: torch.Tensor, **_: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=torch.stack([next(self._rows) for _ in input_ids]))


def labelled(texts: list[str], labels: list[float]) -> EncodedRows:
    table = pd.DataFrame({"text": texts, "label": labels})
    return EncodedRows(table, tiny.tokenizer(), 16)


def test_accuracy_is_right_or_wrong_per_row() -> None:
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0], [5.0, 1.0]])
    rows = labelled(["red", "green", "blue"], [0, 1, 1])
    found = scoring.score(
        Given(logits), rows, tiny.collator(), "text-classification", batch=2
    )  # fmt: skip
    assert found.scores.tolist() == [1.0, 1.0, 0.0]
    assert found.scores.dtype == np.float64
    chances = np.exp(logits.double().numpy())
    chances /= chances.sum(1, keepdims=True)
    assert found.loss == pytest.approx(-np.log(chances[[0, 1, 2], [0, 1, 1]]).mean(), rel=1e-6)


def test_regression_is_the_squared_error_per_row() -> None:
    logits = torch.tensor([[1.5], [-2.0]])
    rows = labelled(["red", "green"], [1.0, 1.0])
    found = scoring.score(Given(logits), rows, tiny.collator("regression"), "regression")
    assert found.scores.tolist() == [0.25, 9.0]
    assert found.loss == 4.625


def test_loss_per_token_is_the_mean_over_a_rows_own_tokens() -> None:
    rows = EncodedRows(pd.DataFrame({"text": ["red", "green blue warm"]}), tiny.tokenizer(), 16)
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 14, generator=random)
    found = scoring.score(Given(logits), rows, tiny.collator("causal-lm"), "causal-lm", batch=2)
    for row in range(2):
        ids = rows[row]["input_ids"]
        chances = logits[row].double().softmax(-1)
        by_hand = [-np.log(chances[k, ids[k + 1]].item()) for k in range(len(ids) - 1)]
        assert found.scores[row] == pytest.approx(np.mean(by_hand), rel=1e-5)


def test_virtual_tokens_in_front_are_not_scored() -> None:
    rows = EncodedRows(pd.DataFrame({"text": ["red blue"]}), tiny.tokenizer(), 16)
    logits = torch.randn(1, 4, 14, generator=torch.Generator().manual_seed(0))
    longer = torch.cat([torch.randn(1, 3, 14), logits], dim=1)
    plain, prompted = (
        scoring.score(Given(x), rows, tiny.collator("causal-lm"), "causal-lm")
        for x in (logits, longer)
    )
    assert plain.scores.tolist() == prompted.scores.tolist()


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(
    ("task", "model"),
    [
        ("causal-lm", tiny.gpt2),
        ("regression", lambda: tiny.bert(labels=1, problem_type="regression")),
    ],
)
def test_padding_does_not_change_a_score(task: str, model, side: str) -> None:
    tokenizer = tiny.tokenizer(padding_side=side)
    rows = EncodedRows(tiny.table(16), tokenizer, 16)
    lengths = {len(rows[i]["input_ids"]) for i in range(len(rows))}
    assert len(lengths) > 3
    collate = Collator(tokenizer, task)
    alone, together = (scoring.score(model(), rows, collate, task, batch=b).scores for b in (1, 8))
    np.testing.assert_allclose(alone, together, atol=1e-5)
    assert np.ptp(alone) > 1e-4  # the scores tell rows apart, so the comparison says something


def test_causal_labels_leave_padding_out() -> None:
    rows = EncodedRows(pd.DataFrame({"text": ["red", "red blue warm"]}), tiny.tokenizer(), 16)
    batch = tiny.collator("causal-lm")([rows[0], rows[1]])
    assert batch["labels"].tolist() == [[2, 4, 3, -100, -100], [2, 4, 6, 11, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]


@pytest.mark.parametrize("mode", [True, False])
def test_evaluation_leaves_the_rng_and_the_mode_as_they_were(mode: bool) -> None:
    model = tiny.bert().train(mode)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first = scoring.score(model, tiny.rows(), tiny.collator(), "text-classification")
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training is mode
    again = scoring.score(model, tiny.rows(), tiny.collator(), "text-classification")
    assert first.scores.tolist() == again.scores.tolist()  # no dropout while scoring
    assert all(p.grad is None for p in model.parameters())


class Noisy(nn.Module):
    """Draws random numbers even in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1))

    def forward(self, input_ids: torch.Tensor, **_: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(logits=torch.randn(len(input_ids), 2))


def test_a_model_that_draws_leaves_the_rng_too() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    scoring.score(Noisy(), tiny.rows(), tiny.collator(), "text-classification")
    assert torch.equal(torch.get_rng_state(), before)


def test_what_the_caller_does_between_two_batches_is_the_callers() -> None:
    torch.manual_seed(3)
    expected = torch.rand(5).tolist()
    torch.manual_seed(3)
    drawn = []
    for _ in scoring.outputs(tiny.bert(), tiny.rows(), tiny.collator(), 8):
        assert torch.is_grad_enabled()
        if not drawn:
            torch.manual_seed(3)
        drawn.append(torch.rand(1).item())
    assert drawn == expected


def test_a_failing_model_is_put_back_into_training() -> None:
    class Failing(Noisy):
        def forward(self, input_ids: torch.Tensor, **_: torch.Tensor) -> SimpleNamespace:
            raise KeyError

    model = Failing().train()
    with pytest.raises(KeyError):
        scoring.score(model, tiny.rows(), tiny.collator(), "text-classification")
    assert model.training


def test_rows_are_cut_at_the_window() -> None:
    rows = EncodedRows(tiny.table(8), tiny.tokenizer(), 4)
    assert max(len(rows[i]["input_ids"]) for i in range(8)) == 4
    assert rows[6]["input_ids"][0] == 2 and rows[6]["input_ids"][-1] == 3


def test_pairs_are_joined() -> None:
    table = pd.DataFrame({"text": ["red"], "text_pair": ["blue warm"], "label": [1]})
    row = EncodedRows(table, tiny.tokenizer(), 16)[0]
    assert row["input_ids"] == [2, 4, 3, 6, 11, 3]
    assert row["labels"] == 1


@pytest.mark.parametrize(
    ("task", "kind"), [("regression", torch.float32), ("text-classification", torch.long)]
)
def test_labels_have_the_type_the_loss_wants(task: str, kind: torch.dtype) -> None:
    batch = tiny.collator(task)([tiny.rows()[0], tiny.rows()[1]])
    assert batch["labels"].dtype == kind


def test_rows_without_labels_make_batches_without() -> None:
    rows = EncodedRows(tiny.table(4).drop(columns="label"), tiny.tokenizer(), 16)
    assert "labels" not in tiny.collator()([rows[0], rows[1]])


def test_the_sign_makes_higher_better() -> None:
    assert {task: metric.sign for task, metric in METRICS.items()} == {
        "text-classification": 1.0, "text-pair-classification": 1.0,
        "regression": -1.0, "causal-lm": -1.0, "instruction": -1.0, "code": 1.0,
        "audio-classification": 1.0,
    }  # fmt: skip
