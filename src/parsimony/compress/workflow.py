"""``compress``: prune, retrain a sliver, quantize, export; what each step cost, with intervals.

Every step keeps a journal in the run folder, so that a killed run goes on where it was: a pass
over blocks loses one block at most, a training what its last checkpoint does not hold.
"""

from __future__ import annotations

import copy
import math
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from parsimony.compress import masks, memory, retraining, sizes
from parsimony.compress.evaluation import Evaluation, accuracy, evaluation_for
from parsimony.compress.page import page
from parsimony.compress.pruner import pruner
from parsimony.compress.quantizer import Spec
from parsimony.compress.recipe import Pruning
from parsimony.compress.retrainer import count, parse
from parsimony.compress.steps import Job, Steps
from parsimony.compress.walk import matrix
from parsimony.core import data, headlines, pages, pretrained, units
from parsimony.core.budget import Budget
from parsimony.core.console import Console
from parsimony.core.errors import BudgetError, InputError
from parsimony.core.headlines import Headline
from parsimony.core.inputs.joined import windows
from parsimony.core.prunable import block_linears
from parsimony.core.run import Run, machine, provenance

_LONGEST = 512  # tokens of a window that nobody asked for
_HELD_OUT = 128  # windows that scores are measured on
_WAYS = ("rtn", "gptq", "awq")  # from the one that needs least
_TAILS = ("w8", "w8g128", "w4g32", "w4g64", "w4g128", "w4")  # from the largest


@dataclass(frozen=True)
class Request:
    """What the user asked for; ``None`` leaves a step out, or means 'decide for me'.

    Attributes:
        model: built-in name, folder or hub name.
        calibration: texts, see ``core.data.load``; the test split is what scores are measured on.
        text: their column.
        prune: such as ``"wanda:2:4"``, see ``recipe.Pruning``.
        reconstruct: iterations that every block is trained for right after it was pruned, to put
            out what it did; what trains is ``retrain``, or ``retraining.default``.
        retrain: such as ``"biases+norms+masklora"``, see ``compress.retrainer``.
        steps: of a retraining of the whole model, by its own loss; 0 leaves it to blocks alone.
        rate: its peak learning rate, and that of a reconstruction.
        quantize: such as ``"gptq:w4g128"``, see ``quantizer.Spec``.
        budget: ``memory`` of the calibration, ``size`` of the checkpoint, ``trainable`` share of a
            retraining.
        evaluate: ``FILE.py:FUNCTION`` that gives a score per row, higher being better; by default
            the loss per token, the accuracy of a classifier, or the likeness of embeddings.
        samples: windows to calibrate with.
        window: tokens of each.
        batch: windows at a time.
        seed: every random choice derives from it.
    """

    model: str = "stdlib-lm"
    calibration: str = "stdlib-code"
    text: str | None = None
    prune: str | None = None
    reconstruct: int = 0
    retrain: str | None = None
    steps: int = 200
    rate: float = 1e-3
    quantize: str | None = None
    budget: Budget = field(default_factory=Budget)
    evaluate: str | None = None
    samples: int = 128
    window: int | None = None
    batch: int = 8
    seed: int = 0


def compress(request: Request, folder: Path, console: Console) -> dict[str, Any]:
    """Run the whole of ``parsimony compress`` into a new folder; returns ``result.json``.

    Raises:
        InputError: a setting, the model or the data is at fault.
        BudgetError: the calibration does not fit the memory, or no recipe the size.
    """
    check(request)
    run = Run.create(folder, provenance(request, Request()), request.seed)
    with run.locked():
        try:
            job = _read(request, console)
            for spec in _specs(request, job):  # refuses a size that no grid meets
                for name, layer in block_linears(job.model).items():
                    spec.rounding.check(spec.grid, matrix(layer), name)
        except Exception:
            shutil.rmtree(folder)  # nothing was spent yet
            raise
        return _carry_out(run, request, job, console)


def resume(folder: Path, console: Console) -> dict[str, Any]:
    """Go on with a run that was stopped; a complete one is only read.

    Raises:
        ArtifactError: not a run folder.
    """
    run = Run.open(folder)
    with run.locked():
        if run.has("result.json"):
            console.say(f"{folder} is complete; nothing to do")
            found: dict[str, Any] = run.read("result.json")
            return found
        settings = run.settings
        request = Request(**{**settings, "budget": Budget.parse(settings["budget"])})
        return _carry_out(run, request, _read(request, console), console)


def preview(request: Request, console: Console) -> dict[str, Any]:
    """``--dry-run``: read everything, predict memory and size, and compute nothing."""
    check(request)
    job = _read(request, console)
    found: dict[str, Any] = {
        "model": job.original.name,
        "stored_bytes": job.bytes,
        "calibration": list(job.windows.shape),
    }
    if (needed := _memory(request, job)) is not None:
        found["peak_memory"] = needed.total
    found["sizes"] = {str(spec): planned(job.model, spec) for spec in _specs(request, job)}
    return found


