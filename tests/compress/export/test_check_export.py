"""The check of a compressed-tensors folder finds what is wrong and passes what is not."""

from __future__ import annotations

import json

import pytest
import torch
from export_models import bert, coded, llama, weights
from safetensors.torch import load_file, save_file

from parsimony.compress.export import save
from parsimony.compress.export.check import Checked, check_export
from parsimony.compress.grid import Grid
from parsimony.core.errors import ArtifactError, InputError

pytest.importorskip("compressed_tensors")
pytestmark = pytest.mark.filterwarnings("ignore:The folder has no tokenizer")

UP = "model.layers.0.mlp.up_proj"


@pytest.fixture
def folder(tmp_path):
    model = llama(tied=True)
    save(model, coded(model, Grid(4, 32)), tmp_path / "out")
    return tmp_path / "out"


def change(folder, **tensors):
    """Replace tensors of a layer (``None`` removes one), by the last part of their names."""
    found = load_file(folder / "model.safetensors")
    for last, tensor in tensors.items():
        found[f"{UP}.{last}"] = tensor
    found = {name: tensor for name, tensor in found.items() if tensor is not None}
    save_file(found, folder / "model.safetensors")


def settle(folder, edit):
    """Edit the quantization settings."""
    config = json.loads((folder / "config.json").read_text())
    edit(config["quantization_config"])
    (folder / "config.json").write_text(json.dumps(config))


def test_what_we_write_is_sound(folder):
    found = check_export(folder)
    assert found == Checked(layers=14, dense=6, bits={4: 14}, bytes=found.bytes)


@pytest.mark.parametrize("activations", [None, 8])
@pytest.mark.parametrize("make", [llama, bert])
def test_other_models_and_formats_are_sound(tmp_path, make, activations):
    model = make()
    codes = {
        name: Grid(8 if "0" in name else 5).codes(weight) for name, weight in weights(model).items()
    }
    save(model, codes, tmp_path / "out", activations=activations, max_shard_size="20KB")
    found = check_export(tmp_path / "out")
    assert found.layers == len(codes)
    assert set(found.bits) == {5, 8}


@pytest.mark.parametrize("name", ["training_args.bin", "old/weights.pt", "a.PKL"])
def test_a_pickle_is_refused_by_name(folder, name):
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"")
    with pytest.raises(InputError, match=rf"no pickle.*but got '{name}'"):
        check_export(folder)


@pytest.mark.parametrize(
    ("tensors", "text"),
    [
        ({"weight_scale": None}, r"up_proj.weight_scale' is missing"),
        ({"weight_shape": None}, r"up_proj' must have weight_shape"),
        (
            {"weight_scale": torch.ones(2, 128)},
            r"up_proj.weight_scale' is F32 \(2, 128\) instead of .* \(128, 2\)",
        ),
        (
            {"weight_packed": torch.zeros(128, 16, dtype=torch.int32)},
            r"up_proj.weight_packed' is I32 \(128, 16\) instead of I32 \(128, 8\)",
        ),
        (
            {
                "weight_packed": torch.zeros(64, 8, dtype=torch.int32),
                "weight_scale": torch.ones(64, 2),
                "weight_shape": torch.tensor([64, 64]),
            },
            r"up_proj' is stored for a weight of shape \(64, 64\), the model's has \(128, 64\)",
        ),
        ({"weight_packed": None}, r"up_proj' has no codes, as the settings say"),
    ],
)
def test_tensors_that_do_not_fit_are_told(folder, tensors, text):
    change(folder, **tensors)
    with pytest.raises(InputError, match=text):
        check_export(folder)


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (lambda s: s["ignore"].append(UP), r"up_proj' is in codes, which no group"),
        (
            lambda s: s["config_groups"]["group_0"]["weights"].update(group_size=48),
            r"has 64 inputs, not a multiple of its group 48.*; and \d+ more",
        ),
        (
            lambda s: s["config_groups"]["group_0"]["weights"].update(symmetric=False),
            r"has zero points, which transformers does not read",
        ),
        (
            lambda s: s["config_groups"]["group_0"]["weights"].update(strategy="block"),
            r"the strategy 'block', of which nothing is known",
        ),
        (lambda s: s.update(format="marlin-24"), r"the format 'marlin-24', of which nothing"),
        (lambda s: s.update(quant_method="gptq"), r"compressed-tensors, but got 'gptq'"),
        (lambda s: s.update(config_groups={}), r"must have groups of layers"),
    ],
)
def test_settings_that_do_not_fit_are_told(folder, edit, text):
    settle(folder, edit)
    with pytest.raises(InputError, match=text):
        check_export(folder)


def test_dense_tensors_are_checked_too(folder):
    found = load_file(folder / "model.safetensors")
    found["model.norm.weight"] = torch.ones(32)
    del found["model.layers.1.input_layernorm.weight"]
    save_file(found, folder / "model.safetensors")
    with pytest.raises(
        InputError,
        match=r"input_layernorm.weight' is missing; .*norm.weight' has the shape \(32,\)",
    ):
        check_export(folder)


def test_a_folder_without_config_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"config\.json must exist"):
        check_export(tmp_path)


def test_an_unknown_architecture_is_refused(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["Mystery"]}))
    with pytest.raises(InputError, match="class that transformers knows, but got 'Mystery'"):
        check_export(folder)
