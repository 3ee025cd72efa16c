"""Which quantization a masked-diffusion model bears: bits x method x task x kind of model.

The four axes of Lin et al. 2025 (arXiv 2508.14896) on models that are trained here: one of text and
Sudokus, as pre-training makes it, and the same tuned to answer. Tasks: the bound per byte of
held-out source text, and 4 x 4 Sudokus of held-out grids, solved whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parsimony.core import artifacts, headlines, trials
from parsimony.core.errors import require
from parsimony.core.headlines import Headline
from parsimony.core.pages import (
    Axis,
    Column,
    Estimate,
    Intervals,
    Page,
    Plot,
    Section,
    Series,
    Table,
)
from parsimony.core.run import Run

if TYPE_CHECKING:
    from torch import Tensor

    from parsimony.core.console import Console

WEIGHTS = ("w4g32", "w3g32", "w2g32")
BOTH = ("w8a8", "w4a4")
METHODS = {
    "rtn": (*WEIGHTS, *BOTH),
    "gptq": WEIGHTS,
    "awq": WEIGHTS,
    "smoothquant": BOTH,
    "quarot": BOTH,
    "duquant": BOTH,
}
"""Bits by method, as in the paper: weights alone, or weights and activations."""
TASKS = ("text", "sudoku")
KINDS = ("base", "tuned")
GIVENS = 8


@dataclass(frozen=True)
class Study:
    """What is done; a default takes about half an hour on one core.

    Attributes:
        steps: of the pre-training; a third as many tune.
        samples: windows to calibrate with.
        puzzles: Sudokus of held-out grids.
        seed: of weights, order, calibration and puzzles.
        methods: names of ``METHODS``.
        bits: texts of ``WEIGHTS`` and ``BOTH``.
    """

    steps: int = 3000
    samples: int = 128
    puzzles: int = 108
    seed: int = 0
    methods: tuple[str, ...] = tuple(METHODS)
    bits: tuple[str, ...] = (*WEIGHTS, *BOTH)

    @property
    def specs(self) -> list[str]:
        """What is tried of each model."""
        return [f"{m}:{b}" for m in self.methods for b in METHODS[m] if b in self.bits]


def label(drop: float) -> str:
    """The paper's word for a relative drop: below 1 % negligible, above 4 % significant."""
    return "negligible" if drop < 0.01 else "moderate" if drop <= 0.04 else "significant"


def run(study: Study, folder: Run, console: Console) -> dict[str, Any]:
    """Train, quantize, measure; what is in the run folder already is only read.

    Returns:
        ``table``: a row per kind of model, method and task, with the paired difference to full
        precision; ``outliers``: by kind and layer.
    """
    models = {kind: _model(kind, study, folder, console) for kind in KINDS}
    cells: dict[tuple[str, str, str], np.ndarray] = {}
    outliers = {}
    for kind in KINDS:
        with console.phase(f"Quantizing the {kind} model", len(study.specs) + 1) as phase:
            for spec in ("full", *study.specs):
                found = _cell(models[kind], kind, spec, study, folder)
                for task in TASKS:
                    cells[kind, spec, task] = np.asarray(found[task])
                phase.advance()
        outliers[kind] = _outliers(models[kind], kind, study, folder)
    table = [
        _row(kind, spec, task, cells)
        for kind in KINDS for spec in study.specs for task in TASKS
    ]  # fmt: skip
    full = {f"{k} {t}": float(cells[k, "full", t].mean()) for k in KINDS for t in TASKS}
    return {"kind": "diffusion-study", "study": asdict(study), "full": full, "table": table,
            "outliers": outliers}  # fmt: skip


def _row(
    kind: str, spec: str, task: str, cells: Mapping[tuple[str, str, str], np.ndarray]
) -> dict[str, Any]:
    """One line: higher is worse for the bound, better for the share solved."""
    before, after = cells[kind, "full", task], cells[kind, spec, task]
    gap = trials.paired(after[None], before[None])
    worse = gap.estimate if task == "text" else -gap.estimate
    drop = worse / float(before.mean()) if before.mean() else 0.0
    method, bits = spec.split(":")
    word = "no difference found" if gap.spans_zero else "better" if drop < 0 else label(drop)
    return {
        "model": kind, "method": method, "bits": bits, "task": task,
        "score": float(after.mean()), "difference": gap.as_dict(), "drop": drop,
        "label": word,
    }  # fmt: skip


