"""The steps of a compression on one model, each scored on the same held-out rows."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from parsimony.compress import masks, retraining, sizes, speed
from parsimony.compress.evaluation import Evaluation
from parsimony.compress.export import save
from parsimony.compress.pruning import prune
from parsimony.compress.quantizer import Spec
from parsimony.compress.quantizing import Quantized, quantize
from parsimony.compress.recipe import Pruning
from parsimony.compress.reconstruction import Reconstruction
from parsimony.core import artifacts, layers, pretrained, trials
from parsimony.core.console import Console
from parsimony.core.errors import InputError, ParsimonyError
from parsimony.core.inputs.joined import WindowRows, collate_windows
from parsimony.core.quiet import unseen
from parsimony.core.run import Run

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ORIGINAL = "original"


@dataclass(frozen=True)
class Job:
    """What all steps share.

    Attributes:
        original: where the model is.
        model: changed by the steps.
        tokenizer: of the model.
        windows: of the calibration, [windows, window].
        training: those that a retraining sees.
        evaluation: on held-out windows.
        timed: ids that speed is measured on, and a reloaded checkpoint compared.
        bytes: of the original's tensors on disk.
        fingerprint: of the data.
        notices: sentences for the user.
        batch: windows at a time.
        seed: every random choice derives from it.
    """

    original: pretrained.Pretrained
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    windows: Tensor
    training: Tensor
    evaluation: Evaluation
    timed: Tensor
    bytes: int
    fingerprint: str
    notices: list[str]
    batch: int
    seed: int


class Steps:
    """Carries out steps on a job's model, and scores what each leaves.

    Args:
        run: keeps journals and scores; steps that are done are only read.
        job: what all steps share.
        console: where progress and scores are shown.
    """

    def __init__(self, run: Run, job: Job, console: Console) -> None:
        self._run, self._job, self._console = run, job, console
        self._key = f"{job.original.sha256} {job.fingerprint} {artifacts.dumps(run.settings)}"
        self._scores: dict[str, np.ndarray] = {}
        self._facts: dict[str, dict[str, Any]] = {}
        self._notes: list[str] = []
        self.score(ORIGINAL, job.model)

    def score(self, name: str, model: nn.Module, **facts: Any) -> None:
        """Evaluate a model, unless this run has done so before, and say the result."""
        file = f"scores/{name.replace(':', '-')}.json"
        if not self._run.has(file):
            self._run.write(file, self._job.evaluation.rows(model).tolist())
        scores = self._scores[name] = np.asarray(self._run.read(file))
        self._facts[name] = facts
        told = self._job.evaluation.summary(scores)
        self._console.say(f"{name}: " + ", ".join(f"{k} {v:.4g}" for k, v in told.items()))

    def prune(self, pruning: Pruning, rebuild: str, iterations: int, rate: float) -> masks.Masks:
        """Prune; the masks.

        Args:
            pruning: how.
            rebuild: what of a block trains right after it was pruned, see ``retraining``.
            iterations: of that training; 0 for none.
            rate: its learning rate.
        """
        job, model = self._job, self._job.model
        trained = Reconstruction(rate, iterations, rebuild, job.seed) if iterations else None
        with self._console.phase(f"Pruning: {pruning}", len(layers.find(model))) as phase:
            found = prune(
                model, pruning.target, pruning.method, job.windows, reconstruct=trained,
                seed=job.seed, batch=job.batch, journal=self._run.folder / "journal" / "prune",
                key=self._key, progress=phase.advance,
            )  # fmt: skip
        masks.save(found.masks, self._run.folder)
        name = "pruned and reconstructed" if iterations else "pruned"
        self.score(name, model, sparsity=masks.sparsity(found.masks), blocks=found.blocks)
        return found.masks

    def retrain(self, keep: masks.Masks, method: str, steps: int, rate: float) -> None:
        """Retrain a sliver of the pruned model and merge it; see ``retraining.retrain``."""
        job = self._job
        settings = retraining.settings(steps, rate, batch_size=job.batch, seed=job.seed)
        with self._console.phase(f"Retraining: {method}", steps) as phase:
            found = retraining.retrain(
                job.model, keep, WindowRows(job.training), collate_windows, method, settings,
                self._run.folder / "retraining",
                on_step=lambda step: phase.advance(),
            )  # fmt: skip
        if found.adapter is not None:
            raise InputError(
                "a checkpoint needs an adapter that merges without losing zeros",
                got=method,
                hint="Retrain with masklora or lora-prune",
            )
        self.score("retrained", job.model, **found.report)

    def quantize(
        self, specs: list[Spec], keep: masks.Masks
    ) -> tuple[str, nn.Module, Quantized | None]:
        """Quantize in every way that is given, and choose.

        Args:
            specs: from the one that needs least to the one that needs most.
            keep: masks of what was pruned.

        Returns:
            Name of what was chosen, the model, and its codes; without ``specs`` the model as it is.
        """
        if not specs:
            return list(self._scores)[-1], self._job.model, None
        made = {}
        for spec in specs:
            model = copy.deepcopy(self._job.model) if len(specs) > 1 else self._job.model
            made[str(spec)] = model, self._quantize(model, spec, keep)
            self.score(str(spec), model)
        name = self._choose(list(made))
        return name, *made[name]

    def _quantize(self, model: nn.Module, spec: Spec, keep: masks.Masks) -> Quantized:
        job, name = self._job, str(spec).replace(":", "-")
        with self._console.phase(f"Quantizing: {spec}", len(layers.find(model))) as phase:
            return quantize(
                model, spec, job.windows, masks=keep, journal=self._run.folder / "journal" / name,
                key=self._key, batch=job.batch, seed=job.seed, progress=phase.advance,
            )  # fmt: skip

    def _choose(self, names: list[str]) -> str:
        """The first of those that no difference to the best was found of: it needs least."""
        sign = self._job.evaluation.metric.sign
        best = max(names, key=lambda name: sign * float(self._scores[name].mean()))
        same = [n for n in names if n == best or self._difference(n, best).spans_zero]
        name, *tied = same
        others = [n for n in names if n not in same]
        reasons = []
        if tied:
            reasons.append(f"no difference found between it and {' and '.join(tied)}")
        if others:
            reasons.append(f"{' and '.join(others)} worse")
        if reasons:
            self._notes.append(f"Chosen: {name}: {'; '.join(reasons)}")
        return name

    def _difference(self, first: str, second: str) -> trials.Interval:
        return trials.paired(self._scores[first][None], self._scores[second][None])

    def finish(
        self, chosen: tuple[str, nn.Module, Quantized | None], keep: masks.Masks
    ) -> dict[str, Any]:
        """Export, read back, compare speed; the contents of ``result.json``.

        Raises:
            InputError: what the export refuses.
        """
        name, model, found = chosen
        job, out = self._job, self._run.folder / "model"
        if keep and not masks.intact(model, keep):
            raise ParsimonyError("every removed weight must still be zero at the end")
        self._console.say("Writing the checkpoint, and reading it back")
        if found is not None:
            found.leave_activations()  # the export rounds them itself, and twice is not once
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the notes are in the record
            record = save(
                model, found.codes if found else {}, out, job.tokenizer,  # type: ignore[arg-type]
                activations=found.activations if found else None, overwrite=out.exists(),
                method=name, calibration=job.fingerprint, notes=found.notes if found else (),
                batch={"input_ids": job.timed},
            )  # fmt: skip
        if keep:
            masks.save(keep, out)
            artifacts.seal(out)
        original = pretrained.load_saved(job.original)
        reloaded = pretrained.load_saved(pretrained.find(str(out)), coded=True)
        with unseen():  # the first pass may unpack the codes
            reloaded(input_ids=job.timed)
        fast = speed.compare(original, reloaded, job.timed)
        held = {"original": _held(original), "compressed": _held(reloaded)}
        return self._result(name, record, fast, sizes.stored(out).total) | {"memory": held}

    def _result(
        self, chosen: str, record: dict[str, Any], fast: speed.Speed, stored: int
    ) -> dict[str, Any]:
        job, metric = self._job, self._job.evaluation.metric
        return {
            "kind": "compress",
            "model": {"name": job.original.name, "sha256": job.original.sha256},
            "data": {"fingerprint": job.fingerprint, "notices": job.notices},
            "metric": {
                "name": metric.name,
                "unit": metric.unit,
                "higher_is_better": metric.higher_is_better,
            },
            "steps": [self._row(name) for name in self._scores],
            "chosen": chosen,
            "bytes": {"original": job.bytes, "compressed": stored, "share": stored / job.bytes},
            "checkpoint": record,
            "speed": {**vars(fast), "verdict": fast.verdict},
            "notes": [*self._notes, *record["notes"]],
            "artifact": "model",
            "class": type(job.model).__name__,
        }

    def _row(self, name: str) -> dict[str, Any]:
        """One line of the table: the score, and the paired difference to the original."""
        scores, evaluation = self._scores[name], self._job.evaluation
        row = {
            "step": name,
            "interval": trials.bootstrap(scores[None]).as_dict(),
            **evaluation.summary(scores),
            **self._facts[name],
        }
        if name == ORIGINAL:
            return row
        gap = self._difference(name, ORIGINAL)
        better = evaluation.metric.sign * gap.estimate > 0
        verdict = "no difference found" if gap.spans_zero else "better" if better else "worse"
        return {**row, "difference": gap.as_dict(), "verdict": verdict}


def _held(model: nn.Module) -> int:
    """Bytes of a model's tensors in memory, tied ones once."""
    tensors = [*model.parameters(), *model.buffers()]
    return sum({t.data_ptr(): t.numel() * t.element_size() for t in tensors}.values())
