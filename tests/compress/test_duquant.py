"""DuQuant: the contract, its parts, and the order of methods in one wide layer."""

import functools
from itertools import pairwise

import pytest
import torch
from compressed import model, windows
from torch import nn

from parsimony.compress.grid import Grid, fake_quantize_tokens
from parsimony.compress.quantize.duquant import (
    DuQuant,
    Largest,
    Turns,
    greedy_rotation,
    uniform_rotation,
    zigzag,
)
from parsimony.compress.quantize.smoothquant import smoothing
from parsimony.compress.quantizer import Spec
from parsimony.compress.quantizing import quantize
from parsimony.compress.rotations import spread
from parsimony.compress.walk import Group
from parsimony.testing.quantizer_contract import QuantizerContract


class TestDuQuant(QuantizerContract):
    specs = ("duquant:w4a4", "duquant+gptq:w8a8")


@pytest.fixture(autouse=True)
def fewer_steps(monkeypatch):
    monkeypatch.setattr(DuQuant, "steps", 4)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def orthogonal(square):
    return torch.allclose(square @ square.T, torch.eye(len(square), dtype=square.dtype), atol=1e-9)


@pytest.mark.parametrize("size", [2, 5, 128])
def test_the_base_spreads_its_first_axis_evenly(size):
    base = uniform_rotation(size)
    assert orthogonal(base)
    assert torch.allclose(base[0].abs(), torch.full((size,), size**-0.5, dtype=torch.float64))


def test_one_step_spreads_the_column_of_the_largest_value():
    x = torch.zeros(6, 32)
    x[4, 13] = -50.0
    found = greedy_rotation(x, 16, generator(), steps=1)
    assert orthogonal(found)
    image = (x.double().reshape(-1, 16) @ found)[8]
    assert abs(image[13]) == pytest.approx(50 / 4)  # its own axis keeps 1 / sqrt(16) of it
    assert image.abs().max() < 35 and image.norm() == pytest.approx(50)
    # The published code takes its row among the blocks, 8, for the column; 13 goes elsewhere.
    released = greedy_rotation(x, 16, generator(), steps=1, released=True)
    assert not torch.allclose(found, released)


def test_what_is_kept_has_the_least_range_of_all_steps():
    x = torch.randn(40, 32, generator=generator()) * torch.logspace(0, 1, 32)

    def span(steps):
        rows = x.double().reshape(-1, 16) @ greedy_rotation(x, 16, generator(), steps=steps)
        return float(rows.max() - rows.min())

    spans = [span(steps) for steps in range(12)]
    assert all(later <= earlier + 1e-5 for earlier, later in pairwise(spans))
    assert spans[0] == float(x.max() - x.min()) > 1.2 * spans[-1]


def test_zigzag_deals_large_channels_to_all_blocks():
    peaks = torch.tensor([5.0, 8.0, 1.0, 7.0, 2.0, 6.0, 3.0, 4.0])
    order = zigzag(peaks, 4)
    assert sorted(order.tolist()) == list(range(8))
    assert peaks[order].reshape(2, 4).tolist() == [[8, 5, 4, 1], [7, 6, 3, 2]]
    assert peaks[order].reshape(2, 4).sum(1).tolist() == [18, 18]


def test_inputs_and_weights_turn_together():
    x, w = torch.randn(20, 24, generator=generator()), torch.randn(3, 24, generator=generator(1))
    turns = Turns.of(x, torch.logspace(-1, 1, 24).double(), generator(), steps=5)
    assert len(turns.first) == 24  # the largest divisor up to 128
    found = turns.inputs(x.double()) @ turns.weight(w).T
    torch.testing.assert_close(found, x.double() @ w.double().T)


def test_the_largest_tokens_are_held_whatever_the_batches():
    x = torch.randn(3000, 4, generator=generator())
    whole, parts = Largest(4), Largest(4)
    whole.add(x)
    for part in x.split(700):
        parts.add(part)
    assert torch.equal(whole.sample, parts.sample) and len(whole.sample) == 512
    assert whole.sample.abs().max() == x.abs().max() == whole.peaks.max()


def test_ranges_are_clipped_below_eight_bits_only():
    assert [DuQuant().activation_clip(bits) for bits in (4, 6, 8)] == [0.9, 0.9, 1.0]

    def scales(spec):
        return quantize(model("llama"), spec, windows(4)).codes["model.layers.0.mlp.up_proj"].scale

    wide = scales("duquant:w8a8")
    assert torch.allclose(scales("duquant:w7a7"), wide * (255 / 127) * 0.8)


def test_the_released_choice_is_a_flag():
    spec = Spec.parse("duquant:w4a4")
    other = Spec(spec.rounding, spec.grid, DuQuant(released=True), spec.activations)
    first, second = (
        quantize(model("llama"), s, windows(4)).blocks[0]["error"] for s in (spec, other)
    )
    assert first != second


# One layer of 2048 inputs, 8 of them 20 times larger; asymmetric grids by row and token.


@functools.cache
def layer(massive):
    x = torch.randn(256, 2048, generator=generator(7))
    x[:, torch.randperm(2048, generator=generator(8))[:8]] *= 20
    clean = x.clone()
    tokens = torch.randperm(256, generator=generator(9))[:6]
    if massive:
        x[tokens, 1000] = 1000
    weight = torch.randn(128, 2048, generator=generator(10)) / 2048**0.5
    linear = nn.Linear(2048, 128, bias=False)
    linear.weight.data = weight.clone()
    seen = Largest(2048)
    seen.add(x)
    scale = smoothing(Group({"a": linear}, None), seen.peaks)
    turns = Turns.of(seen.sample, scale, generator(), steps=16)
    turn = spread(2048, generator()).float()
    pairs = {
        "rtn": (x, weight),
        "smoothquant": ((x / scale).float(), (weight * scale).float()),
        "quarot": (x @ turn, weight @ turn),
        "duquant": (turns.inputs(x), turns.weight(weight).float()),
    }
    return x @ weight.T, clean @ weight.T, tokens, pairs


def error(method, bits, clips=(1.0, 1.0), massive=False):
    """Of the output relative to it; on the tokens with massive values, to it without these."""
    wanted, clean, tokens, pairs = layer(massive)
    x, weight = pairs[method]
    codes = Grid(bits, symmetric=False).codes(weight, clip=clips[1])
    off = fake_quantize_tokens(x, bits, False, clips[0]) @ codes.weight().T - wanted
    if massive:
        return float(off[tokens].norm() / clean[tokens].norm())
    return float(off.norm() / wanted.norm())


@pytest.mark.parametrize(
    ("method", "bits", "clips", "expected"),
    [
        ("rtn", 4, (1.0, 1.0), 0.57),
        ("smoothquant", 4, (1.0, 1.0), 0.25),
        ("quarot", 4, (1.0, 1.0), 0.18),
        ("duquant", 4, (1.0, 1.0), 0.128),
        ("duquant", 4, (0.9, 0.8), 0.112),
        ("duquant", 8, (1.0, 1.0), 0.0075),
        ("duquant", 8, (0.9, 0.8), 0.025),
    ],
)
def test_the_order_of_methods_in_a_wide_layer(method, bits, clips, expected):
    assert error(method, bits, clips) == pytest.approx(expected, rel=0.1)


def test_one_rotation_for_all_smears_massive_values_over_their_tokens():
    assert error("quarot", 4, massive=True) > 1.5
    assert error("duquant", 4, (0.9, 0.8), massive=True) < 0.3
