"""What saving leaves on the disk, writes in the record, and refuses."""

from __future__ import annotations

import json

import pytest
import torch
from export_models import coded, llama, t5, vit, weights

from parsimony.compress.codebooks import BlockGrid
from parsimony.compress.export import fidelity, save, saving
from parsimony.compress.export.check import check_export
from parsimony.compress.grid import Grid
from parsimony.compress.sizes import stored
from parsimony.core.artifacts import verify
from parsimony.core.errors import InputError, MissingExtraError, ParsimonyError
from parsimony.testing import tiny

pytest.importorskip("compressed_tensors")
quiet = pytest.mark.filterwarnings("ignore:The folder has no tokenizer")


def test_a_folder_with_its_record_and_tokenizer(tmp_path):
    model = llama()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    codes = coded(model, Grid(4, 32))
    told = {"method": "rounding", "calibration": "abc", "notes": ["halved"]}
    record = save(model, codes, tmp_path / "new/out", tiny.tokenizer("llama"), **told)
    out = tmp_path / "new/out"
    assert json.loads((out / "compression.json").read_text()) == record
    assert (out / "tokenizer.json").is_file()
    verify(out)
    assert list((tmp_path / "new").iterdir()) == [out]
    assert record | {"notes": ["halved"], "method": "rounding", "calibration": "abc"} == record
    assert record["quantized_weights"] == sum(w.numel() for w in weights(model).values())
    sizes = stored(out)
    assert record["bytes"] == {
        "tensors": sizes.total,
        "files": (out / "model.safetensors").stat().st_size,
        "roles": sizes.by_role,
    }
    coded_bytes = sizes.total - sizes.by_role["dense"]
    assert record["bits_per_weight"] == 8 * coded_bytes / record["quantized_weights"]
    assert {"parsimony", "torch", "transformers", "compressed-tensors"} <= set(record["versions"])
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_logits_error_is_that_of_the_rounded_weights(tmp_path):
    model = llama(torch.float32)
    codes = coded(model, Grid(3, 32))
    exact = fidelity.outputs(model, model.dummy_inputs)
    record = save(model, codes, tmp_path / "out", tiny.tokenizer("llama"))
    for name, code in codes.items():
        model.get_submodule(name).weight.data = code.weight()
    found = fidelity.outputs(model, model.dummy_inputs)
    assert record["logits_error"] == pytest.approx(
        float((found - exact).norm() / exact.norm()), rel=1e-5
    )
    # A model that has the codes' values already brings no error to tell.
    again = save(model, codes, tmp_path / "again", tiny.tokenizer("llama"))
    assert again["logits_error"] is None


@quiet
def test_a_dense_model(tmp_path):
    model = llama()
    record = save(model, {}, tmp_path / "out")
    assert record["format"] == "dense"
    assert record["reload_difference"] == 0
    assert record["bytes"]["roles"] == {
        "dense": sum(p.numel() * p.element_size() for p in model.parameters())
    }


def test_a_missing_tokenizer_is_told(tmp_path):
    with pytest.warns(UserWarning, match="no tokenizer or feature extractor.*the original's"):
        record = save(llama(), {}, tmp_path / "out")
    assert "no tokenizer" in record["notes"][0]


@quiet
def test_an_existing_folder_needs_permission_and_must_be_ours(tmp_path):
    model, out = llama(), tmp_path / "out"
    out.mkdir()
    save(model, {}, out)  # an empty one is no loss
    with pytest.raises(InputError, match=r"needs a new folder, but got .*out.*overwritten"):
        save(model, {}, out)
    (out / "left.txt").write_text("old")
    save(model, coded(model, Grid(4, 32)), out, overwrite=True)
    assert not (out / "left.txt").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years")
    with pytest.raises(InputError, match=r"only a folder of an earlier export.*compression\.json"):
        save(model, {}, other, overwrite=True)
    assert (other / "thesis.tex").read_text() == "years"


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="a folder, not a file"):
        save(llama(), {}, tmp_path / "out")
    with pytest.raises(InputError, match="must be writable"):
        save(llama(), {}, tmp_path / "out/inner")


