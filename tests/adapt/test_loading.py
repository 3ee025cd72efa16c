"""What a run hands over opens whole, unchanged, and on its own base model; or not at all."""

from __future__ import annotations

from pathlib import Path

import made_runs
import pytest
import torch
from safetensors.torch import load_file, save_file

from parsimony.adapt.loading import load_run
from parsimony.adapt.trial import folder_of
from parsimony.core import artifacts
from parsimony.core.errors import ArtifactError, InputError
from parsimony.testing import tiny


def refused(folder: Path) -> str:
    with pytest.raises(ArtifactError) as error:
        load_run(folder)
    assert error.value.exit_code == 2
    return str(error.value)


@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_was_saved_comes_back_in_evaluation_mode(method: str, tmp_path: Path) -> None:
    made = made_runs.make(tmp_path, {method: 2 if method == "lora" else 0}, complete=False)
    name = "adapter" if method == "lora" else "model"
    source = folder_of(made.folder, made.plan.candidates[0], made.origin["seed"]) / "artifact"
    artifacts.seal(made.folder)
    loaded = load_run(made.folder)
    assert loaded.adapter == (method == "lora")
    assert not loaded.model.training
    assert loaded.origin == made.origin
    (file,) = source.glob("*.safetensors")
    saved = load_file(file)
    assert artifacts.sha256(file) == artifacts.sha256(made.folder / name / file.name)
    present = {p.data_ptr(): p for p in loaded.model.state_dict().values()}
    values = [tuple(p.flatten().tolist()) for p in present.values()]
    for tensor in saved.values():
        assert tuple(tensor.flatten().tolist()) in values


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    made = made_runs.make(tmp_path, {"lora": 2})
    file = made.folder / "adapter" / "adapter_model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert refused(made.folder) == (
        f"{made.folder / 'adapter'}: the file 'adapter_model.safetensors' differs from its "
        "manifest. It was changed after it was written; restore it or start anew"
    )


def test_a_lost_file_is_named(tmp_path: Path) -> None:
    made = made_runs.make(tmp_path, {"lora": 2})
    (made.folder / "adapter" / "adapter_config.json").unlink()
    assert refused(made.folder) == (
        f"{made.folder / 'adapter'}: the file 'adapter_config.json' of the manifest is missing"
    )


@pytest.mark.parametrize(("more", "word"), [(True, "unused"), (False, "missing")])
def test_keys_that_do_not_match_the_model_are_named(tmp_path: Path, more: bool, word: str) -> None:
    made = made_runs.make(tmp_path, {"lora": 2})
    adapter = made.folder / "adapter"
    tensors = load_file(adapter / "adapter_model.safetensors")
    key = "base_model.model.stranger.weight" if more else sorted(tensors)[0]
    changed = {**tensors, key: torch.ones(2)}
    if not more:
        del changed[key]
    save_file(changed, adapter / "adapter_model.safetensors", {"format": "pt"})
    artifacts.seal(adapter)
    assert refused(made.folder) == (
        f"every key of the adapter in {adapter} must be used, but 1 are {word}, but got "
        f"'{key}'. Load it on the base model named in its parsimony.json"
    )


def test_another_base_model_is_refused_by_its_hash(tmp_path: Path) -> None:
    made = made_runs.make(tmp_path, {"lora": 2})
    recorded = artifacts.sha256(made.model / "model.safetensors")
    tiny.write(made.model, seed=1)
    other = artifacts.sha256(made.model / "model.safetensors")
    assert refused(made.folder) == (
        f"the base model '{made.model}' must hash to {recorded}, but got '{other}'. "
        "The adapter fits only the weights it was trained on; restore them"
    )


def test_a_base_model_that_is_gone_is_named(tmp_path: Path) -> None:
    made = made_runs.make(tmp_path, {"lora": 2})
    made.model.rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="a model is a built-in name, a folder, or a hub name"):
        load_run(made.folder)


def test_a_run_that_did_not_complete_says_how_to_go_on(tmp_path: Path) -> None:
    made = made_runs.make(tmp_path, {"lora": 2}, complete=False)
    assert refused(made.folder) == (
        f"the run {made.folder} did not complete. Continue it: the command that began it, with "
        f"--resume {made.folder}"
    )
    assert refused(tmp_path / "nothing") == (
        f"a run folder needs a config.json, but got '{tmp_path / 'nothing'}'. Check the path, or "
        "start a new run in another folder"
    )
