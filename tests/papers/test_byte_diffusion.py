"""The tiny masked-diffusion model: its size, its twin, text it learns, answers it learns."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from parsimony.core.errors import InputError  # noqa: E402
from parsimony.models.masked_diffusion import bound, check_bidirectional, sample  # noqa: E402
from parsimony.models.masked_diffusion.sampling import Sampling  # noqa: E402
from parsimony.papers.byte_diffusion import (  # noqa: E402
    MASK,
    causal_twin,
    network,
    settings,
    train_answers,
    train_text,
    validation,
)
from parsimony.papers.byte_models import held_out, windows  # noqa: E402

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}


def test_it_has_the_parameters_that_are_said() -> None:
    ours, twin = network(0), causal_twin(0)
    for model in (ours, twin):
        assert sum(p.numel() for p in model.parameters()) == 357_216
        linears = [m for m in model.model.layers.modules() if isinstance(m, torch.nn.Linear)]
        assert sum(m.weight.numel() for m in linears) == 331_776
    check_bidirectional(ours)
    with pytest.raises(InputError, match="a causal mask was left on"):
        check_bidirectional(twin)
    names = [list(model.state_dict()) for model in (ours, twin)]
    assert names[0] == names[1]
    assert all(map(torch.equal, ours.parameters(), twin.parameters()))  # the same start


def test_each_kind_is_measured_in_its_own_quantity() -> None:
    ours, twin, texts = network(0, **SMALL), causal_twin(0), held_out("ascii")
    assert validation(ours, draws=2) == bound(ours, texts, draws=2).value
    with torch.no_grad():
        assert validation(twin) == pytest.approx(float(twin(texts, labels=texts).loss))


def test_the_text_is_ascii() -> None:
    for split in ("train", "validation"):
        text = windows(split, "ascii")
        assert text.max() < MASK
        assert bytes(text[:100].flatten().tolist()).decode("ascii").isascii()
    assert windows("train").max() >= MASK
    assert held_out("ascii").shape == (128, 64)


def test_it_learns_and_repeats() -> None:
    def run(steps: int) -> dict[int, float]:
        return train_text(network(0, **SMALL), settings(steps), at=frozenset({5, steps}))

    found = run(30)
    assert list(found) == [5, 30]
    assert found[30] < found[5] < math.log(129) and found[30] < math.log(129) - 0.5
    torch.rand(3)
    assert run(5) == run(5)


def test_it_learns_to_answer() -> None:
    """A digit twice is to be answered by the same digit; the prompt is never learned."""
    digits = torch.randint(ord("0"), ord("4"), (500, 1), generator=torch.Generator().manual_seed(0))
    rows = digits.expand(500, 4).contiguous()
    model = network(0, **SMALL)
    train_answers(model, rows, 2, settings(80))
    test = rows[:64]
    answers = sample(model, test[:, :2], Sampling(2, 2, 2))
    assert torch.equal(answers, test[:, 2:])
    labels = test.clone()
    labels[:, :2] = -100
    assert bound(model, labels, input_ids=test).value < math.log(4)
