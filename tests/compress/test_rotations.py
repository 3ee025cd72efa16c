"""Hadamard matrices and even rotations."""

import pytest
import torch

from parsimony.compress.rotations import haar, hadamard, has_hadamard, spread


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", [1, 2, 4, 12, 20, 28, 36, 44, 60, 64, 96, 108, 140, 148, 768, 896])
def test_hadamard_has_equal_sizes_and_orthonormal_rows(size):
    found = hadamard(size)
    assert torch.allclose(found.abs(), torch.full_like(found, size**-0.5))
    assert torch.allclose(found @ found.T, torch.eye(size, dtype=torch.float64), atol=1e-12)


@pytest.mark.parametrize("size", [3, 6, 10, 22, 86])
def test_where_there_is_none_it_says_so_and_a_rotation_is_still_found(size):
    assert hadamard(size) is None
    made = spread(size, generator())
    assert torch.allclose(made @ made.T, torch.eye(size, dtype=torch.float64), atol=1e-12)


def test_widths_of_known_models_have_one():
    sizes = (2048, 3584, 4096, 5120, 8192, 11008, 12288, 13824, 14336, 18944)
    assert all(has_hadamard(size) for size in sizes)
    assert not has_hadamard(92)  # one exists, by another construction


def test_signs_and_rotations_are_drawn_evenly():
    made = spread(64, generator())
    signs = (made * hadamard(64)).sign()
    assert (signs == signs[:, :1]).all() and 10 < int((signs[:, 0] > 0).sum()) < 54
    drawn = torch.stack([haar(3, generator(seed)) for seed in range(2000)])
    assert drawn.mean(0).abs().max() < 0.06  # QR without its signs is far from that
    assert drawn.det().mean().abs() < 0.1
