"""Folders in bitsandbytes' form, read back by transformers."""

from __future__ import annotations

import pytest
import torch
from export_models import bert, coded, gpt2, llama, weights
from safetensors import safe_open

from parsimony.compress.codebooks import BlockGrid
from parsimony.compress.export import save
from parsimony.compress.llm_int8 import Int8Rows
from parsimony.compress.sizes import planned
from parsimony.core.errors import InputError

library = pytest.importorskip("bitsandbytes")
pytestmark = pytest.mark.filterwarnings("ignore:The folder has no tokenizer")


@pytest.mark.parametrize("make", [llama, gpt2, bert])
@pytest.mark.parametrize("grid", ["nf4", "fp4b32"])
def test_code_books_are_read_back_to_the_bit(tmp_path, make, grid):
    model = make()
    grid = BlockGrid.parse(grid)
    codes = coded(model, grid)
    record = save(model, codes, tmp_path / "out")
    assert record["format"] == "bitsandbytes"
    # A linear layer in place of a Conv1D adds up in another order.
    assert record["reload_difference"] < (1e-3 if make is gpt2 else 1e-9)
    assert record["logits_error"] > 0.01
    assert record["bytes"]["roles"] == planned(model, dict.fromkeys(codes, grid))


def test_double_quantization_is_read_back_to_the_bit(tmp_path):
    model = llama(hidden=192)
    grid = BlockGrid("nf4", double=True)
    large = {n: w for n, w in weights(model).items() if w.numel() > 30_000}
    codes = {name: grid.codes(weight) for name, weight in large.items()}
    assert len(codes) == 10
    record = save(model, codes, tmp_path / "out")
    assert record["reload_difference"] == 0
    assert record["bytes"]["roles"] == planned(model, dict.fromkeys(codes, grid))


@pytest.mark.parametrize("make", [llama, gpt2])
def test_int8_rows_are_read_back(tmp_path, make):
    model = make(torch.float16)
    codes = coded(model, Int8Rows())
    record = save(model, codes, tmp_path / "out")
    # The codes are the same; the library's product of them is in other arithmetic.
    assert record["reload_difference"] < 0.05
    assert record["bytes"]["roles"] == planned(model, dict.fromkeys(codes, Int8Rows()))


def test_the_file_holds_what_the_library_itself_would_write(tmp_path):
    model = llama()
    name, weight = next(iter(weights(model).items()))
    save(model, {name: BlockGrid("nf4").codes(weight)}, tmp_path / "out")
    _, state = library.functional.quantize_4bit(weight.reshape(1, -1), quant_type="nf4")
    own = state.as_dict(packed=True)
    with safe_open(tmp_path / "out/model.safetensors", "pt") as file:
        written = {k: file.get_tensor(k) for k in file.keys() if k.startswith(f"{name}.weight")}  # noqa: SIM118
    assert set(written) == {f"{name}.weight", *(f"{name}.weight.{key}" for key in own)}
    read = library.functional.QuantState.from_dict(
        {k.removeprefix(f"{name}.weight."): v for k, v in written.items() if k != f"{name}.weight"},
        device=torch.device("cpu"),
    )
    assert torch.equal(read.absmax, state.absmax)
    assert torch.equal(read.code, state.code)
    assert (read.blocksize, read.quant_type, read.dtype) == (64, "nf4", torch.bfloat16)
    assert read.shape == weight.shape


def test_a_width_that_the_block_does_not_divide_is_refused_by_layer(tmp_path):
    model = llama()
    with pytest.raises(InputError, match=r"q_proj: the block must divide the 64 inputs.*got 128"):
        save(model, coded(model, BlockGrid("nf4", 128)), tmp_path / "out")


def test_two_code_books_are_refused(tmp_path):
    model = llama()
    codes = coded(model, BlockGrid("nf4"))
    codes["model.layers.0.mlp.up_proj"] = Int8Rows().codes(
        weights(model)["model.layers.0.mlp.up_proj"]
    )
    with pytest.raises(InputError, match=r"layers of one code book, but got \['int8', 'nf4'\]"):
        save(model, codes, tmp_path / "out")


def test_bits_of_activations_are_refused_but_for_the_8_of_int8(tmp_path):
    model = llama(torch.float16)
    with pytest.raises(InputError, match=r"and no others, but got '8 bits with nf4'"):
        save(model, coded(model, BlockGrid("nf4")), tmp_path / "out", activations=8)
    codes = coded(model, Int8Rows())
    with pytest.raises(InputError, match=r"and no others, but got '4 bits with int8'"):
        save(model, codes, tmp_path / "out", activations=4)
    told, untold = (save(model, codes, tmp_path / str(a), activations=a) for a in (8, None))
    assert told["logits_error"] == untold["logits_error"]
