"""``compress generation``: a model and its quantized forms write the same texts, cell by cell.

Everything is compared with the one original: how much less likely it becomes to predict held-out
text, how far its distributions move at each temperature, and what is written. A cell is a file of
the run folder, so that a study that was stopped goes on where it was.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from parsimony.compress import sizes
from parsimony.compress.codebooks import BlockGrid
from parsimony.compress.evaluation import loss_per_token
from parsimony.compress.generation_study import cost, divergence, texts
from parsimony.compress.generation_study.analysis import KIND, analyse, together
from parsimony.compress.generation_study.design import (
    Cell,
    Design,
    Request,
    check,
    plain,
    spec_of,
)
from parsimony.compress.generation_study.page import page
from parsimony.compress.grid import Grid
from parsimony.compress.quantizer import Spec
from parsimony.compress.quantizing import Quantized, quantize
from parsimony.compress.walk import matrix
from parsimony.core import data, headlines, pages, pretrained, training
from parsimony.core.console import Console
from parsimony.core.errors import InputError
from parsimony.core.generation import answers
from parsimony.core.headlines import Headline
from parsimony.core.inputs.joined import windows
from parsimony.core.prunable import block_linears
from parsimony.core.run import Run, provenance

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_LONGEST = 512  # tokens of a window
_PROMPT = 64  # tokens that a text begins with
_CALIBRATE = 128  # windows
_TYPES = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}


@dataclass(frozen=True)
class Job:
    """What all cells share.

    Attributes:
        original: where the model is.
        model: unquantized; nothing changes it.
        tokenizer: of the model.
        specs: ways to quantize.
        design: what is crossed.
        windows: held-out token ids, [windows, window].
        calibration: training windows, where a way to quantize needs data.
        prompts: beginnings of the first windows.
        notes: sentences for the user.
        request: what was asked for.
    """

    original: pretrained.Pretrained
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    specs: dict[str, Spec]
    design: Design
    windows: Tensor
    calibration: Tensor | None
    prompts: list[list[int]]
    notes: list[str]
    request: Request

    @property
    def reference(self) -> str:
        """Name of the original among the methods: its type."""
        return _TYPES.get(self.model.dtype, str(self.model.dtype))

    @property
    def methods(self) -> list[str]:
        """The original first."""
        return [self.reference, *self.specs]

    def identity(self) -> dict[str, Any]:
        """What two studies must share to stand in one table."""
        read = hashlib.sha256(repr((self.windows.tolist(), self.prompts)).encode())
        crossed = {name: list(map(_listed, value)) for name, value in vars(self.design).items()}
        return {"texts": read.hexdigest(), **crossed}


class Subject:
    """One method's model, made when the first cell asks for it.

    Args:
        job: what all cells share.
        method: one of ``job.methods``.
    """

    def __init__(self, job: Job, method: str) -> None:
        self._job, self.method = job, method
        self.codes: Quantized | None = None

    @functools.cached_property
    def model(self) -> PreTrainedModel:
        """The original itself, or a quantized copy."""
        job, spec = self._job, self._job.specs.get(self.method)
        if spec is None:
            return job.model
        made = copy.deepcopy(job.model)
        needed = job.calibration if spec.needs_data else None
        self.codes = quantize(made, spec, needed, batch=job.request.batch, seed=job.request.seed)
        return made


def study(
    request: Request, folder: Path, console: Console, beside: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """Run a study into a new folder; returns its ``result.json``.

    Args:
        request: what to do.
        folder: new or empty.
        console: where progress is shown.
        beside: results of studies that it will stand in one table with.

    Raises:
        InputError: a setting, the model or the data is at fault; of ``together``.
    """
    check(request)
    run = Run.create(folder, provenance(request, Request()), request.seed)
    with run.locked():
        try:
            job = read(request, console)
            together([{"kind": KIND, "identity": job.identity()}, *beside])
        except Exception:
            shutil.rmtree(folder)  # nothing was spent yet
            raise
        run.write("identity.json", job.identity())
        return _carry_out(run, job, console)


def resume(folder: Path, console: Console) -> dict[str, Any]:
    """Go on with a study that was stopped; a complete one is only read.

    Raises:
        ArtifactError: not a run folder.
        InputError: the model's tokenizer or the texts have changed since.
    """
    run = Run.open(folder)
    with run.locked():
        if run.has("result.json"):
            console.say(f"{folder} is complete; nothing to do")
            found: dict[str, Any] = run.read("result.json")
            return found
        job = read(Request(**{n: _tuples(v) for n, v in run.settings.items()}), console)
        if run.has("identity.json") and run.read("identity.json") != job.identity():
            raise InputError(
                "a study goes on with the texts that it began with", got=job.request.data,
                hint="Start anew, or bring the data back",
            )  # fmt: skip
        return _carry_out(run, job, console)


def resume_command(folder: Path) -> str:
    """The command that goes on with a study."""
    return f"parsimony compress generation --resume {shlex.quote(str(folder))}"


def preview(request: Request, console: Console) -> dict[str, Any]:
    """``--dry-run``: read everything, and say how many texts and how many bytes there would be."""
    check(request)
    job = read(request, console)
    cells = sum(1 for method in job.methods for _ in job.design.cells(method))
    return {
        "model": job.original.name,
        "cells": cells,
        "texts": cells * len(job.prompts),
        "bytes": {m: stored_bytes(job.model, job.specs.get(m)) for m in job.methods},
        "notes": job.notes,
    }


def read(request: Request, console: Console) -> Job:
    """Load model and data, and refuse what cannot be studied before anything is spent.

    Raises:
        InputError: a model that does not write, or is quantized already; a layer that a method
            does not fit; too little text.
    """
    console.say("Reading model and data")
    device = request.device or training.default_device()
    if device not in ("cpu", training.default_device()):
        raise InputError(f"--device {device} is not available", hint="Leave it out, or use cpu")
    original = pretrained.find(request.model)
    model = pretrained.load_saved(original).to(device)  # type: ignore[arg-type]
    if not getattr(model, "can_generate", lambda: False)():
        raise InputError(
            "only a model that predicts the next token writes", got=type(model).__name__,
            hint="Such as stdlib-lm, or a folder of a GPT-2 or Llama",
        )  # fmt: skip
    tokenizer = pretrained.tokenizer(original)
    positions = getattr(model.config, "max_position_embeddings", None)
    window = int(min(positions or _LONGEST, tokenizer.model_max_length, _LONGEST))
    prompt = request.prompt or min(_PROMPT, window // 2)
    design, notes = Design.of(request, prompt, model.config.vocab_size, positions)
    specs = {str(spec): spec for spec in map(spec_of, request.methods)}
    for spec in specs.values():
        for name, layer in block_linears(model).items():
            spec.rounding.check(spec.grid, matrix(layer), name)
    notes += _larger(model, specs)
    found = data.load(request.data, text=request.text, seed=request.seed)
    if "text" not in found.splits["test"]:
        raise InputError(
            "prompts are beginnings of texts", got=f"{found.name} is {found.task}",
            hint="Name a table with a column of texts, and the column with --text",
        )  # fmt: skip
    held_out = windows(found.splits["test"]["text"].tolist(), tokenizer, window)
    held_out = held_out[:: max(1, len(held_out) // request.windows)][: request.windows]
    if len(held_out) < request.prompts:
        raise InputError(
            f"the held-out texts fill {len(held_out)} windows of {window} tokens",
            got=f"{request.prompts} prompts", hint="Fewer --prompts, or more text",
        )  # fmt: skip
    calibration = None
    if any(spec.needs_data for spec in specs.values()):
        calibration = windows(found.splits["train"]["text"].tolist(), tokenizer, window)[
            :_CALIBRATE
        ]
    prompts = held_out[: request.prompts, :prompt].tolist()
    notes += [
        *found.notices,
        f"{len(held_out)} held-out windows of {window} tokens; {len(prompts)} prompts are the "
        f"first {prompt} tokens of as many",
    ]
    return Job(
        original, model, tokenizer, specs, design, held_out, calibration, prompts, notes, request
    )


def _larger(model: nn.Module, specs: dict[str, Spec]) -> list[str]:
    """Where double quantization takes more room than it saves, all code books counted."""
    found = []
    for name, spec in specs.items():
        if isinstance(spec.grid, BlockGrid) and spec.grid.double:
            once = dataclasses.replace(spec, grid=dataclasses.replace(spec.grid, double=False))
            double, plain_one = (stored_bytes(model, each) or {} for each in (spec, once))
            if (more := sum(double.values()) - sum(plain_one.values())) >= 0:
                found.append(f"{name} takes {more} bytes more than {once} in so small a model")
    return found


def _carry_out(run: Run, job: Job, console: Console) -> dict[str, Any]:
    for note in job.notes:
        console.say(f"  {note}")
    for method in job.methods:
        subject, name = Subject(job, method), plain(method)
        work = {f"cells/{name}_predictions.json": functools.partial(predictions, job, subject)}
        for cell in job.design.cells(method):
            work[cell.file] = functools.partial(write, job, subject, cell)
        work[f"cells/{name}_cost.json"] = functools.partial(_cost, job, subject)
        with console.phase(f"{method}: {len(work) - 2} ways to write", len(work)) as phase:
            for file, compute in work.items():
                if not run.has(file):
                    run.write(file, compute())
                phase.advance()
    result = analyse(run, job)
    run.write(pages.FILE, page(result).model_dump(mode="json"))
    told = [Headline.of(f"loss, {m['method']} less {result['reference']}", m["difference"], "nats")
            for m in result["methods"][1:]]  # fmt: skip
    headlines.write(run.folder, "compress generation", result["model"]["name"], told)
    run.write("result.json", result)
    return result


@torch.no_grad()
def predictions(job: Job, subject: Subject) -> dict[str, Any]:
    """Losses of held-out windows, and distances to the original's predictions, a value each."""
    found: dict[str, Any] = {
        "nats": loss_per_token(job.windows, job.request.batch).rows(subject.model).tolist()
    }
    if subject.method == job.reference:
        return found
    warm = [(t, k) for t, k in job.design.settings if t > 0]
    distances: dict[tuple[float, int | None], dict[str, list[float]]] = {
        setting: {"kl": [], "total_variation": []} for setting in warm
    }
    found["agreement"] = []
    for ids in job.windows.to(job.model.device).split(job.request.batch):
        mine, theirs = (_logits(model, ids) for model in (job.model, subject.model))
        agreed = divergence.agreement(mine, theirs).double()
        found["agreement"] += agreed.mean(-1).tolist()
        for (temperature, top_k), into in distances.items():
            for name, distance in (("kl", divergence.kl),
                                   ("total_variation", divergence.total_variation)):  # fmt: skip
                into[name] += distance(mine, theirs, temperature, top_k).mean(-1).tolist()
    found["divergence"] = [
        {"temperature": t, "top_k": k, **values} for (t, k), values in distances.items()
    ]
    return found