def check(request: Request) -> None:
    """Refuse settings that no model or data could make good.

    Raises:
        InputError: names the setting.
    """
    if request.prune is not None:
        Pruning.parse(request.prune)
        if request.retrain is not None:
            parse(request.retrain)
            if not (request.steps or request.reconstruct):
                raise InputError(
                    "a retraining needs steps, of the whole model or of every block",
                    got="--steps 0 without --reconstruct",
                )
    elif request.retrain is not None or request.reconstruct:
        raise InputError(
            "there is nothing to retrain without --prune",
            got=f"--retrain {request.retrain}" if request.retrain else "--reconstruct",
            hint="Add --prune wanda:50%, or leave it out",
        )
    if request.quantize is not None:
        _check_spec(Spec.parse(request.quantize), request.prune)
    if not (request.prune or request.quantize or request.budget.size):
        raise InputError(
            "a compression needs something to do",
            got="neither --prune, --quantize nor a size",
            hint='Such as --budget "size=30%" or --quantize gptq:w4g128',
        )
    for key in ("time", "energy", "latency"):
        if getattr(request.budget, key) is not None:
            raise InputError(
                f"compress cannot keep a limit on '{key}'", got=str(request.budget),
                hint="Use size=, memory= and trainable=",
            )  # fmt: skip
    for option in ("samples", "batch", "rate"):
        if getattr(request, option) <= 0:
            raise InputError(f"--{option} must be positive", got=getattr(request, option))
    for option in ("steps", "reconstruct"):
        if getattr(request, option) < 0:
            raise InputError(f"--{option} must not be negative", got=getattr(request, option))
    if not 0 <= request.seed < 2**31:
        raise InputError("--seed must be a whole number from 0 to 2147483647", got=request.seed)


def _check_spec(spec: Spec, prune: str | None) -> None:
    """Refuse now what the last step would refuse, after all the others were paid for."""
    if not spec.exportable:
        raise InputError(
            "a checkpoint holds what is in the weights, and this computes on activations too",
            got=str(spec),
            hint="Use rtn, gptq, awq, smoothquant or quarot, or compress.quantizing from Python",
        )
    if not getattr(spec.grid, "symmetric", True):
        raise InputError(
            "no version of transformers reads an asymmetric grid back",
            got=str(spec),
            hint="Leave out -asym, or use compress.quantizing from Python",
        )
    if prune is not None and spec.transform is not None and not spec.transform.keeps_zeros:
        raise InputError(
            "a rotation mixes the inputs of a layer, so that pruned weights would not stay zero",
            got=f"--prune {prune} --quantize {spec}",
            hint="Use rtn, gptq, awq or smoothquant with a pruned model",
        )


