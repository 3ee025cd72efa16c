"""What a finished search leaves behind: result, leaderboard, artifact, and the graded prediction.

``result.json``, ``leaderboard.csv`` and the artifact hold nothing that was timed, so that a resumed
run ends in the same bytes; what was measured goes to ``measurement.json`` and ``ledger.json``.
"""

from __future__ import annotations

import csv
import io
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from parsimony.adapt import choice
from parsimony.adapt.choice import Finalist
from parsimony.adapt.load_snippet import load_snippet
from parsimony.adapt.method import method
from parsimony.adapt.search import Outcome
from parsimony.adapt.setup import Candidate, Plan
from parsimony.adapt.trial import folder_of, scores_of
from parsimony.core import artifacts, headlines, ledger
from parsimony.core.errors import ParsimonyError
from parsimony.core.footprint import Figure, Footprint
from parsimony.core.headlines import Headline
from parsimony.core.run import Run, versions
from parsimony.core.scoring import BESIDE, METRICS, Metric, searched
from parsimony.core.trials import CONFIDENCE, RESAMPLES, bootstrap, paired


def write(
    run: Run,
    plan: Plan,
    budget: Any,
    outcomes: list[Outcome],
    finalists: list[int],
    metric: Metric,
) -> dict[str, Any]:
    """Judge the finalists; write artifact, ``leaderboard.csv`` and ``result.json``.

    Raises:
        ParsimonyError: every training of the final comparison diverged.
    """
    prediction = run.read("prediction.json")
    usable = [i for i in finalists if _complete(plan, outcomes, i)]
    if not usable:
        raise ParsimonyError(
            "every training of the final comparison diverged",
            hint="Check the data for extreme values, or try other --methods",
        )
    judged = [_finalist(run.folder, plan, prediction, index) for index in usable]
    decision = choice.choose(judged, metric)
    winner = plan.candidates[usable[decision.recommended]]
    seed = plan.seeds[choice.shipped_seed(judged[decision.recommended], metric)]
    artifact = _hand_over(run, plan, winner, seed)
    total = int(prediction["base_parameters"])
    best = judged[decision.best]
    rows = [
        _row(plan.candidates[i], judged[k], decision.verdicts[k], plan, total)
        | ({"beside": _beside(judged[k], best)} if best.beside else {})
        for k, i in enumerate(usable)
    ]
    order = sorted(range(len(rows)), key=lambda k: -metric.sign * rows[k]["score"]["estimate"])
    baseline = _baseline(plan, usable, judged, decision, metric)
    tied = [judged[i].label for i in decision.tied if i != decision.recommended]
    result = {
        "kind": "adapt",
        "model": {"name": Path(plan.setup.model.name).name, "parameters": total,
                  "sha256": plan.setup.model.sha256},
        "data": prediction["data"],
        "metric": asdict(metric),
        "budget": str(budget) or "none",
        "recommendation": {
            "candidate": winner.label,
            "method": winner.method,
            "sentence": choice.sentence(decision, judged, metric, total),
            "no_difference": bool(tied),
            "tied_with": tied,
            "seed": seed,
            "artifact": artifact,
            "load": load_snippet(plan.setup, winner, artifact),
        },
        "baseline": baseline,
        "leaderboard": [rows[k] for k in order],
        "trials": [_trial(run.folder, plan, o) for o in outcomes],
        "dropped": prediction["dropped"]
        + [
            {"method": plan.candidates[i].method, "reason": "a training of the finals diverged"}
            for i in finalists
            if i not in usable
        ],
        "search": {"rungs": [*plan.rungs, plan.steps], "resamples": RESAMPLES,
                   "confidence": CONFIDENCE, "metric": asdict(searched(plan.setup.task))},
    }  # fmt: skip
    artifacts.write_text(run.folder / "leaderboard.csv", _csv(result["leaderboard"]))
    headlines.write(
        run.folder,
        "adapt",
        f"{result['model']['name']} on {result['data']['name']}",
        _headlines(rows[decision.recommended], metric),
    )
    run.write("result.json", result)
    return result


def _headlines(row: dict[str, Any], metric: Metric) -> list[Headline]:
    """What the recommended candidate reaches, and what it takes."""
    counted = headlines.COUNTED
    unit = "share" if metric.unit == "share" else ""
    return [
        Headline.of(f"{metric.name}, test", row["score"], unit),
        Headline(name="trainable", value=row["trainable"], unit="parameters", reason=counted),
        Headline(name="stored", value=row["stored_bytes"], unit="bytes", reason=counted),
    ]


