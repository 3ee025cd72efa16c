"""Specs, warnings and refusals of quantization; each mechanism has a test of its own."""

import pytest
import torch
from compressed import model, windows

from parsimony.compress.grid import Grid
from parsimony.compress.quantizer import Spec, roundings, transforms
from parsimony.compress.quantizing import quantize
from parsimony.core.errors import InputError


@pytest.mark.parametrize(
    ("text", "transform", "rounding", "grid", "activations"),
    [
        ("rtn:w4g128", None, "rtn", Grid(4, 128), None),
        ("GPTQ:w4g128-asym", None, "gptq", Grid(4, 128, False), None),
        ("awq:w4g128", "awq", "rtn", Grid(4, 128), None),
        ("smoothquant:w8a8", "smoothquant", "rtn", Grid(8), 8),
        ("quarot+gptq:w4a4", "quarot", "gptq", Grid(4), 4),
        ("duquant:w4g16a4-asym", "duquant", "rtn", Grid(4, 16, False), 4),
        ("rtn:w4a16", None, "rtn", Grid(4), None),
    ],
)
def test_a_spec_is_read_and_written(text, transform, rounding, grid, activations):
    spec = Spec.parse(text)
    assert (spec.transform.name if spec.transform else None) == transform
    assert (spec.rounding.name, spec.grid, spec.activations) == (rounding, grid, activations)
    assert str(Spec.parse(str(spec))) == str(spec)


@pytest.mark.parametrize("text", ["nf4", "nf4-dq", "fp4", "fp4-dq", "nf4b128-dq", "int8"])
def test_a_code_book_is_its_name(text):
    spec = Spec.parse(text)
    assert text.startswith(spec.rounding.name)
    assert str(spec) == text
    assert not spec.needs_data


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gtpq:w4", "unknown way to quantize, but got 'gtpq'. Did you mean 'gptq'. Known: awq, "),
        ("smoothqant+rtn:w4", "Did you mean 'smoothquant'"),
        ("awq+rnt:w4", "'rnt'. Did you mean 'rtn'"),
        ("gptq+awq:w4", "unknown way to quantize|one transform may stand before"),
        ("awq+smoothquant+rtn:w4", "one transform may stand before a rounding"),
        ("rtn", "rtn is written with a grid: .*but got 'rtn'. Examples: rtn:w4g128"),
        ("rtn:4", "written with a grid: .*'rtn:4'"),
        ("rtn:w9", "2 to 8 bits, but got 9"),
        ("rtn:w4a1", "activations have 2 to 8 bits, or 16 for none, but got 1"),
        ("nf4:w4", "a code book has no grid, but got 'nf4:w4'. Write nf4"),
        ("nf4b65", "a block is one of"),
        ("int8:w8", "int8 has no grid"),
        ("quarot+nf4", "transforms are for weights on a uniform grid, .* Write nf4"),
    ],
)
def test_a_bad_spec_is_explained(text, message):
    with pytest.raises(InputError, match=message):
        Spec.parse(text)


def test_every_mechanism_is_found():
    assert {"rtn", "gptq", "nf4", "fp4", "int8"} <= set(roundings())
    assert {"awq", "smoothquant", "quarot", "duquant"} <= set(transforms())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: quantize(model("llama"), "gptq:w4"), "gptq:w4 needs calibration data"),
        (lambda: quantize(model("llama"), "awq:w4"), "awq\\+rtn:w4 needs calibration data"),
        (
            lambda: quantize(model("llama"), "rtn:w4g48"),
            r"layers.0.self_attn.q_proj: a group .* 48",
        ),
        (
            lambda: quantize(
                model("llama"), "rtn:w4", masks={"model.layers.0.mlp.up.weight": torch.ones(1)}
            ),
            "a mask must be of a layer that is quantized, .*'model.layers.0.mlp.up_proj.weight'",
        ),
    ],
)
def test_bad_input_is_explained_before_anything_changes(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_layers_of_bitsandbytes_are_refused():
    from parsimony.core.quantized import quantized

    found = model("llama")
    layer = found.model.layers[0].mlp
    layer.up_proj = quantized(layer.up_proj, 4)
    with pytest.raises(InputError, match="up_proj must not be quantized already, but got 'uint8'"):
        quantize(found, "rtn:w4")


def test_too_few_tokens_for_the_hessian_are_told_with_both_numbers():
    notes = quantize(model("llama"), "gptq:w4", windows(4, 12), batch=4).notes
    assert notes[0].startswith("48 calibration tokens are fewer than the up to 64 inputs of 4 lay")
    assert not quantize(model("llama"), "gptq:w4", windows(6, 12), batch=4).notes


def test_four_bits_of_smoothed_activations_are_warned_of():
    for spec in ("smoothquant:w4a4", "rtn:w4a4"):
        notes = quantize(model("llama"), spec, windows()).notes
        assert any("published results collapse" in note for note in notes)
    notes = quantize(model("llama"), "smoothquant:w8a8", windows()).notes
    assert not any("collapse" in note for note in notes)


def test_activations_are_rounded_after_all_weights():
    rounded, plain = model("llama"), model("llama")
    quantize(rounded, "gptq:w4a4", windows())
    quantize(plain, "gptq:w4", windows())
    state = plain.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in rounded.state_dict().items())


def test_the_next_block_sees_what_the_quantized_one_makes():
    found = quantize(model("llama"), "rtn:w2", windows())
    errors = [report["error"] for report in found.blocks]
    assert len(errors) == 4 and min(errors) > 0