def _read(request: Request, console: Console) -> Job:
    console.say("Reading model and data")
    original = pretrained.find(request.model)
    model = pretrained.load_saved(original)
    tokenizer = pretrained.tokenizer(original)
    said = getattr(model.config, "max_position_embeddings", None) or _LONGEST
    most = int(min(said, tokenizer.model_max_length))
    window = request.window or min(most, _LONGEST)
    if not 2 <= window <= most:
        raise InputError(f"--window must be 2 to {most} tokens for this model", got=window)
    found = data.load(request.calibration, text=request.text, seed=request.seed)
    if "text" not in found.splits["train"]:
        raise InputError(
            "a calibration needs texts", got=f"{found.name} is {found.task}",
            hint="Name a table with a column of texts, and the column with --text",
        )  # fmt: skip
    texts = {name: table["text"].tolist() for name, table in found.splits.items()}
    training = windows(texts["train"], tokenizer, window)
    calibration = windows(texts["train"], tokenizer, window, request.samples, seed=request.seed)
    held_out = windows(texts["test"], tokenizer, window)
    if len(held_out) > _HELD_OUT:
        held_out = held_out[:: len(held_out) // _HELD_OUT][:_HELD_OUT]
    job = Job(
        original,
        model,
        tokenizer,
        model.noised(calibration, request.seed) if hasattr(model, "noised") else calibration,
        training,
        _evaluation(request, model, tokenizer, found, held_out),
        held_out[: request.batch],
        sizes.stored(original.path).total,
        found.fingerprint,
        [*found.notices, f"{len(held_out)} held-out windows of {window} tokens are scored"],
        request.batch,
        request.seed,
    )
    _check_training(request, model)
    if (needed := _memory(request, job)) is not None:
        limit = request.budget.memory
        whose = "the memory budget" if limit else "the memory of this machine"
        memory.check(needed, limit or machine()["memory_bytes"], request.samples, whose=whose)
    return job


def _evaluation(
    request: Request, model: Any, tokenizer: Any, found: data.TaskData, held_out: Tensor
) -> Evaluation:
    """The user's own; accuracy of a classifier on labelled texts; else what the model calls for."""
    classifies = type(model).__name__.endswith("ForSequenceClassification")
    if request.evaluate is None and classifies and found.task.endswith("classification"):
        return accuracy(
            found.splits["test"], found.labels, tokenizer, model, held_out.shape[1], request.batch
        )
    return evaluation_for(model, held_out, request.batch, request.evaluate)


def _check_training(request: Request, model: nn.Module) -> None:
    """Refuse a training that the model or the budget does not allow, before anything is done.

    Raises:
        InputError: the model has no loss of its own.
        BudgetError: more would train than the budget allows.
    """
    learns = hasattr(model, "bound") or getattr(model, "can_generate", lambda: False)()
    if request.retrain is not None and request.steps and not learns:
        raise InputError(
            "a whole model is retrained by its own loss on texts, and this one has none",
            got=type(model).__name__,
            hint="Train blocks alone: --steps 0 --reconstruct 50",
        )
    allowed = request.budget.trainable
    if allowed is None or not (request.retrain or request.reconstruct):
        return
    method = request.retrain or retraining.default(model)
    retraining.check_share(method, *count(copy.deepcopy(model).to("meta"), method), allowed)


def _memory(request: Request, job: Job) -> memory.PassMemory | None:
    """Peak of the pass that needs most; ``None`` where no step goes through blocks."""
    pruned = Pruning.parse(request.prune) if request.prune else None
    walks = bool(request.quantize or request.budget.size or request.reconstruct)
    if pruned is not None and pruner(pruned.method).statistic is not None:
        walks = True
    if not walks:
        return None
    return memory.predict(
        job.model, *job.windows.shape, request.batch, curvature=True, targets=bool(request.prune)
    )


def _specs(request: Request, job: Job) -> list[Spec]:
    """How to quantize: as asked, or all ways on the grid with the most bits that fit the size.

    Raises:
        BudgetError: none fits, with the smallest size that can be had.
    """
    if request.quantize is not None:
        return [Spec.parse(request.quantize)]
    if request.budget.size is None:
        return []
    limit = request.budget.size * job.bytes
    found = []
    for tail in _TAILS:
        specs = [Spec.parse(f"{way}:{tail}") for way in _WAYS]
        if not _divides(job.model, specs[0]):
            continue
        found.append(planned(job.model, specs[0]))
        if found[-1] <= limit:
            return specs
    least = min(found) / job.bytes
    raise BudgetError(
        f"the checkpoint must take at most {request.budget.size:.1%} of "
        f"{units.format_bytes(job.bytes)}; embeddings, norms and the output stay as they are",
        got=f"{least:.1%} at the least",
        nearest=f"size={math.ceil(1000 * least) / 10:g}%",
    )


def _divides(model: nn.Module, spec: Spec) -> bool:
    group = spec.grid.group
    widths = [matrix(layer).shape[1] for layer in block_linears(model).values()]
    return group is None or not any(width % group for width in widths)


def planned(model: nn.Module, spec: Spec) -> int:
    """Bytes of the tensors of a checkpoint whose block layers are quantized so, from shapes alone.

    Args:
        model: on any device.
        spec: on a symmetric grid, or of a code book.
    """
    grids = dict.fromkeys(block_linears(model), spec.grid)
    return sum(sizes.planned(model, grids, spec.activations).values())


def _carry_out(run: Run, request: Request, job: Job, console: Console) -> dict[str, Any]:
    specs = _specs(request, job)
    for notice in job.notices:
        console.say(f"  {notice}")
    steps = Steps(run, job, console)
    keep: masks.Masks = {}
    if request.prune is not None:
        rebuild = request.retrain or retraining.default(job.model)
        pruning = Pruning.parse(request.prune)
        keep = steps.prune(pruning, rebuild, request.reconstruct, request.rate)
        if request.retrain is not None and request.steps:
            steps.retrain(keep, request.retrain, request.steps, request.rate)
    result = steps.finish(steps.quantize(specs, keep), keep)
    run.write(pages.FILE, page(result).model_dump(mode="json"))
    headlines.write(run.folder, "compress", result["model"]["name"], _headlines(result))
    run.write("result.json", result)
    for spent in ("journal", "retraining"):  # they hold the model once more, and more often
        shutil.rmtree(run.folder / spent, ignore_errors=True)
    return result


def _headlines(result: dict[str, Any]) -> list[Headline]:
    """What the compressed model keeps, how small and how fast it is."""
    last = next(step for step in result["steps"] if step["step"] == result["chosen"])
    metric, size, fast = result["metric"], result["bytes"], result["speed"]
    unit = "share" if metric["unit"] == "share" else ""
    found = [Headline.of(metric["name"], last["interval"], unit)]
    if "difference" in last:
        found.append(Headline.of("difference to the original", last["difference"], unit))
    counted = headlines.COUNTED
    return [
        *found,
        Headline(name="stored", value=size["compressed"], unit="bytes", reason=counted),
        Headline(name="share of the original", value=size["share"], unit="share", reason=counted),
        Headline(name="speed over the original", value=fast["ratio"], low=fast["low"],
                 high=fast["high"]),
    ]  # fmt: skip


def resume_command(folder: Path) -> str:
    """The command that goes on with a run."""
    return f"parsimony compress --resume {shlex.quote(str(folder))}"
