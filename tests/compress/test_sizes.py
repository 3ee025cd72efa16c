"""Bytes counted from headers, and planned from a model without weights."""

from __future__ import annotations

import json
import struct

import pytest
import torch
import transformers
from safetensors.torch import save_file

from parsimony.compress.codebooks import BlockGrid
from parsimony.compress.grid import Grid
from parsimony.compress.sizes import planned, stored
from parsimony.core.cost import on_meta
from parsimony.core.errors import InputError
from parsimony.core.prunable import prunable


def test_bytes_by_role_and_type(tmp_path):
    save_file(
        {
            "a.weight_packed": torch.zeros(4, 2, dtype=torch.int32),
            "a.weight_scale": torch.zeros(4, 1, dtype=torch.bfloat16),
            "a.weight_shape": torch.tensor([4, 16]),
            "b.weight": torch.zeros(4, 4, dtype=torch.int8),
            "b.SCB": torch.zeros(4),
            "c.weight": torch.zeros(8, 1, dtype=torch.uint8),
            "c.weight.absmax": torch.zeros(1),
            "c.weight.quant_map": torch.zeros(16),
            "d.weight": torch.zeros(3, 3),
            "d.bias": torch.zeros(3),
        },
        tmp_path / "model.safetensors",
        metadata={"format": "pt"},
    )
    found = stored(tmp_path)
    assert found.by_role == {
        "codes": 32 + 16 + 8, "scales": 8 + 16 + 4, "metadata": 16, "code books": 64,
        "dense": 36 + 12,
    }  # fmt: skip
    assert found.by_dtype == {"I32": 32, "BF16": 8, "I64": 16, "I8": 16, "F32": 132, "U8": 8}
    assert found.total == sum(found.by_role.values()) == sum(found.by_dtype.values())
    assert found.files == (tmp_path / "model.safetensors").stat().st_size
    assert found.tensors["a.weight_packed"].shape == (4, 2)


def test_only_the_files_of_the_index_count(tmp_path):
    for number in (1, 2, 3):
        save_file({f"w{number}": torch.zeros(number)}, tmp_path / f"part{number}.safetensors")
    assert stored(tmp_path).total == 24
    index = {"weight_map": {"w1": "part1.safetensors", "w2": "part2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert stored(tmp_path).total == 12
    (tmp_path / "part2.safetensors").unlink()
    with pytest.raises(InputError, match=r"lie beside it, but got 'part2\.safetensors'"):
        stored(tmp_path)


@pytest.mark.parametrize("text", ["[]", "{", '{"weight_map": 3}', '{"weight_map": {"w": 1}}'])
def test_an_index_that_maps_nothing_is_refused(tmp_path, text):
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(InputError, match="the index must map tensors to files"):
        stored(tmp_path)


def test_a_path_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "inner").mkdir()
    save_file({"w": torch.zeros(1)}, tmp_path / "w.safetensors")
    index = {"weight_map": {"w": "../w.safetensors"}}
    (tmp_path / "inner/model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match="must lie beside it"):
        stored(tmp_path / "inner")


def test_a_name_in_two_files_is_refused(tmp_path):
    for file in ("a", "b"):
        save_file({"w": torch.zeros(1)}, tmp_path / f"{file}.safetensors")
    with pytest.raises(InputError, match="in one file only, but got 'w'"):
        stored(tmp_path)


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(InputError, match="must hold a safetensors file"):
        stored(tmp_path)


def test_a_file_that_was_cut_off_is_refused(tmp_path):
    file = tmp_path / "model.safetensors"
    save_file({"w": torch.zeros(100)}, file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-40])
    with pytest.raises(InputError, match=rf"got '{len(whole) - 40} bytes instead of {len(whole)}'"):
        stored(tmp_path)
    for broken in (b"", whole[:5], whole[:20], struct.pack("<Q", 2) + b"[]", b"x" * 64):
        file.write_bytes(broken)
        with pytest.raises(InputError, match="must be a whole safetensors file"):
            stored(tmp_path)


# Llama-2 7B and 13B: bytes of bf16, int8 (scales left out), nf4 and nf4 with double quantization of
# the blocks' linear layers, all else in bf16; decimal gigabytes.
@pytest.mark.parametrize(
    ("hidden", "layers", "ffn", "dense", "nf4", "double"),
    [(4096, 32, 11008, 13.477, 4.168, 3.866), (5120, 40, 13824, 26.032, 7.793, 7.201)],
)
def test_the_sizes_of_llama_2(hidden, layers, ffn, dense, nf4, double):
    config = transformers.LlamaConfig(
        hidden_size=hidden, num_hidden_layers=layers, intermediate_size=ffn,
        num_attention_heads=hidden // 128, vocab_size=32000, dtype="bfloat16",
    )  # fmt: skip
    model = on_meta(lambda: transformers.LlamaForCausalLM(config)).bfloat16()
    names = [n.removesuffix(".weight") for n in prunable(model) if not n.startswith("lm_head")]
    assert sum(planned(model, {}).values()) / 1e9 == pytest.approx(dense, abs=5e-4)
    for grid, expected in ((BlockGrid("nf4"), nf4), (BlockGrid("nf4", double=True), double)):
        found = planned(model, dict.fromkeys(names, grid))
        # What the published figures leave out: code books and metadata.
        kept = found["codes"] + found["scales"] + found["dense"]
        assert kept / 1e9 == pytest.approx(expected, abs=1e-3)
    grouped = planned(model, dict.fromkeys(names, Grid(4, 128)))
    weights = sum(p.numel() for n, p in model.named_parameters() if n[:-7] in names)
    assert 8 * (grouped["codes"] + grouped["scales"]) / weights == 4.125