def _model(kind: str, study: Study, folder: Run, console: Console) -> Any:
    """A trained model, from the run folder where it is there."""
    require("torch", "models")
    from parsimony.models.masked_diffusion import MaskedDiffusionLM
    from parsimony.papers import byte_diffusion, byte_models, sudoku

    home = folder.folder / "models" / kind
    if not artifacts.is_sealed(home):
        told = "Training on text and Sudokus" if kind == "base" else "Tuning on answers"
        console.say(f"{told}, {study.steps if kind == 'base' else study.steps // 3} steps")
        train, _ = sudoku.split(48, study.seed)
        if kind == "base":
            model = byte_diffusion.network(study.seed)
            byte_models.train_bytes(
                model,
                byte_diffusion.settings(study.steps, study.seed),
                at=frozenset(),
                texts=_mixture(train, study),
            )
        else:
            model = MaskedDiffusionLM.from_pretrained(folder.folder / "models" / "base")
            rows = sudoku.tokens(_puzzles(train, 4096, study.seed))
            byte_diffusion.train_answers(
                model, rows, sudoku.CELLS, byte_diffusion.settings(study.steps // 3, study.seed)
            )
        model.save_pretrained(home)
        artifacts.seal(home)
    return MaskedDiffusionLM.from_pretrained(home).eval()


def _mixture(train: Any, study: Study) -> Tensor:
    """Windows of source text, and as many of two Sudokus each, with their grids."""
    import torch

    from parsimony.papers import byte_models, sudoku

    text = byte_models.windows("train", "ascii")
    half = min(len(text), 8192)
    drawn = torch.randperm(len(text), generator=torch.Generator().manual_seed(study.seed))[:half]
    rows = sudoku.tokens(_puzzles(train, 2 * half, study.seed + 1)).to(torch.uint8)
    return torch.cat([text[drawn], rows.view(half, -1)])


def _puzzles(grids: Any, count: int, seed: int) -> Any:
    """Puzzles of 6 to 12 givens in turn; each drawn one comes several times where that is fewer."""
    from parsimony.papers import sudoku

    each = min(count, 1024) // 4
    drawn = np.concatenate(
        [sudoku.puzzles(grids, givens, each, seed + givens) for givens in (6, 8, 10, 12)]
    )
    order = np.random.default_rng(seed).permutation(count) % len(drawn)
    return drawn[order]


def _calibration(model: Any, study: Study) -> Tensor:
    """Text and Sudokus with masks, as the model sees them when it runs."""
    import torch

    from parsimony.papers import sudoku

    texts = _mixture(sudoku.split(48, study.seed)[0], study).long()
    drawn = torch.randperm(len(texts), generator=torch.Generator().manual_seed(study.seed + 2))
    noised: Tensor = model.noised(texts[drawn[: study.samples]], study.seed)
    return noised


def _cell(model: Any, kind: str, spec: str, study: Study, folder: Run) -> dict[str, list[float]]:
    """Scores by task of one model quantized in one way; of every text and every puzzle."""
    import copy

    from parsimony.compress.quantizing import quantize
    from parsimony.papers import byte_models, sudoku

    name = f"cells/{kind}-{spec.replace(':', '-')}.json"
    if not folder.has(name):
        copied = copy.deepcopy(model)
        if spec != "full":
            quantize(copied, spec, _calibration(model, study), seed=study.seed)
        held_out = sudoku.puzzles(
            sudoku.split(48, study.seed)[1], GIVENS, study.puzzles, study.seed
        )
        folder.write(
            name,
            {
                "text": copied.bound(byte_models.held_out("ascii"), draws=4).tolist(),
                "sudoku": sudoku.solved(copied, held_out).astype(float).tolist(),
            },
        )
    found: dict[str, list[float]] = folder.read(name)
    return found


def _outliers(model: Any, kind: str, study: Study, folder: Run) -> list[dict[str, Any]]:
    """What every linear layer reads: how far its largest channels and tokens stand out."""
    from parsimony.compress.outliers import outliers

    name = f"outliers/{kind}.json"
    if not folder.has(name):
        folder.write(
            name,
            [
                {
                    "layers": reading.layers,
                    "channel_ratio": float(reading.channel_median.max()) / reading.median,
                    "token_ratio": float(reading.token_max.max()) / reading.median,
                    "outlier_channels": len(reading.outlier_channels),
                    "massive_tokens": reading.massive_tokens,
                    "tokens": len(reading.token_max),
                }
                for reading in outliers(model, _calibration(model, study))
            ],
        )
    read: list[dict[str, Any]] = folder.read(name)
    return read


def page(result: Mapping[str, Any]) -> Page:
    """The table, what falls where, and the outliers."""
    return Page(
        command="compress diffusion-study",
        title="Quantizing a masked-diffusion language model",
        summary=_summary(result["table"]),
        sections=[
            Section(
                title="Scores",
                text="Paired differences to full precision on the same texts and puzzles, 95 % "
                "intervals over them. The text score is an upper bound on the nats per byte, no "
                "perplexity; the Sudoku score is the share solved whole.",
                figures=[_differences(result["table"], kind, task)
                         for task in TASKS for kind in KINDS],
                table=_table(result["table"]),
            ),
            Section(
                title="Activation outliers",
                text="Largest magnitude of each layer's input over the median, and how many tokens "
                "carry a massive one.",
                figures=[_standing_out(kind, result["outliers"][kind]) for kind in KINDS],
            ),
        ],
        notes=["One model of 0.36 M parameters, trained here for minutes: directions, not sizes."],
    )  # fmt: skip


def write_headlines(folder: Path, result: Mapping[str, Any]) -> None:
    """Every cell's difference to full precision, in a few bytes."""
    told = [
        Headline.of("{model} {task}, {method} {bits}".format(**row), row["difference"])
        for row in result["table"]
    ]
    headlines.write(folder, "compress diffusion-study", "masked diffusion", told)


def _summary(table: list[dict[str, Any]]) -> str:
    hurt = [row for row in table if row["label"] == "significant"]
    found = [row for row in table if row["label"] != "no difference found"]
    return (
        f"Of {len(table)} cells, a difference to full precision was found in {len(found)}; "
        f"{len(hurt)} lose more than 4 %."
    )


def _differences(table: list[dict[str, Any]], kind: str, task: str) -> Intervals:
    rows = [
        Estimate(
            name=f"{row['method']} {row['bits']}",
            value=row["difference"]["estimate"],
            low=row["difference"]["low"],
            high=row["difference"]["high"],
        )
        for row in table
        if row["model"] == kind and row["task"] == task
    ]
    unit = "nats per byte, lower is better" if task == "text" else "share solved, higher is better"
    return Intervals(
        title=f"{task}, {kind} model",
        x=Axis(label=unit),
        rows=rows,
        reference=("full precision", 0.0),
    )


def _table(table: list[dict[str, Any]]) -> Table:
    return Table(
        columns=[
            *(Column(name=name) for name in ("model", "method", "bits", "task")),
            Column(name="score", unit=""),
            Column(name="difference", unit=""),
            Column(name="drop", unit="share"),
            Column(name="in words"),
        ],
        rows=[
            [row["model"], row["method"], row["bits"], row["task"], row["score"],
             row["difference"]["estimate"], row["drop"], row["label"]]
            for row in table
        ],
    )  # fmt: skip


def _standing_out(kind: str, layers: list[dict[str, Any]]) -> Plot:
    places = [float(index) for index in range(len(layers))]
    return Plot(
        title=f"Largest input over the median, {kind} model",
        x=Axis(label="input of linear layers, first to last"),
        y=Axis(label="times the median", log=True),
        series=[
            Series(
                name=name,
                x=places,
                y=[layer[key] for layer in layers],
                style=style,
            )
            for name, key, style in (
                ("channel (median over tokens)", "channel_ratio", "line"),
                ("token (largest value)", "token_ratio", "points"),
            )
        ],
    )
