"""compressed-tensors folders against the library that reads them, to the bit."""

from __future__ import annotations

import json

import pytest
import torch
from export_models import bert, coded, gpt2, llama, weights
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from parsimony.compress.export import save
from parsimony.compress.export.compressed_tensors import pack, unpack
from parsimony.compress.grid import Grid
from parsimony.compress.sizes import planned
from parsimony.core.errors import InputError

pytest.importorskip("compressed_tensors")
pytestmark = pytest.mark.filterwarnings("ignore:The folder has no tokenizer")

BITS = st.integers(2, 8)


def random_codes(bits: int, outputs: int, inputs: int, seed: int) -> torch.Tensor:
    half = 2 ** (bits - 1)
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-half, half, (outputs, inputs), generator=generator).to(torch.int8)


@given(BITS, st.integers(1, 3), st.integers(1, 100), st.integers(0, 99))
def test_packing_is_undone(bits, outputs, inputs, seed):
    codes = random_codes(bits, outputs, inputs, seed)
    words = pack(codes, bits)
    assert words.dtype is torch.int32
    assert words.shape == (outputs, -(-inputs * bits // 32))
    assert torch.equal(unpack(words, bits, inputs), codes)


@given(BITS, st.integers(1, 3), st.integers(1, 100), st.integers(0, 99))
def test_packing_is_the_librarys(bits, outputs, inputs, seed):
    from compressed_tensors.compressors.pack_quantized import pack_to_int32

    codes = random_codes(bits, outputs, inputs, seed)
    assert torch.equal(pack(codes, bits), pack_to_int32(codes, bits))


def test_four_bits_by_hand():
    codes = torch.tensor([[-8, -7, 7, 0, 0, 0, 0, -1]], dtype=torch.int8)
    assert pack(codes, 4).item() & 0xFFFFFFFF == 0x78888F10


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("group", [None, 32])
def test_weights_alone_are_read_back_to_the_bit(tmp_path, bits, group):
    model = llama()
    codes = coded(model, Grid(bits, group))
    record = save(model, codes, tmp_path / "out")
    assert record["reload_difference"] == 0
    assert record["logits_error"] > 0
    assert record["bytes"]["roles"] == planned(model, {n: Grid(bits, group) for n in codes})
    reloaded = type(model).from_pretrained(tmp_path / "out")
    with torch.no_grad():
        reloaded(**reloaded.dummy_inputs)
    for name, code in codes.items():
        assert torch.equal(reloaded.get_submodule(name).weight, code.weight())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_other_types_and_an_encoder_are_read_back(tmp_path, dtype):
    model = bert(dtype)
    record = save(model, coded(model, Grid(4, 64)), tmp_path / "out")
    assert record["reload_difference"] == 0
    assert record["format"] == "compressed-tensors"


def test_widths_that_fill_no_word_are_read_back(tmp_path):
    model = llama(hidden=40)
    record = save(model, coded(model, Grid(3)), tmp_path / "out")
    assert record["reload_difference"] == 0


def test_activations_in_8_bits(tmp_path):
    model = llama(torch.float32)
    codes = coded(model, Grid(8))
    record = save(model, codes, tmp_path / "out", activations=8)
    assert record["reload_difference"] < 1e-3 < record["logits_error"]
    assert record["bytes"]["roles"] == planned(model, {n: Grid(8) for n in codes}, activations=8)
    settings = json.loads((tmp_path / "out/config.json").read_text())["quantization_config"]
    assert settings["format"] == "int-quantized"
    assert settings["config_groups"]["group_0"]["input_activations"] == {
        "num_bits": 8, "type": "int", "symmetric": True, "strategy": "token", "dynamic": True,
    }  # fmt: skip


def test_activations_change_what_the_reloaded_model_computes(tmp_path):
    model = llama(torch.float32)
    codes = coded(model, Grid(8))
    plain = save(model, codes, tmp_path / "plain")["logits_error"]
    for bits in (8, 4):
        tokens = save(model, codes, tmp_path / str(bits), activations=bits)["logits_error"]
        assert tokens > 1.3 * plain
        plain = tokens


def test_layers_of_several_grids(tmp_path):
    model = llama()
    codes = {
        name: Grid(8 if "down_proj" in name else 4, 32).codes(weight)
        for name, weight in weights(model).items()
    }
    record = save(model, codes, tmp_path / "out")
    assert record["reload_difference"] == 0
    assert record["grids"]["model.layers.0.mlp.down_proj"] == "8g32"
    assert record["grids"]["model.layers.0.mlp.up_proj"] == "4g32"


def test_layers_without_codes_stay(tmp_path):
    model = llama()
    name = "model.layers.1.mlp.up_proj"
    save(model, {name: Grid(4, 32).codes(weights(model)[name])}, tmp_path / "out")
    with safe_open(tmp_path / "out/model.safetensors", "pt") as file:
        kept = file.get_tensor("model.layers.0.mlp.up_proj.weight")
        assert f"{name}.weight" not in file.keys()  # noqa: SIM118 it is no dict
    assert torch.equal(kept, weights(model)["model.layers.0.mlp.up_proj"])


def test_pruned_weights_stay_pruned(tmp_path):
    model = llama()
    masks = {}
    for name, weight in weights(model).items():
        masks[name] = torch.rand(weight.shape, generator=torch.Generator().manual_seed(1)) < 0.5
        weight[masks[name]] = 0
    save(model, coded(model, Grid(4, 32)), tmp_path / "out")
    reloaded = type(model).from_pretrained(tmp_path / "out")
    with torch.no_grad():
        reloaded(**reloaded.dummy_inputs)
    for name, mask in masks.items():
        assert (reloaded.get_submodule(name).weight[mask] == 0).all()


def test_tied_embeddings_are_stored_once(tmp_path):
    model = llama(tied=True)
    save(model, coded(model, Grid(4, 32)), tmp_path / "out")
    with safe_open(tmp_path / "out/model.safetensors", "pt") as file:
        names = list(file.keys())
    assert "model.embed_tokens.weight" in names
    assert "lm_head.weight" not in names


def test_shards_are_read_back(tmp_path):
    model = llama()
    record = save(model, coded(model, Grid(4, 32)), tmp_path / "out", max_shard_size="20KB")
    assert len(list((tmp_path / "out").glob("*.safetensors"))) > 2
    assert record["reload_difference"] == 0


def test_an_asymmetric_grid_is_refused_with_the_symmetric_one(tmp_path):
    model = llama()
    codes = coded(model, Grid(4, 32, symmetric=False))
    with pytest.raises(InputError, match=r"q_proj: .* must be symmetric.*'4g32-asym'.*grid '4g32'"):
        save(model, codes, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_scales_that_the_layers_type_cannot_hold_are_refused(tmp_path):
    model = llama()
    codes = {n: Grid(4).codes(w, torch.float32) for n, w in weights(model).items()}
    with pytest.raises(InputError, match=r"scales must fit .*bfloat16.*scale_dtype=torch.bfloat16"):
        save(model, codes, tmp_path / "out")


def test_conv1d_is_stored_dense_and_the_record_says_so(tmp_path):
    model = gpt2()
    codes = coded(model, Grid(4, 32))
    with pytest.warns(UserWarning, match="stored dense"):
        record = save(model, codes, tmp_path / "out")
    assert record["format"] == "dense"
    assert record["bits_per_weight"] is None
    assert record["bytes"]["roles"] == planned(model, {n: Grid(4, 32) for n in codes})
    reloaded = type(model).from_pretrained(tmp_path / "out")
    for name, code in codes.items():
        assert torch.equal(reloaded.get_submodule(name).weight.T, code.weight())


def test_activations_of_a_dense_folder_are_refused(tmp_path):
    model = gpt2()
    with pytest.raises(InputError, match=r"dense checkpoint cannot say .* but got 8"):
        save(model, coded(model, Grid(8)), tmp_path / "out", activations=8)
