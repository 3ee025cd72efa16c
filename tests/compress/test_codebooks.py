"""4-bit code books against bitsandbytes, and against closed forms of error and size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from parsimony.compress.codebooks import BLOCKS, BlockGrid, DoubleScales, dynamic_code
from parsimony.core.errors import InputError

functional = pytest.importorskip("bitsandbytes").functional

BOOKS = ("nf4", "fp4")
ALL = (*BOOKS, "int4", "random4")
TYPES = (torch.float32, torch.bfloat16, torch.float16)


def gaussian(*shape: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    return (torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.02).to(dtype)


def theirs(weight: torch.Tensor, grid: BlockGrid) -> tuple[torch.Tensor, object]:
    """bitsandbytes' codes of a weight laid out as one row, which it reads rightly at any width."""
    codes, state = functional.quantize_4bit(
        weight.reshape(1, -1),
        blocksize=grid.block,
        quant_type=grid.book,
        compress_statistics=grid.double,
    )
    return codes.flatten(), state


@pytest.mark.parametrize("shape", [(64, 128), (32, 96), (7, 33), (5, 160)])
@pytest.mark.parametrize("block", [32, 64, 4096])
@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("book", BOOKS)
def test_codes_scales_and_values_are_bitsandbytes_to_the_bit(book, dtype, block, shape):
    weight = gaussian(*shape, dtype=dtype)
    grid = BlockGrid(book, block)
    codes = grid.codes(weight)
    packed, state = theirs(weight, grid)
    assert torch.equal(codes.values, packed)
    assert torch.equal(codes.scales, state.absmax)
    assert codes.weight().dtype is dtype
    if weight.numel() % block == 0:  # reading a last short block needs a compiler
        read = functional.dequantize_4bit(packed[:, None], state).reshape(shape)
        assert torch.equal(codes.weight(), read)


@pytest.mark.parametrize("book", BOOKS)
def test_the_code_books_are_bitsandbytes(book):
    assert torch.equal(BlockGrid(book).book_codes(), functional.get_4bit_type(book, device="cpu"))
    assert torch.equal(dynamic_code(), functional.create_dynamic_map())


@pytest.mark.parametrize("book", BOOKS)
def test_double_quantization_is_bitsandbytes_but_for_its_table(book):
    grid = BlockGrid(book, double=True)
    weight = gaussian(512, 1024)
    codes = grid.codes(weight)
    packed, state = theirs(weight, grid)
    assert torch.equal(codes.values, packed)
    assert torch.equal(codes.scales.absmax, state.state2.absmax)
    assert codes.scales.mean == state.offset
    scaled = BlockGrid(book).codes(weight).scales - state.offset
    scaled = scaled / state.state2.absmax.repeat_interleave(256)
    book8 = dynamic_code()
    ours, other = ((book8[c.long()] - scaled).abs() for c in (codes.scales.values, state.absmax))
    assert (ours <= other + 1e-7).all()
    assert (codes.scales.values != state.absmax).float().mean() < 0.01
    # Read by bitsandbytes, our codes give what we say they stand for.
    state.absmax = codes.scales.values
    read = functional.dequantize_4bit(packed[:, None], state).reshape(weight.shape)
    assert torch.equal(codes.weight(), read)


@pytest.mark.parametrize(
    ("book", "block", "error"),
    [
        ("nf4", 64, 0.0920), ("nf4", 32, 0.0873), ("nf4", 128, 0.0956), ("nf4", 256, 0.0988),
        ("nf4", 1024, 0.1045), ("fp4", 64, 0.1219), ("fp4", 32, 0.1142), ("fp4", 128, 0.1287),
        ("fp4", 256, 0.1347), ("fp4", 1024, 0.1464),
    ],
)  # fmt: skip
def test_the_relative_error_on_gaussian_weights(book, block, error):
    weight = gaussian(1024, 1024)
    rest = BlockGrid(book, block).codes(weight).weight() - weight
    assert rest.norm() / weight.norm() == pytest.approx(error, abs=1e-4)


@pytest.mark.parametrize("book", BOOKS)
def test_double_quantization_adds_little_error(book):
    weight = gaussian(1024, 1024)
    plain, double = (
        float((BlockGrid(book, double=d).codes(weight).weight() - weight).norm() / weight.norm())
        for d in (False, True)
    )
    assert 0 < double - plain < 1e-4


