"""Round to nearest: the contract, and the grid's own codes."""

import torch

from parsimony.compress.grid import Grid
from parsimony.compress.quantizing import quantize
from parsimony.compress.walk import matrix
from parsimony.core.prunable import block_linears
from parsimony.testing import tiny
from parsimony.testing.quantizer_contract import QuantizerContract


class TestRTN(QuantizerContract):
    specs = ("rtn:w4g16", "rtn:w3-asym", "rtn:w8a8")


def test_without_data_the_weights_are_the_same_as_with_it():
    model, before = tiny.model("gpt2"), block_linears(tiny.model("gpt2"))
    found = quantize(model, "rtn:w4g16")
    assert found.blocks == []
    for name, layer in block_linears(model).items():
        assert torch.equal(matrix(layer), Grid(4, 16).codes(matrix(before[name])).weight())
