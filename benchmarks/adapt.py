"""What ``adapt`` costs beside its peers, on the built-in model and data, one thread, one process.

``python benchmarks/adapt.py [--json]`` prints ratios and relative errors with their spread, never
an absolute time:

* training: a step of ``core.training.train``, its sealed checkpoints included, over a step of
  transformers' Trainer with peft's LoRA, the same batches and no checkpoint;
* checkpoint: the time between two steps in which one is written and sealed, over a plain step;
* memory: the predicted peak of a training step against the bytes that torch's profiler sees, ours
  (``core.cost``) beside the rule of ``accelerate estimate-memory`` (four times the model).
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from _rows import Row, peaks, show
from accelerate.commands.estimate import estimate_training_usage
from accelerate.utils import calculate_maximum_sizes
from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments

from parsimony.adapt import solve
from parsimony.adapt.setup import Setup
from parsimony.core import cost, data, pretrained, training
from parsimony.core.errors import ParsimonyError
from parsimony.core.scoring import EncodedRows

REPETITIONS = 5
STEPS = 10
WARM = 2  # first steps, which also load kernels and check gradients, are not counted
RATE = 1e-3
SIZE = 8
METHODS = {"lora": SIZE, "full": 0, "linear-probe": 0}


class Clock(TrainerCallback):
    """Notes when a step ends and when the next batch is fetched, and what each batch held.

    Args:
        collate: makes the batches.
    """

    def __init__(self, collate: Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]]) -> None:
        self._collate = collate
        self.ends: list[float] = []
        self.worked: list[float] = []
        self.gaps: list[float] = []
        self.batches: list[tuple[int, ...]] = []

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        if len(self.ends) > len(self.gaps):  # the first fetch after a step: all it left is done
            self.gaps.append(time.perf_counter() - self.ends[-1])
        batch = self._collate(rows)
        self.batches.append(tuple(batch["input_ids"].flatten().tolist()))
        return batch

    def step(self, *_: object) -> None:
        """A step has ended; its log and checkpoint are still to come."""
        self.ends.append(time.perf_counter())
        self.worked.append(time.process_time())

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.step()

    @property
    def seconds(self) -> float:
        """From the end of the last warm step to the end of the last one."""
        return self.ends[-1] - self.ends[WARM - 1]

    @property
    def cpu_seconds(self) -> float:
        """Processor time in ``seconds``: other programs and waits for the disk left out."""
        return self.worked[-1] - self.worked[WARM - 1]

    @property
    def gap(self) -> float:
        """Median seconds from the end of a step to the fetch of the next batch."""
        return statistics.median(self.gaps[WARM:])


def make_setup(folder: Path) -> tuple[Setup, EncodedRows]:
    """The built-in model on the built-in data, as ``adapt`` would set it up."""
    found = data.load("stdlib-docs", limit=400)
    setup = Setup(
        model=pretrained.find("minilm"),
        data=found.name,
        task=found.task,
        labels=found.labels,
        text=found.text,
        label=found.label,
        fingerprint=found.fingerprint,
        window=64,
        batch=16,
        device="cpu",
        threads=1,
        folder=folder,
    )
    return setup, EncodedRows(found.splits["train"], setup.tokenizer, setup.window)


def ours(setup: Setup, rows: EncodedRows, folder: Path) -> Clock:
    """Train LoRA as a trial of ``adapt`` does."""
    clock = Clock(setup.collator)
    training.train(
        setup.adapted("lora", SIZE, 0.0, 0),
        rows,
        clock,  # type: ignore[arg-type]
        training.TrainSettings(RATE, STEPS, batch_size=setup.batch),
        folder,
        on_step=clock.step,
    )
    written = folder / "checkpoints" / f"checkpoint-{STEPS - 1}"
    if not (written / "manifest.json").is_file():
        raise ParsimonyError("a checkpoint must be written at every step to be measured")
    return clock


def plain(setup: Setup, rows: EncodedRows, folder: Path) -> Clock:
    """Train the same LoRA with transformers and peft alone."""
    torch.use_deterministic_algorithms(False)
    clock = Clock(DataCollatorWithPadding(setup.tokenizer))
    trainer = Trainer(
        model=setup.adapted("lora", SIZE, 0.0, 0),
        args=TrainingArguments(
            output_dir=str(folder),
            per_device_train_batch_size=setup.batch,
            max_steps=STEPS,
            learning_rate=RATE,
            seed=0,
            data_seed=0,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=rows,
        data_collator=clock,
        callbacks=[clock],
    )
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()
    return clock


def training_rows(setup: Setup, rows: EncodedRows, scratch: Path) -> list[Row]:
    """Alternating repetitions, the order turned round each time."""
    steps, cpu, checkpoints = [], [], []
    for number in range(REPETITIONS):
        arms = [("ours", ours), ("plain", plain)]
        seen = {}
        for name, arm in arms if number % 2 else arms[::-1]:
            gc.collect()
            seen[name] = arm(setup, rows, scratch / f"{name}-{number}")
        if seen["ours"].batches[:STEPS] != seen["plain"].batches[:STEPS]:
            raise ParsimonyError("both trainings must see the same batches to be compared")
        one = seen["plain"].seconds / (STEPS - WARM)
        steps.append(seen["ours"].seconds / seen["plain"].seconds)
        cpu.append(seen["ours"].cpu_seconds / seen["plain"].cpu_seconds)
        checkpoints.append((seen["ours"].gap - seen["plain"].gap) / one)
    return [
        Row("training step / Trainer + peft LoRA, wall time", "ratio", tuple(steps)),
        Row("training step / Trainer + peft LoRA, processor time", "ratio", tuple(cpu)),
        Row("log and sealed checkpoint / plain training step", "ratio", tuple(checkpoints)),
    ]


def memory_rows(setup: Setup) -> list[Row]:
    """Predicted peak of a step against the profiler's, ours and accelerate's."""
    base = cost.on_meta(lambda: pretrained.build(setup.facts.config, setup.task))
    rule = max(estimate_training_usage(calculate_maximum_sizes(base)[0], "float32").values())
    found = []
    for name, size in METHODS.items():
        predicted = solve.step_cost(setup, name, size)[0].peak_bytes
        measured = profiled_peaks(setup, name, size)
        for who, value in (("parsimony", predicted), ("accelerate", rule)):
            errors = tuple((value - m) / m for m in measured)
            found.append(Row(f"peak memory of {name}: {who}", "relative error", errors))
    return found


def profiled_peaks(setup: Setup, name: str, size: int) -> list[int]:
    """Most tensor bytes alive in each of several real steps, the first step not counted."""
    model = setup.adapted(name, size, 0.0, 0).train()
    batch = cost.text_batch(setup.facts.config, setup.task, setup.batch, setup.window)()
    trained = [p for p in model.parameters() if p.requires_grad]
    stepper = training.optimizer_for(trained, training.TrainSettings(RATE, 1))

    def step() -> None:
        model(**batch).loss.backward()
        stepper.step()
        stepper.zero_grad()

    step()
    state = [t for entry in stepper.state.values() for t in entry.values()]
    return peaks(step, [*model.parameters(), *model.buffers(), *state, *batch.values()])


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of adapt beside its peers.")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    as_json = parser.parse_args().json
    warnings.simplefilter("ignore")  # libraries' notes to their own developers
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        setup, texts = make_setup(Path(folder))
        rows = [
            *training_rows(setup, texts, Path(folder)),
            *memory_rows(setup),
        ]
    show(rows, as_json)


if __name__ == "__main__":
    main()