@given(st.integers(0, 1000), st.sampled_from(BOOKS), st.sampled_from([32, 64]))
@settings(max_examples=30, deadline=None)
def test_rounding_again_changes_nothing(seed, book, block):
    codes = BlockGrid(book, block).codes(gaussian(3, 50, seed=seed))
    assert torch.equal(BlockGrid(book, block).codes(codes.weight()).weight(), codes.weight())


@pytest.mark.parametrize("book", BOOKS)
def test_zeros_stay_zero_and_a_block_of_zeros_is_one(book):
    weight = gaussian(4, 64)
    weight[:, ::2] = 0
    weight[1] = 0
    found = BlockGrid(book).codes(weight).weight()
    assert (found[weight == 0] == 0).all()
    assert found.isfinite().all()


def test_scales_that_are_all_alike_survive_double_quantization():
    assert torch.equal(DoubleScales.of(torch.full((300,), 0.25)).scales(), torch.full((300,), 0.25))


@pytest.mark.parametrize(("block", "bits"), [(32, 5.0), (64, 4.5), (128, 4.25), (256, 4.125)])
def test_bits_per_weight(block, bits):
    assert BlockGrid("nf4", block).bits_per_weight() == bits


def test_bits_per_weight_with_double_quantization():
    double = BlockGrid("nf4", double=True)
    assert double.bits_per_weight() == pytest.approx(4.12695, abs=1e-5)
    assert BlockGrid("nf4").bits_per_weight() - double.bits_per_weight() == pytest.approx(
        0.3730, abs=1e-4
    )
    assert double.bits_per_weight(1024 * 1024) == pytest.approx(4.1348 + 0.0005, abs=1e-4)


def test_double_quantization_that_costs_more_is_refused_with_both_numbers():
    grid = BlockGrid("nf4", 4096, double=True)
    with pytest.raises(InputError, match=r"v_proj: .*must save space.*4\.010\d.*4\.008\d without"):
        grid.codes(gaussian(1024, 1024), name="v_proj")
    grid.codes(gaussian(1200, 1200))  # large enough for its code book


@given(st.sampled_from(BOOKS), st.sampled_from(BLOCKS), st.booleans())
def test_a_name_reads_back(book, block, double):
    grid = BlockGrid(book, block, double)
    assert BlockGrid.parse(str(grid)) == grid


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: BlockGrid("nf3"), "one of nf4, fp4, int4, random4, but got 'nf3'"),
        (lambda: BlockGrid("nf4", 48), "one of 32, 64, .*, but got 48"),
        (lambda: BlockGrid.parse("int3"), "name.*'int3'.*nf4b128"),
        (
            lambda: BlockGrid("nf4").codes(torch.tensor([[1.0, float("nan")]]), name="fc"),
            "fc: values .* finite, but got '1 NaN or infinite of 2'",
        ),
    ],
)
def test_what_cannot_be_is_refused(make, text):
    with pytest.raises(InputError, match=text):
        make()


def test_int4_is_rounding_to_nearest_and_random4_is_like_no_other():
    weight = torch.randn(64, 96, generator=torch.Generator().manual_seed(0))
    absmax = weight.view(-1, 64).abs().amax(1, keepdim=True)
    nearest = ((weight.view(-1, 64) / absmax * 7).round() / 7 * absmax).view_as(weight)
    torch.testing.assert_close(BlockGrid("int4").codes(weight).weight(), nearest)
    error = {b: float((BlockGrid(b).codes(weight).weight() - weight).norm()) for b in ALL}
    assert error["nf4"] < error["int4"] < error["random4"]
    book = BlockGrid("random4").book_codes()
    assert len(book.unique()) == 16 and book.abs().max() <= 1 and 0 in book


def test_double_quantization_that_costs_more_can_be_asked_for():
    weight = torch.ones(32, 32)
    with pytest.raises(InputError, match="must save space"):
        BlockGrid("nf4", double=True).codes(weight)
    assert torch.equal(BlockGrid("nf4", double=True, saves=False).codes(weight).weight(), weight)
