"""The uniform grid: closed forms, its error bound, idempotence, kept zeros, refusals."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from parsimony.compress.grid import Codes, Grid, fake_quantize_tokens
from parsimony.core.errors import InputError

GRIDS = st.builds(Grid, st.integers(2, 8), st.sampled_from([None, 1, 4, 12]), st.booleans())
SCALE_TYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float16])


def weights(seed: int, zeros: float = 0.3) -> torch.Tensor:
    """Rows of very different sizes, some weights zero and one group and one row all zero."""
    generator = torch.Generator().manual_seed(seed)
    w = torch.randn(5, 24, generator=generator) * torch.tensor([[1e-3], [0.02], [1], [50], [0]])
    w[1, :12] = 0
    return w * (torch.rand(5, 24, generator=generator) >= zeros)


@settings(max_examples=60, deadline=None)
@given(GRIDS, SCALE_TYPES, st.integers(0, 1000))
def test_a_value_moves_by_half_a_step_at_most(grid, scale_type, seed):
    w = weights(seed)
    codes = grid.codes(w, scale_type)
    step = codes.scale.float().repeat_interleave(24 // codes.scale.shape[1], 1)
    # The stored scale is rounded, so the outermost value may lie that much beyond the last point.
    kind = torch.finfo(scale_type)
    rounding = kind.eps * w.abs() + 2**grid.bits * kind.eps * kind.tiny + 1e-7 * step
    assert ((codes.weight(torch.float32) - w).abs() <= step / 2 + rounding).all()


@settings(max_examples=60, deadline=None)
@given(GRIDS, SCALE_TYPES, st.integers(0, 1000))
def test_zeros_stay_zero(grid, scale_type, seed):
    w = weights(seed)
    assert (grid.codes(w, scale_type).weight()[w == 0] == 0).all()


@settings(max_examples=60, deadline=None)
@given(GRIDS, st.integers(0, 1000))
def test_rounding_again_with_the_same_scales_changes_nothing(grid, seed):
    codes = grid.codes(weights(seed))
    grouped = codes.weight().unflatten(1, (codes.scale.shape[1], -1))
    zero = None if codes.zero is None else codes.zero[..., None]
    again = grid.round(grouped, codes.scale[..., None], zero).flatten(1)
    assert torch.equal(again, codes.values)


def test_the_symmetric_grid_of_one_group_by_hand():
    w = torch.tensor([[-7.5, 7.5, 1.4, 0.6, 0.0, -3.5]])
    codes = Grid(4).codes(w)  # s = 7.5 / 7.5
    assert codes.scale.tolist() == [[1.0]]
    assert codes.values.tolist() == [[-8, 7, 1, 1, 0, -4]]  # halves go to the even neighbour
    assert codes.values.dtype is torch.int8
    assert codes.zero is None


def test_the_asymmetric_grid_of_one_group_by_hand():
    w = torch.tensor([[-1.0, 2.0, 0.0, 0.4]])
    codes = Grid(2, symmetric=False).codes(w)  # s = 3 / 3, z = round(1 / 1)
    assert (codes.scale.item(), codes.zero.item()) == (1.0, 1)
    assert codes.values.tolist() == [[0, 3, 1, 1]]
    assert codes.weight().tolist() == [[-1.0, 2.0, 0.0, 0.0]]


def test_the_asymmetric_range_holds_zero_and_its_scale_has_a_floor():
    codes = Grid(8, symmetric=False).codes(torch.tensor([[3.0, 2.55], [0.0, 0.0]]))
    assert codes.zero.tolist() == [[0], [0]]
    assert codes.scale.flatten().tolist() == pytest.approx([3 / 255, 1e-5])


def test_codes_of_each_group_are_those_of_the_group_alone():
    w = weights(0)
    whole = Grid(3, 8).codes(w)
    for index in range(3):
        alone = Grid(3).codes(w[:, 8 * index : 8 * index + 8])
        assert torch.equal(whole.values[:, 8 * index : 8 * index + 8], alone.values)
        assert torch.equal(whole.scale[:, index : index + 1], alone.scale)


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_clipped_range_is_that_share_of_the_whole(symmetric):
    w = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    grid = Grid(4, 8, symmetric)
    whole, clipped = grid.codes(w), grid.codes(w, clip=0.5)
    assert torch.allclose(clipped.scale, whole.scale / 2)
    share = torch.full((3, 2, 1), 0.5)
    assert torch.equal(grid.codes(w, clip=share).values, clipped.values)


def test_codes_are_found_with_the_scale_as_it_is_stored():
    w = torch.tensor(
        [[1.0, 0.5 * 1.0 / 7.5 + 1e-5]]
    )  # above half a step, but not of the stored one
    assert Grid(4).codes(w).values[0, 1] == 1
    stored = Grid(4).codes(w, torch.bfloat16)
    assert stored.scale.item() > 1 / 7.5
    assert stored.values[0, 1] == 0


@pytest.mark.parametrize(
    ("grid", "inputs", "bits"),
    [
        (Grid(4, 128, symmetric=False), 4096, 4.15625),
        (Grid(4, 128), 256, 4.125),
        (Grid(8), 1024, 8 + 16 / 1024),
        (Grid(3, 64, symmetric=False), 64, 3 + 19 / 64),
    ],
)
def test_bits_per_weight(grid, inputs, bits):
    assert grid.bits_per_weight(inputs) == bits


@given(GRIDS)
def test_a_name_reads_back(grid):
    assert Grid.parse(str(grid)) == grid
    assert Grid.parse(f"W{grid}") == grid


@pytest.mark.parametrize("symmetric", [True, False])
def test_tokens_are_rounded_each_on_its_own_grid(symmetric):
    x = torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(0))
    x[0, 0] *= 1000
    found = fake_quantize_tokens(x, 8, symmetric)
    assert torch.equal(found[1, 2], fake_quantize_tokens(x[1, 2], 8, symmetric))
    assert torch.equal(
        found.flatten(0, 1), Grid(8, None, symmetric).codes(x.flatten(0, 1)).weight()
    )
    assert ((found - x).abs() / x.abs().amax(-1, keepdim=True)).max() < 1.001 / 255
    assert fake_quantize_tokens(x.bfloat16(), 4).dtype is torch.bfloat16


def test_clipped_tokens_stop_at_the_share():
    x = torch.tensor([[10.0, 1.0, -10.0]])
    found = fake_quantize_tokens(x, 8, clip=0.5)
    assert found[0, 0] == pytest.approx(5, abs=0.05)
    assert found[0, 2] == pytest.approx(-5, abs=0.05)


def test_a_scale_in_fp16_may_underflow_to_zeros_but_not_to_nan():
    codes = Grid(4).codes(torch.tensor([[1e-8, -1e-8]]), torch.float16)
    assert codes.weight().tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("symmetric", [True, False])
def test_non_finite_weights_are_refused_by_layer(value, symmetric):
    w = torch.ones(2, 4)
    w[1, 2] = value
    with pytest.raises(InputError, match=r"down_proj: .* finite, but got '1 NaN or inf.* 8'"):
        Grid(4, symmetric=symmetric).codes(w, name="down_proj")


def test_a_scale_beyond_fp16_is_refused():
    with pytest.raises(InputError, match=r"fc: a scale must fit torch.float16.*1e\+06.*bfloat16"):
        Grid(4).codes(torch.full((1, 4), 1e6), torch.float16, name="fc")


def test_a_group_that_does_not_divide_is_refused_by_layer():
    with pytest.raises(InputError, match=r"q_proj: a group .* 96 inputs, but got 64.*per row"):
        Grid(4, 64).codes(torch.ones(2, 96), name="q_proj")


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Grid(1), "2 to 8 bits, but got 1"),
        (lambda: Grid(9), "2 to 8 bits, but got 9"),
        (lambda: Grid(4, 0), "at least one input, but got 0"),
        (lambda: Grid.parse("int4"), "written as bits.*'int4'.*4g128"),
    ],
)
def test_impossible_grids_are_refused(make, text):
    with pytest.raises(InputError, match=text):
        make()


def test_float64_weights_are_rounded_in_float64():
    w = torch.randn(4, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    codes = Grid(8).codes(w)
    assert isinstance(codes, Codes)
    assert codes.weight().dtype is torch.float64
    assert torch.equal(codes.values.double() * codes.scale, codes.weight())
