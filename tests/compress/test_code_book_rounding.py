"""nf4, fp4 and int8 as roundings of a model: the contract, and the layers they stand for."""

import pytest
import torch

from parsimony.compress.codebooks import BlockGrid
from parsimony.compress.llm_int8 import Int8Linear, Int8Rows
from parsimony.compress.quantize.int8 import rounded_but_large
from parsimony.compress.quantizer import Spec
from parsimony.compress.quantizing import quantize
from parsimony.core.errors import InputError
from parsimony.testing import tiny
from parsimony.testing.quantizer_contract import QuantizerContract


class TestNF4(QuantizerContract):
    specs = ("nf4", "nf4b32")


class TestOtherBooks(QuantizerContract):
    specs = ("fp4", "int4", "random4")


class TestInt8(QuantizerContract):
    specs = ("int8",)


def test_int8_computes_what_its_layer_does():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, 32, generator=generator)
    x[..., 3] *= 20
    codes = Int8Rows().codes(torch.randn(8, 32, generator=generator))
    found = rounded_but_large(x) @ codes.weight().T
    torch.testing.assert_close(found, Int8Linear(codes)(x))
    assert torch.equal(rounded_but_large(x)[..., 3], x[..., 3])
    assert not torch.equal(rounded_but_large(x), x)


def test_double_quantized_scales_are_read_back():
    weight = torch.randn(256, 256, generator=torch.Generator().manual_seed(0))
    rounding, grid = Spec.parse("nf4-dq").rounding, BlockGrid.parse("nf4-dq")
    codes = grid.codes(weight)
    again = rounding.unpack(rounding.pack(codes), grid, weight)
    assert torch.equal(again.weight(), codes.weight())


def test_double_quantization_that_costs_more_is_refused_before_anything_changes():
    model = tiny.model("llama")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(InputError, match="q_proj: double quantization must save space"):
        quantize(model, "nf4-dq")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
