"""A synthetic run folder, whole and plausible, without any model."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parsimony.core import artifacts

FINALISTS = [
    # candidate, method, rank, learning rate, score, half its interval, (difference, half its
    # interval), trainable parameters, predicted and measured bytes of peak memory
    ("lora r=4", "lora", 4, 0.002, 0.730, 0.030, (-0.006, 0.018), 81_428, 9.1e8, 9.4e8),
    ("dora r=4", "dora", 4, 0.002, 0.736, 0.031, None, 88_340, 9.6e8, 9.9e8),
    ("ia3", "ia3", None, 0.02, 0.655, 0.033, (0.011, 0.022), 17_300, 9.0e8, None),
    ("lora r=16", "lora", 16, 0.001, 0.728, 0.031, (-0.002, 0.016), 302_612, 9.3e8, 9.7e8),
    ("bitfit", "bitfit", None, 0.005, 0.612, 0.034, (0.02, 0.03), 41_876, 8.8e8, 8.7e8),
    ("linear-probe", "linear-probe", None, 0.01, 0.531, 0.035, (0.17, 0.035), 7_700, 2.4e8, 2.5e8),
]


def result() -> dict[str, Any]:
    """A `result.json` with every key."""
    leaderboard = []
    for name, method, rank, rate, score, half, gap, trainable, predicted, measured in FINALISTS:
        lost = 0.736 - score
        leaderboard.append(
            {
                "candidate": name,
                "method": method,
                "size": {"name": "r", "value": rank} if rank else None,
                "settings": {"learning_rate": rate, "dropout": 0.0},
                "seeds": [0, 1, 2],
                "score": {"estimate": score, "low": score - half, "high": score + half},
                "difference": gap
                and {"estimate": -lost, "low": -lost - gap[1], "high": -lost + gap[1]},
                "validation": score + 0.01,
                "trainable": trainable,
                "trainable_share": trainable / 22_713_216,
                "stored_bytes": 4 * trainable + 5_000,
                "predicted_memory": predicted,
                "measured_memory": measured,
                "mergeable": method in {"lora", "dora"},
                "verdict": "worse",
            }
        )
    for row, verdict in zip(leaderboard, ["recommended", "no difference"], strict=False):
        row["verdict"] = verdict
    leaderboard[3]["verdict"] = "no difference"
    leaderboard.sort(key=lambda row: -row["score"]["estimate"])
    return {
        "kind": "adapt",
        "model": {"name": "minilm", "parameters": 22_713_216, "sha256": "53aa51" + "0" * 58},
        "data": {
            "name": "stdlib-docs",
            "task": "text-classification",
            "fingerprint": "9f1c" * 16,
            "rows": {"train": 1200, "validation": 400, "test": 400},
            "classes": 20,
            "notices": ["12 duplicate rows were removed.", "The class 'xml' holds 9 rows only."],
        },
        "metric": {"name": "accuracy", "unit": "share", "higher_is_better": True},
        "budget": "trainable=0.5%, memory=8GiB, time=5min",
        "recommendation": {
            "candidate": "lora r=4",
            "method": "lora",
            "sentence": "Use LoRA at rank 4: it scores 73.0% and trains 0.36% of the model, and no "
            "difference was found between it and anything that costs more.",
            "no_difference": True,
            "tied_with": ["dora r=4", "lora r=16"],
            "artifact": "adapter",
            "load": "from peft import AutoPeftModelForSequenceClassification\n\n"
            'model = AutoPeftModelForSequenceClassification.from_pretrained("adapter")\n'
            "model.eval()",
        },
        "baseline": {
            "candidate": "linear-probe",
            "sentence": "A linear probe on the frozen model reaches 53.1%.",
            "difference": {"estimate": 0.199, "low": 0.165, "high": 0.234},
        },
        "leaderboard": leaderboard,
        "trials": trials(),
        "dropped": [
            {"method": "prefix", "reason": "BERT models take no key-value prefix in this version."},
            {"method": "full", "reason": "Trains 100% of the parameters; the budget allows 0.5%."},
        ],
        "search": {"rungs": [30, 120, 480], "resamples": 2000, "confidence": 0.95},
    }


def trials() -> list[dict[str, Any]]:
    """Three rungs: 12 settings, 6 of them promoted, then the finalists over three seeds."""
    found = []
    for rung, steps, rates, seeds in (
        (0, 30, (1, 0.3), (0,)),
        (1, 120, (1,), (0,)),
        (2, 480, (1,), (0, 1, 2)),
    ):
        for name, method, _, rate, score, *_ in FINALISTS:
            for factor in rates:
                for seed in seeds:
                    trial = f"{len(found):03d}-{method}-s{seed}"
                    reached = curve(score * (1 if factor == 1 else 0.8), steps, seed)
                    found.append(
                        {
                            "id": trial,
                            "candidate": name,
                            "method": method,
                            "rung": rung,
                            "seed": seed,
                            "steps": steps,
                            "validation": reached,
                            "promoted": rung < 2 and factor == 1,
                            "settings": {"learning_rate": rate * factor, "dropout": 0.0},
                            "folder": f"trials/{trial}",
                        }
                    )
    return found


def curve(top: float, step: int, seed: int) -> float:
    """A smooth learning curve from chance to ``top`` with a small ripple."""
    return top - (top - 0.05) * math.exp(-step / 60) + 0.006 * math.sin(step / 25 + 2 * seed)


def ledger() -> list[dict[str, Any]]:
    entries = []
    for name, _, _, _, _, _, _, trainable, predicted, measured in FINALISTS:
        entries.append(
            {"subject": name, "quantity": "trainable", "unit": "parameters", "predicted": trainable,
             "measured": trainable, "error": 0.0}
        )  # fmt: skip
        entries.append(
            {"subject": name, "quantity": "peak_memory", "unit": "bytes", "predicted": predicted,
             "measured": measured, "error": measured and (predicted - measured) / measured}
        )  # fmt: skip
        if measured is None:
            entries[-1]["reason"] = "the process ended before it was read"
        entries.append(
            {"subject": name, "quantity": "seconds", "unit": "seconds", "predicted": 41.0,
             "measured": 38.5 + trainable / 5e4, "error": 41.0 / (38.5 + trainable / 5e4) - 1}
        )  # fmt: skip
    return entries


@pytest.fixture
def result_json() -> dict[str, Any]:
    return result()


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Write a run folder; give ``result`` to replace the synthetic one."""

    def make(result_data: dict[str, Any] | None = None, name: str = "run") -> Path:
        run = tmp_path / name
        data = result() if result_data is None else result_data
        artifacts.write_json(run / "result.json", data)
        artifacts.write_json(run / "ledger.json", ledger())
        settings = {
            "budget": {"value": "trainable=0.5%, memory=8GiB, time=5min", "source": "given"},
            "batch_size": {"value": 16, "source": "default: fits 8 GiB with room to spare"},
            "learning_rates": {"value": [0.002, 0.0006], "source": "default: peft's examples"},
        }
        artifacts.write_json(run / "config.json", {"settings": settings})
        machine = {"processor": "x86_64, 2 cores", "memory": "8 GiB", "accelerator": None}
        versions = {"python": "3.11.9", "torch": "2.13.0", "peft": "0.21.2", "parsimony": "0.1.0"}
        artifacts.write_json(
            run / "environment.json", {"versions": versions, "machine": machine, "seed": 0}
        )
        for trial in data["trials"]:
            write_events(run / "trials" / trial["id"], trial)
        return run

    return make


def write_events(folder: Path, trial: dict[str, Any]) -> None:
    folder.mkdir(parents=True)
    top = next((f[4] for f in FINALISTS if f[0] == trial["candidate"]), 0.5)
    top *= 1 if trial["settings"]["learning_rate"] in {f[3] for f in FINALISTS} else 0.8
    lines = []
    for step in range(10, trial["steps"] + 1, 10):
        lines.append({"step": step, "loss": 0.4 + 2.6 * math.exp(-step / 80) + (1 - top)})
        lines.append({"step": step, "validation": curve(top, step, trial["seed"])})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "events.jsonl").write_text(text, encoding="utf-8")