def _logits(model: nn.Module, ids: Tensor) -> Tensor:
    logits: Tensor = model(input_ids=ids).logits
    return logits.float()


def write(job: Job, subject: Subject, cell: Cell) -> dict[str, Any]:
    """The texts of one cell, and what is counted in each."""
    end = job.tokenizer.eos_token_id
    stops = [] if end is None else [end]
    written = answers(
        subject.model, job.prompts, tokens=cell.tokens, stops=stops, batch=job.request.batch,
        sampling=cell.sampling,
    )  # fmt: skip
    # The end of a text is a token that was chosen too, and no text is empty with it.
    whole = [text + stops if len(text) < cell.tokens else text for text in written]
    nats = texts.nats_per_token(job.model, job.prompts, whole, job.request.batch)
    return {
        "nats": nats,
        **{f"distinct_{n}": [texts.distinct(text, n) for text in whole] for n in (1, 2, 3)},
        "repetition": [texts.repetition(text) for text in whole],
        "length": [float(len(text)) for text in written],
        "texts": [job.tokenizer.decode(text) for text in written],
    }


def _cost(job: Job, subject: Subject) -> dict[str, Any]:
    """Bytes, peak and, where they are asked for, paces."""
    tokens = min(job.design.lengths)
    found: dict[str, Any] = {
        "bytes": stored_bytes(job.model, job.specs.get(subject.method)),
        "paces": [],
        "form": "",
    }
    found["peak_memory"] = cost.peak(subject.model, job.prompts[:8], tokens).as_dict()
    if job.request.timed:
        codes = subject.codes
        paces, found["form"] = cost.paces(subject.model, codes, job.prompts[0], tokens)
        found["paces"] = [asdict(each) for each in paces]
    return found


def stored_bytes(model: nn.Module, spec: Spec | None) -> dict[str, int] | None:
    """Bytes by role of a model whose block layers are quantized so, or of one left as it is;
    ``None`` on a grid with zero points, which are not counted.
    """
    if spec is None:
        return sizes.planned(model, {})
    if isinstance(spec.grid, Grid) and not spec.grid.symmetric:
        return None
    grids = dict.fromkeys(block_linears(model), spec.grid)
    return sizes.planned(model, grids, spec.activations)


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
