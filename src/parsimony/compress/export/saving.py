"""Write a compressed model as a folder that transformers loads, load it, and compare."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from parsimony import __version__
from parsimony.compress import sizes
from parsimony.compress.export.dense import Dense
from parsimony.compress.export.fidelity import compare, outputs, relative, rounded
from parsimony.compress.export.format import AnyCodes, Format, formats
from parsimony.core import artifacts
from parsimony.core.errors import InputError, ParsimonyError, nearest, require
from parsimony.core.quiet import unseen

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

RECORD = "compression.json"


def save(
    model: PreTrainedModel,
    codes: Mapping[str, AnyCodes],
    folder: Path,
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    activations: int | None = None,
    overwrite: bool = False,
    method: str = "",
    calibration: str | None = None,
    notes: Iterable[str] = (),
    batch: Mapping[str, Tensor] | None = None,
    max_shard_size: str = "5GB",
) -> dict[str, Any]:
    """Write config, weights, tokenizer and ``compression.json``; then reload and compare.

    The format follows from the codes: compressed-tensors for integer grids, bitsandbytes for code
    books and int8 rows, dense without codes. What has no codes is stored as the model has it,
    pruned zeros included; tied embeddings once. Nothing is left behind when something fails.

    Args:
        model: whose config and other weights are written; unchanged.
        codes: of linear layers by module name, shape (outputs, inputs) also for ``Conv1D``.
        folder: where to.
        tokenizer: or feature extractor, saved beside the model.
        activations: bits of every token's inputs to those layers, rounded when the model runs;
            ``None`` for float.
        overwrite: replace a folder that this function wrote.
        method: how the codes were found, for the record.
        calibration: fingerprint of the calibration set, for the record.
        notes: what a reader of the record should know.
        batch: keyword arguments of a forward call, to compare on; by default a model of text
            brings its own.
        max_shard_size: of one file.

    Returns:
        The record: format, grids, bytes by role, bits per weight, the relative error of logits
        that the codes bring (``None`` if the model has their values already), the difference
        after reloading, versions and notes.

    Raises:
        InputError: a folder that exists or cannot be written; names or codes that do not fit the
            model; a model already quantized; what the format, or transformers for this
            architecture, would not read back.
        MissingExtraError: the package that reads the format is not installed.
        ParsimonyError: the reloaded model is not the one in memory.
    """
    folder = Path(folder)
    _refuse_folder(folder, overwrite)
    layers = _layers(model, codes)
    form = _format(layers, codes, activations)
    warned = _notes(form, tokenizer)
    batch = _dummy(model) if batch is None else batch
    temporary = folder.with_name(f".{folder.name}.tmp")
    training = model.training
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        model.eval()
        before = outputs(model, batch)
        with rounded(layers, codes, activations):
            error = relative(outputs(model, batch), before)
            _write(model, form, temporary, max_shard_size)
            if tokenizer is not None:
                tokenizer.save_pretrained(temporary)
            difference = _read_back(model, form, temporary, batch)
        record = _record(form, temporary) | {
            "method": method,
            "calibration": calibration,
            "logits_error": error or None,
            "reload_difference": difference,
            "notes": [*notes, *warned],
        }
        artifacts.write_json(temporary / RECORD, record)
        artifacts.seal(temporary)
        _put(temporary, folder)
    except (PermissionError, NotADirectoryError, FileExistsError) as problem:
        raise InputError("the export's folder must be writable", got=str(problem)) from problem
    finally:
        model.train(training)
        shutil.rmtree(temporary, ignore_errors=True)
    for note in warned:
        warnings.warn(note, stacklevel=2)
    return record


def _refuse_folder(folder: Path, overwrite: bool) -> None:
    if folder.is_file():
        raise InputError("the export needs a folder, not a file", got=str(folder))
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not overwrite:
        raise InputError(
            "the export needs a new folder",
            got=str(folder),
            hint="Choose another, or allow it to be overwritten",
        )
    if not (folder / RECORD).is_file():
        raise InputError(
            "only a folder of an earlier export is overwritten",
            got=str(folder),
            hint=f"It has no {RECORD}; remove it yourself or choose another",
        )


def _layers(model: PreTrainedModel, codes: Mapping[str, AnyCodes]) -> dict[str, nn.Module]:
    from transformers.pytorch_utils import Conv1D

    if getattr(model.config, "quantization_config", None) is not None:
        raise InputError(
            "a model that is quantized already cannot be exported again",
            got=type(model.config.quantization_config).__name__,
            hint="Start from its dense checkpoint",
        )
    modules = dict(model.named_modules())
    embeddings = {id(m.weight) for m in modules.values() if isinstance(m, nn.Embedding)}
    for name, code in codes.items():
        layer = modules.get(name)
        if not isinstance(layer, nn.Linear | Conv1D):
            linear = [n for n, m in modules.items() if isinstance(m, nn.Linear | Conv1D)]
            raise InputError("codes must be those of a linear layer", got=name,
                             hint=nearest(name, linear))  # fmt: skip
        if id(layer.weight) in embeddings:
            raise InputError(
                f"{name}: its weight is that of the embedding too, which stays in float",
                hint="Leave this layer out",
            )
        shape = layer.weight.shape if isinstance(layer, nn.Linear) else layer.weight.T.shape
        if (found := tuple(code.shape)) != tuple(shape):
            raise InputError(f"{name}: codes must have the weight's shape {tuple(shape)}",
                             got=found)  # fmt: skip
    return {name: modules[name] for name in codes}


def _format(
    layers: Mapping[str, nn.Module], codes: Mapping[str, AnyCodes], activations: int | None
) -> Format:
    kinds = [
        kind
        for kind in formats().values()
        if codes and all(kind.holds(codes[name], layer) for name, layer in layers.items())
    ]
    if codes and not kinds:
        raise InputError(
            "one folder holds codes of one format",
            got=sorted({type(code).__name__ for code in codes.values()}),
            hint="Quantize all layers on integer grids, or all in one code book",
        )
    kind = kinds[0] if kinds else Dense
    if kind.extra is not None:
        require(kind.extra, "compress")
    return kind(layers, codes, activations)


def _dummy(model: PreTrainedModel) -> Mapping[str, Tensor]:
    if model.main_input_name != "input_ids":
        raise InputError(
            "a model that does not read text is compared on a batch that is given",
            got=model.main_input_name,
            hint="Pass batch=, keyword arguments of a forward call",
        )
    found: Mapping[str, Tensor] = model.dummy_inputs
    return found


def _notes(form: Format, tokenizer: object) -> list[str]:
    found = []
    if isinstance(form, Dense) and form.codes:
        found.append(
            "This architecture's linear layers (Conv1D) have no integer form that transformers "
            "reads: weights have the grid's values but are stored dense. Code books and int8 rows "
            "do have one"
        )
    if tokenizer is None:
        found.append(
            "The folder has no tokenizer or feature extractor: whoever loads the model must "
            "bring the original's"
        )
    return found


def _write(model: PreTrainedModel, form: Format, folder: Path, max_shard_size: str) -> None:
    tensors: dict[str, Tensor] = dict(model.state_dict())
    for name in form.codes:
        del tensors[f"{name}.weight"]
        for last, tensor in form.tensors(name).items():
            tensors[f"{name}.{last}"] = tensor.detach().contiguous()
    model.save_pretrained(folder, state_dict=tensors, max_shard_size=max_shard_size)
    if settings := form.settings(model):
        config = artifacts.read_json(folder / "config.json")
        artifacts.write_json(folder / "config.json", config | {"quantization_config": settings})


def _read_back(
    model: PreTrainedModel, form: Format, folder: Path, batch: Mapping[str, Tensor]
) -> float:
    """``compare`` with the model that transformers reads from the folder."""
    try:
        with unseen():
            return compare(model, _reload(model, folder), form, batch)
    except ParsimonyError:
        raise
    except Exception as problem:  # of any kind: they come from anywhere in the libraries
        raise InputError(
            f"transformers must read the model back, and fails on {form.name} for this "
            f"architecture ({' '.join(str(problem).split())[:200]})",
            got=type(model).__name__,
            hint="Nothing was kept. Leave some layers in float, or choose another format",
        ) from problem


def _reload(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    on_cpu = model.device.type == "cpu"
    reloaded: PreTrainedModel = type(model).from_pretrained(
        folder,
        dtype=model.dtype,
        attn_implementation=model.config._attn_implementation,
        device_map=None if on_cpu else {"": str(model.device)},
        local_files_only=True,
    )
    return reloaded.eval()


def _record(form: Format, folder: Path) -> dict[str, Any]:
    stored = sizes.stored(folder)
    weights = sum(code.shape.numel() for code in form.codes.values())
    coded = sum(count for role, count in stored.by_role.items() if role != "dense")
    packages = ["torch", "transformers", "safetensors"]
    packages += [form.extra.replace("_", "-")] if form.extra else []
    return {
        "format": form.name,
        "grids": {name: str(code.grid) for name, code in form.codes.items()},
        "activation_bits": form.activations,
        "quantized_weights": weights,
        "bits_per_weight": 8 * coded / weights if coded else None,
        "bytes": {"tensors": stored.total, "files": stored.files, "roles": stored.by_role},
        "versions": {"parsimony": __version__, **{name: version(name) for name in packages}},
    }


def _put(temporary: Path, folder: Path) -> None:
    """Give the finished folder its name; what was there is removed once that is done."""
    old = folder.with_name(f".{folder.name}.old.tmp")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    temporary.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