def grade(run: Run, plan: Plan, finalists: list[int], seconds: float) -> None:
    """Put what was measured beside what was predicted: ``measurement.json``, ``ledger.json``.

    Args:
        seconds: wall time of this call; a resumed run's earlier calls are not in it.
    """
    prediction = run.read("prediction.json")
    entries: list[ledger.Entry] = []
    measured: dict[str, Any] = {}
    for index in finalists:
        candidate = plan.candidates[index]
        seen = _measured(run.folder, plan, candidate)
        predicted = Footprint.from_dict(prediction["options"][candidate.label])
        measured[candidate.label] = seen.as_dict()
        entries += ledger.compare(
            candidate.label, replace(predicted, head=Footprint().head), seen,
            verb="adapt", method=candidate.method,
        )  # fmt: skip
    wall = Figure(seconds, "measured", "wall time, planning included")
    if run.has("resumed.json"):
        wall = Figure.unknown("it was stopped and resumed: no single call saw the whole of it")
    whole = Footprint(seconds=wall)
    expected = Footprint(seconds=Figure(prediction["seconds"], "estimated"))
    entries += ledger.compare("whole run", expected, whole, verb="adapt")
    run.write("measurement.json", {**measured, "whole run": whole.as_dict()})
    ledger.write(run.folder, entries)


def _complete(plan: Plan, outcomes: list[Outcome], index: int) -> bool:
    final = [o for o in outcomes if o.candidate == index and o.steps == plan.steps]
    return len(final) == len(plan.seeds) and all(o.validation is not None for o in final)


def _finalist(run: Path, plan: Plan, prediction: dict[str, Any], index: int) -> Finalist:
    candidate = plan.candidates[index]
    folders = [folder_of(run, candidate, seed) for seed in plan.seeds]
    figures = prediction["options"][candidate.label]
    task = plan.setup.task

    def scores(split: str, name: str) -> np.ndarray:
        return np.stack([scores_of(f, split, plan.steps, name) for f in folders])

    judged = METRICS[task].name if plan.setup.asks else "scores"
    return Finalist(
        label=candidate.label,
        validation=scores("validation", judged),
        test=scores("test", judged),
        trainable=int(figures["trainable"]["value"]),
        stored_bytes=int(figures["stored_bytes"]["value"]),
        baseline=method(candidate.method).baseline,
        beside={m.name: scores("test", m.name) for m in BESIDE.get(task, ())},
    )


def _hand_over(run: Run, plan: Plan, winner: Candidate, seed: int) -> str:
    """Copy the recommended artifact to the run's root, with its origin; returns its name."""
    name = "model" if method(winner.method).full else "adapter"
    target = run.folder / name
    if artifacts.is_sealed(target):
        return name
    shutil.rmtree(target, ignore_errors=True)
    source = folder_of(run.folder, winner, seed) / "artifact"
    artifacts.verify(source)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(artifacts.MANIFEST))
    setup = plan.setup
    origin = {
        "base_model": {"name": setup.model.name, "path": str(setup.model.path),
                       "sha256": setup.model.sha256},
        "data": {"name": setup.data, "fingerprint": setup.fingerprint, "text": setup.text,
                 "label": setup.label},
        "task": setup.task,
        "labels": setup.labels,
        "window": setup.window,
        "method": {"name": winner.method, "size": winner.size, "dropout": winner.dropout,
                   "learning_rate": winner.learning_rate, "steps": plan.steps,
                   "batch": setup.batch, **asdict(winner.thrift)},
        "seed": seed,
        "versions": versions(),
    }  # fmt: skip
    artifacts.write_json(target / "parsimony.json", origin)
    artifacts.seal(target)
    return name


