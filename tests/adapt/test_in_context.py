"""In-context examples are rows in front of a prompt, as one would write them there."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from parsimony.adapt import solve
from parsimony.adapt.method import methods
from parsimony.adapt.methods.in_context import InContext
from parsimony.adapt.setup import Setup
from parsimony.core import pretrained
from parsimony.core.budget import Budget
from parsimony.core.data import dialogues
from parsimony.core.errors import InputError
from parsimony.core.generation import answers
from parsimony.core.inputs import stored
from parsimony.testing import tiny

WAY = InContext()


def made(folder: Path, architecture: str, window: int) -> Setup:
    """Six rows of 6 tokens and the end mark, and one of 16 and the end mark."""
    setup = tiny.setup(tiny.write(folder, architecture), "code", window=window)
    prompts = pd.Series([f"f{n}: " for n in range(7)])
    completions = pd.Series([f"x{n}" for n in range(6)] + ["far too long"])
    table = pd.DataFrame({"messages": dialogues.pairs(prompts, completions)})
    rows = setup.inputs.encode(table, window)
    stored.write((rows[n] for n in range(len(rows))), folder / "train.arrow")
    return setup


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def setup(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Setup:
    return made(tmp_path_factory.mktemp("shown"), request.param, 12)


def test_examples_are_the_rows_that_the_window_leaves_whole(setup: Setup) -> None:
    texts = [setup.tokenizer.decode(ids) for ids in setup.facts.examples]
    assert texts == [f"f{n}: x{n}[SEP]" for n in range(6)]


def test_they_stand_in_front_of_what_is_asked(setup: Setup) -> None:
    """The same logits, and the same answer, as the base model on one long text."""
    base = pretrained.load(setup.model, setup.task).eval()
    asked = setup.tokenizer("f9: ")["input_ids"]
    shown = next(
        first + second
        for first in setup.facts.examples
        for second in setup.facts.examples
        if torch.equal(
            base.get_input_embeddings()(torch.tensor(first + second)),
            setup.adapted("in-context", 2, 0.0, 3).get_prompt(1)[0],
        )
    )
    model = setup.adapted("in-context", 2, 0.0, 3).eval()
    with torch.no_grad():
        ours = model(input_ids=torch.tensor([asked])).logits[:, -len(asked) :]
        theirs = base(input_ids=torch.tensor([shown + asked])).logits[:, -len(asked) :]
    assert torch.allclose(ours, theirs, atol=1e-5)
    ends = [setup.tokenizer.eos_token_id]
    assert answers(model, [asked], tokens=5, stops=ends) == answers(
        base, [shown + asked], tokens=5, stops=ends
    )


def test_the_seed_draws_them_without_repeating_one(setup: Setup) -> None:
    def prompt(seed: int) -> torch.Tensor:
        return setup.adapted("in-context", 6, 0.0, seed).get_prompt(1)[0]

    assert torch.equal(prompt(1), prompt(1)) and not torch.equal(prompt(1), prompt(2))
    every = torch.tensor([token for ids in setup.facts.examples for token in ids])
    base = pretrained.load(setup.model, setup.task)
    all_of_them = base.get_input_embeddings()(every)
    assert torch.equal(prompt(1).sum(0).round(decimals=3), all_of_them.sum(0).round(decimals=3))


def test_a_number_that_does_not_fit_is_left_out_by_the_rule(setup: Setup, tmp_path: Path) -> None:
    """Seven tokens each and 64 positions; whichever are drawn, the longest must fit."""
    assert solve.sizes(WAY, setup) == [1, 2, 3, 4, 6]
    assert solve.sizes(WAY, made(tmp_path / "a", "llama", 33)) == [1, 2, 3]  # 33 + 17 + 7 + 7
    assert solve.sizes(WAY, made(tmp_path / "b", "llama", 34)) == [1, 2]
    options, dropped = solve.solve(setup, Budget(), ["in-context"], lambda _: 0.0)
    found = options["in-context"]
    assert (found.size, found.smaller, found.step.trainable) == (6, (4, 3, 2, 1), 0)
    assert found.stored_bytes == 42 * tiny.HIDDEN * 4 and not dropped
    with pytest.raises(InputError) as error:
        solve.solve(made(tmp_path / "c", "llama", 48), Budget(), ["in-context"], lambda _: 0.0)
    assert str(error.value) == (
        "none of the methods can adapt this model, but got {'in-context': 'k=1 puts up to 17 "
        "tokens in front of a window of 48, and the model takes 64'}. Choose other --methods"
    )


def test_other_tasks_have_nothing_to_show(tmp_path: Path) -> None:
    setup = tiny.setup(tiny.write(tmp_path, "llama"), "causal-lm")
    assert methods()["in-context"].refusal(setup.facts) == (
        "there are no prompts with answers to show, or none that the window leaves whole"
    )
