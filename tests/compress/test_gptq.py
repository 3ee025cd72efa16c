"""GPTQ: the contract, a plain column loop in float64, and what it is for."""

import pytest
import torch
from correlated import correlated, neighbours, seen

from parsimony.compress.grid import Grid
from parsimony.compress.quantize.gptq import GPTQ
from parsimony.compress.quantize.rtn import RTN
from parsimony.compress.quantizer import Call
from parsimony.compress.statistics import Hessian
from parsimony.testing.quantizer_contract import QuantizerContract

GRIDS = [Grid(4, 16), Grid(3, 48, False), Grid(2), Grid(4, 96, False), Grid(3, 192), Grid(4, 1)]
CLIP = 0.97  # without it the lowest weight of a symmetric group lies half way between two points


class TestGPTQ(QuantizerContract):
    specs = ("gptq:w4g16-asym", "gptq:w3", "gptq:w4a8")


def weights(rows=16, width=192, seed=1):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def weighted(hessian, difference):
    """tr(D H D^T)."""
    return float(((difference.double() @ hessian.double()) * difference).sum())


def plainly(weight, hessian, grid, mask):
    """The recursion with the inverse itself, no Cholesky factor, no lazy blocks: after each column
    the others move by the error times the inverse's row, and the column leaves the inverse."""
    width = weight.shape[1]
    w, size = weight.clone(), grid.group or weight.shape[1]
    mean = hessian.diagonal().mean()
    inverse = torch.linalg.inv(hessian + 0.01 * mean * torch.eye(width, dtype=hessian.dtype))
    found = torch.zeros_like(w)
    for j in range(width):
        if j % size == 0:
            scale, zero = grid.scales(w[:, j : j + size], clip=CLIP)
        origin = 0 if zero is None else zero.double()
        codes = grid.round(w[:, j, None], scale, zero).double()
        found[:, j] = ((codes - origin) * scale)[:, 0]
        if mask is not None:
            found[:, j] *= mask[:, j]
        error = (w[:, j] - found[:, j]) / inverse[j, j]
        w[:, j:] -= error[:, None] * inverse[j, j:]
        inverse -= inverse[:, j, None] * inverse[j] / inverse[j, j]
    return found


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("masked", [False, True])
def test_it_is_the_plain_recursion_on_the_inverse(grid, masked):
    inputs = correlated(tokens=600, width=192).double()
    statistic = seen(Hessian, inputs.float())
    exact = 2 * inputs.T @ inputs / len(inputs)
    statistic._sum = exact * statistic.tokens / 2
    mask = weights(seed=5) > 0 if masked else None
    weight = weights().double() * (1 if mask is None else mask)
    codes, note = GPTQ().round(weight, Call("x", grid, weight.dtype, statistic, mask, CLIP))
    assert not note
    torch.testing.assert_close(codes.weight(), plainly(weight, exact, grid, mask))


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_on_correlated_inputs_it_beats_rounding_to_nearest(bits, symmetric, seed):
    statistic = seen(Hessian, neighbours(tokens=600, width=192, seed=seed))
    weight, grid = weights(seed=10 + seed), Grid(bits, 32, symmetric)
    call = Call("x", grid, weight.dtype, statistic)
    ours, nearest = (way.round(weight, call)[0].weight() for way in (GPTQ(), RTN()))
    hessian = statistic.matrix
    assert weighted(hessian, ours - weight) < 0.3 * weighted(hessian, nearest - weight)


def test_codes_count_on_the_scale_as_it_is_stored():
    weight = weights(width=48)
    call = Call("x", Grid(4, 16), torch.bfloat16, seen(Hessian, correlated(width=48)))
    codes, _ = GPTQ().round(weight, call)
    assert codes.scale.dtype is torch.bfloat16
    assert codes.scale.shape == (16, 3)


def test_a_clip_narrows_the_range_of_each_group():
    weight = weights(width=48)
    still = seen(Hessian, torch.eye(48) * 1e3)  # nothing is compensated
    clip = torch.full((16, 3, 1), 0.5)
    for grid in (Grid(4, 16), Grid(4, 16, False)):
        clipped, _ = GPTQ().round(weight, Call("x", grid, weight.dtype, still, clip=clip))
        nearest, _ = RTN().round(weight, Call("x", grid, weight.dtype, clip=clip))
        assert torch.equal(clipped.scale, nearest.scale)
        assert torch.equal(clipped.values, nearest.values)


def test_a_dead_input_costs_nothing_and_damping_is_raised_or_given_up_in_words():
    inputs = correlated(width=48)
    inputs[:, 3] = 0
    weight = weights(width=48)
    statistic = seen(Hessian, inputs)
    codes, note = GPTQ().round(weight, Call("x", Grid(4, 16), weight.dtype, statistic))
    assert not note and not codes.weight()[:, 3].any()

    # The lowest eigenvalue below zero: no covariance, but float32 sums come near such ones.
    statistic = seen(Hessian, neighbours(width=48))
    statistic._sum -= torch.eye(48) * statistic._sum.diagonal().mean() * 0.1
    _, note = GPTQ().round(weight, Call("q_proj", Grid(4, 16), weight.dtype, statistic))
    assert note == "q_proj: damping raised to 0.1, 0.01 was too low"

    statistic._sum[0, 0] = float("nan")
    call = Call("q_proj", Grid(4, 16), weight.dtype, statistic)
    codes, note = GPTQ().round(weight, call)
    assert "q_proj: no damping makes the Hessian positive definite; rounded to the nearest" in note
    assert torch.equal(codes.values, RTN().round(weight, call)[0].values)