def test_a_model_that_is_read_back_otherwise_leaves_nothing(tmp_path, monkeypatch):
    def spoiled(model, folder):
        found = reload(model, folder)
        found.model.norm.weight.data[0] += 1
        return found

    reload = saving._reload
    monkeypatch.setattr(saving, "_reload", spoiled)
    model = llama().train()
    with pytest.raises(ParsimonyError, match=r"'model.norm.weight' is not read back from compress"):
        save(model, coded(model, Grid(4, 32)), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    assert model.training
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_logits_that_differ_are_refused(tmp_path, monkeypatch):
    def spoiled(model, folder):
        found = reload(model, folder)
        found.lm_head.register_forward_hook(lambda layer, inputs, output: output * 1.1)
        return found

    reload = saving._reload
    monkeypatch.setattr(saving, "_reload", spoiled)
    with pytest.raises(ParsimonyError, match=r"logits of the reloaded dense model.*got 0\.(1|09)"):
        save(llama(), {}, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_codes_that_do_not_fit_the_model_are_refused(tmp_path):
    model = llama(tied=True)
    code = Grid(4).codes(torch.ones(64, 64))
    cases = {
        "model.layers.0.mlp.up": r"of a linear layer, but got 'model.layers.0.mlp.up'.*up_proj",
        "model.layers.0.mlp.up_proj": r"up_proj: .* shape \(128, 64\), but got \(64, 64\)",
        "lm_head": r"lm_head: its weight is that of the embedding too",
    }
    for name, text in cases.items():
        with pytest.raises(InputError, match=text):
            save(model, {name: code}, tmp_path / "out")


def test_codes_of_two_formats_are_refused(tmp_path):
    model = llama()
    codes = coded(model, Grid(4, 32))
    name = "model.layers.0.mlp.up_proj"
    codes[name] = BlockGrid("nf4").codes(weights(model)[name])
    with pytest.raises(InputError, match=r"one folder .* one format.*\['BlockCodes', 'Codes'\]"):
        save(model, codes, tmp_path / "out")


@quiet
def test_a_model_of_images_is_compared_on_the_batch_given(tmp_path):
    model = vit()
    codes = coded(model, Grid(4, 32))
    with pytest.raises(InputError, match=r"does not read text.*got 'pixel_values'.*batch="):
        save(model, codes, tmp_path / "out")
    record = save(model, codes, tmp_path / "out", batch={"pixel_values": torch.ones(1, 1, 8, 8)})
    assert record["reload_difference"] == 0 < record["logits_error"]
    assert check_export(tmp_path / "out").layers == len(codes)


@quiet
def test_an_architecture_that_transformers_does_not_read_back_is_told(tmp_path):
    model = t5()
    codes = coded(model, BlockGrid("nf4"))
    with pytest.raises(InputError, match=r"fails on bitsandbytes .*T5ForCond.*layers in float"):
        save(model, codes, tmp_path / "out")  # it keeps its outputs' layers in float32
    assert list(tmp_path.iterdir()) == []
    readable = {name: code for name, code in codes.items() if not name.endswith(".wo")}
    assert save(model, readable, tmp_path / "out")["reload_difference"] == 0


@quiet
def test_a_quantized_model_is_refused(tmp_path):
    model = llama()
    save(model, coded(model, Grid(4, 32)), tmp_path / "out")
    reloaded = type(model).from_pretrained(tmp_path / "out")
    with pytest.raises(InputError, match=r"quantized already .* dense checkpoint"):
        save(reloaded, {}, tmp_path / "again")


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    def absent(module, extra):
        raise MissingExtraError(f"this needs '{module}'", hint=f"Install parsimony-ml[{extra}]")

    monkeypatch.setattr(saving, "require", absent)
    model = llama()
    with pytest.raises(MissingExtraError, match=r"compressed_tensors.*\[compress\]"):
        save(model, coded(model, Grid(4, 32)), tmp_path / "out")