def _row(
    candidate: Candidate, finalist: Finalist, verdict: choice.Verdict, plan: Plan, total: int
) -> dict[str, Any]:
    way = method(candidate.method)
    return {
        "candidate": candidate.label,
        "method": candidate.method,
        "size": {"name": way.size_name, "value": candidate.size} if way.size_name else None,
        "settings": {"learning_rate": candidate.learning_rate, "dropout": candidate.dropout},
        "seeds": list(plan.seeds),
        "score": verdict.test.as_dict(),
        "difference": verdict.test_to_best.as_dict() if verdict.test_to_best else None,
        "validation": verdict.validation.estimate,
        "validation_difference": verdict.to_best.as_dict() if verdict.to_best else None,
        "trainable": finalist.trainable,
        "trainable_share": finalist.trainable / total,
        "stored_bytes": finalist.stored_bytes,
        "mergeable": way.mergeable,
        "verdict": verdict.verdict,
    }


def _beside(finalist: Finalist, best: Finalist) -> list[dict[str, Any]]:
    """The metrics that do not rank, with the paired difference to the best by the one that does."""
    found = []
    for name, scores in finalist.beside.items():
        gap = None if finalist is best else paired(scores, best.beside[name]).as_dict()
        found.append({"name": name, "score": bootstrap(scores).as_dict(), "difference": gap})
    return found


def _trial(run: Path, plan: Plan, outcome: Outcome) -> dict[str, Any]:
    candidate = plan.candidates[outcome.candidate]
    return {
        "id": f"{candidate.id}-s{outcome.seed}",
        "candidate": candidate.label,
        "method": candidate.method,
        "rung": outcome.rung,
        "seed": outcome.seed,
        "steps": outcome.steps,
        "validation": outcome.validation,
        "promoted": outcome.promoted,
        "settings": {"learning_rate": candidate.learning_rate, "dropout": candidate.dropout},
        "folder": folder_of(run, candidate, outcome.seed).relative_to(run).as_posix(),
    }


def _baseline(
    plan: Plan,
    usable: list[int],
    judged: list[Finalist],
    decision: choice.Choice,
    metric: Metric,
) -> dict[str, Any] | None:
    """The cheapest baseline in the finals, compared with the recommendation on test data."""
    baselines = [k for k, i in enumerate(usable) if judged[k].baseline]
    if not baselines:
        return None
    position = min(baselines, key=lambda k: judged[k].trainable)
    text, gap = choice.baseline_sentence(decision, judged, metric, position)
    return {"candidate": judged[position].label, "sentence": text, "difference": gap.as_dict()}


def _measured(run: Path, plan: Plan, candidate: Candidate) -> Footprint:
    """Over the seeds where a figure is known: the worst peak, the mean of the rest."""
    seen = [
        Footprint.from_dict(
            artifacts.read_json(folder_of(run, candidate, seed) / f"measured-{plan.steps}.json")
        )
        for seed in plan.seeds
    ]

    def fold(name: str, how: Any) -> Figure:
        figures = [getattr(footprint, name) for footprint in seen]
        known = [figure for figure in figures if figure.known]
        if not known:
            return figures[0]  # type: ignore[no-any-return]
        return Figure(float(how([f.value for f in known])), "measured", known[0].note)

    names = ("parameters", "trainable", "stored_bytes", "flops", "seconds", "energy")
    return Footprint(
        peak_memory=fold("peak_memory", max), **{name: fold(name, np.mean) for name in names}
    )


def _csv(rows: list[dict[str, Any]]) -> str:
    columns = ["candidate", "method", "size", "learning_rate", "dropout", "seeds", "test",
               "test_low", "test_high", "difference", "difference_low", "difference_high",
               "validation", "trainable", "trainable_share", "stored_bytes", "verdict"]  # fmt: skip
    ends = {"": "estimate", " low": "low", " high": "high"}
    columns += [b["name"] + end for b in rows[0].get("beside", ()) for end in ends]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        gap = row["difference"] or {"estimate": "", "low": "", "high": ""}
        writer.writerow(
            {
                "candidate": row["candidate"],
                "method": row["method"],
                "size": row["size"]["value"] if row["size"] else "",
                **row["settings"],
                "seeds": len(row["seeds"]),
                "test": row["score"]["estimate"],
                "test_low": row["score"]["low"],
                "test_high": row["score"]["high"],
                "difference": gap["estimate"],
                "difference_low": gap["low"],
                "difference_high": gap["high"],
                **{key: row[key] for key in ("validation", "trainable", "trainable_share",
                                             "stored_bytes", "verdict")},
                **{b["name"] + end: b["score"][key]
                   for b in row.get("beside", ()) for end, key in ends.items()},
            }
        )  # fmt: skip
    return stream.getvalue()
