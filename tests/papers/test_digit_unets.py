"""Tiny UNets of digits: images and contexts, rows kept apart, runs that repeat."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")
pytest.importorskip("sklearn")

from parsimony.papers import digit_unets  # noqa: E402
from parsimony.papers.digit_unets import (  # noqa: E402
    HELD_OUT,
    assembled,
    digits,
    held_out,
    network,
    teacher,
)


def test_images_are_the_originals_and_digits_differ_by_their_contexts() -> None:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    images, contexts = digits()
    assert images.shape == (1797, 1, 16, 16)
    assert contexts.shape == (1797, 4, 32)
    shrunk = torch.nn.functional.avg_pool2d(images, 2).view(1797, 64)
    torch.testing.assert_close((shrunk + 1) * 8, torch.tensor(pixels, dtype=torch.float32))
    assert len(contexts.unique(dim=0)) == 10
    assert all(len(contexts[labels == digit].unique(dim=0)) == 1 for digit in range(10))


def test_held_out_images_are_no_others() -> None:
    images, _ = digits()
    train, held = (digit_unets._rows(part, 4, 0).latents
                   for part in (slice(-HELD_OUT), slice(-HELD_OUT, None)))  # fmt: skip
    assert torch.equal(torch.cat([train, held]), images)
    assert len(held) == HELD_OUT


def test_a_network_has_half_a_million_parameters() -> None:
    assert sum(p.numel() for p in network(0).parameters()) == 522_113


def test_a_comparison_repeats_and_leaves_the_teacher_alone() -> None:
    before = held_out(teacher(1))
    first = assembled(1, 1, 1, taught=1)
    assembled.cache_clear()
    torch.rand(3)
    again = assembled(1, 1, 1, taught=1)
    assert list(first) == ["pieces first", "joint only", "from scratch"]
    for arm, errors in first.items():
        assert errors.shape == (1, 2 * HELD_OUT)
        assert np.array_equal(errors, again[arm])
    assert not np.array_equal(first["pieces first"], first["joint only"])
    assert np.array_equal(held_out(teacher(1)), before)
