"""Run a study: a folder in which every run is a file, so that a kill costs one run.

``config.json`` and ``environment.json`` as in every run; ``design.json``; per process that worked
on it ``sessions/N.json``; ``runs/N.json``; ``emissions.csv`` in CodeCarbon's columns;
``page.json`` for ``parsimony report``; ``result.json``; ``manifest.json``, last.
"""

from __future__ import annotations

import csv
import io
import math
import shlex
import sys
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from parsimony.core import artifacts, carbon, energy, headlines, pages
from parsimony.core.console import Console
from parsimony.core.energy import nvml
from parsimony.core.errors import InputError, InterruptedRun, MeterError
from parsimony.core.headlines import Headline
from parsimony.core.run import Run, machine
from parsimony.plan.energy_study import work
from parsimony.plan.energy_study.analysis import UNITS, Findings, Trial, analyse
from parsimony.plan.energy_study.config import Arm, Study, parse
from parsimony.plan.energy_study.design import Design, Slot, design
from parsimony.plan.pages.energy_study import page


def start(study: Study, folder: Path, seed: int, console: Console) -> dict[str, Any]:
    """Run a new study in ``folder``; the result as in ``result.json``.

    Raises:
        InputError: the folder is not empty, no meter can be read, or an arm's work fails.
        InterruptedRun: stopped; carries the command that goes on.
    """
    grams(study)
    meter_of(study)
    settings = {"study": study.model_dump(mode="json"), "seed": seed, "path": sys.path[0]}
    run = Run.create(
        folder, {name: {"value": v, "source": "given"} for name, v in settings.items()}, seed
    )
    return _finish(run, console)


def resume(folder: Path, console: Console) -> dict[str, Any]:
    """Go on with the study in ``folder``; nothing to do where it is complete."""
    run = Run.open(folder)
    if run.complete:
        return dict(run.read("result.json"))
    if "study" not in run.settings:
        raise InputError("this folder holds no energy study", got=str(folder),
                         hint="Check the path")  # fmt: skip
    artifacts.sweep(folder)
    if run.settings["path"] not in sys.path:
        sys.path.insert(0, run.settings["path"])  # where its functions were found
    return _finish(run, console)


def meter_of(study: Study) -> energy.EnergyMeter | None:
    """The meter asked for, seen to work; ``None`` for time alone.

    Raises:
        MeterError: it cannot be read; says why, or which were tried.
    """
    if study.meter == "none":
        return None
    if study.power_file is not None:
        from parsimony.core.energy.meters.power_file import PowerFile

        meter = PowerFile(study.device, study.power_file)
        meter.check()
        return meter
    if study.meter != "best":
        return energy.find(study.meter, study.device)
    try:
        return energy.best(study.device, estimate=study.estimate)
    except MeterError as error:
        raise MeterError(
            error.rule,
            hint="Set 'estimate: true' for an estimate labelled so, 'power_file' for a wall "
            "meter's log, or 'meter: none' for time alone",
        ) from None


def grams(study: Study) -> tuple[float, str]:
    """Grams of CO2 equivalent per kWh, and where the figure is from."""
    if study.intensity is not None:
        carbon.kilograms(0.0, study.intensity)  # refuses what looks like kilograms
        return study.intensity, "given"
    if study.country is not None:
        return carbon.intensity(study.country), f"{study.country}, CodeCarbon's table"
    return carbon.WORLD_AVERAGE, "world average, as no country is given"


def _finish(run: Run, console: Console) -> dict[str, Any]:
    study = parse(run.settings["study"], "config.json")
    plan = design(study, run.settings["seed"])
    with run.locked():
        run.write("design.json", asdict(plan))
        try:
            _run_all(run, study, plan, console)
        except KeyboardInterrupt:
            command = f"parsimony plan energy-study --resume {shlex.quote(str(run.folder))}"
            raise InterruptedRun(command) from None
        trials = [_trial(run.read(f"runs/{slot.number}.json")) for slot in plan.order]
        findings = analyse(study, trials)
        findings = replace(findings, warnings=(*findings.warnings, *_strangers(run)))
        result = _result(study, plan, findings, trials)
        title = f"{' and '.join(study.others)} against {study.baseline}"
        told = page(title, 100 * (1 - study.alpha), findings, trials, result["arms"])
        artifacts.write_text(run.folder / "emissions.csv", _emissions(run, study, plan))
        run.write(pages.FILE, told.model_dump(mode="json"))
        headlines.write(run.folder, "plan energy-study", title, _headlines(findings))
        run.write("result.json", result)
        run.finish()
    return dict(run.read("result.json"))


def _headlines(findings: Findings) -> list[Headline]:
    return [
        Headline(name=f"{c.response}, {c.arm} less the baseline", value=c.difference, low=c.low,
                 high=c.high, unit=UNITS[c.response.split()[0]])
        for c in findings.comparisons
    ]  # fmt: skip


def _run_all(run: Run, study: Study, plan: Design, console: Console) -> None:
    """Every run that has no file yet, after one discarded run of each arm."""
    left = [slot for slot in plan.order if not run.has(f"runs/{slot.number}.json")]
    if not left:
        return
    session = _Session(run, study, console)
    with console.phase(f"{len(left)} runs of {', '.join(study.names)}", len(left)) as phase:
        for slot in left:
            run.write(f"runs/{slot.number}.json", session.measure(slot))
            phase.advance()
    session.close()


class _Session:
    """One process's share of a study: its meter, idle power, and warm-up."""

    def __init__(self, run: Run, study: Study, console: Console) -> None:
        self._run, self._study = run, study
        self._meter = meter_of(study)
        self.number = len(list((run.folder / "sessions").glob("*.json")))
        self._record: dict[str, Any] = {"machine": machine()}
        if self._meter is not None:
            console.say(f"Meter: {self._meter.name} ({self._meter.quality})")
            if study.device.startswith("cuda"):
                self._record["gpu"] = nvml.conditions(study.device)
                self._record["strangers"] = nvml.strangers(study.device)
        self._idle = self._rest()
        self._record["idle_watts_before"] = self._idle
        self._save()
        self._repeat = self._warm_up()

    def measure(self, slot: Slot) -> dict[str, Any]:
        """Do one run, as often as its window asks for, and say what it took."""
        arm = next(arm for arm in self._study.arms if arm.name == slot.arm)
        if self._meter is not None:
            self._meter.start()
        begin = time.perf_counter()
        for _ in range(self._repeat):
            outcome = self._work(arm, slot.seed)
        seconds = time.perf_counter() - begin
        reading = energy.Reading.none(seconds, "clock", "only time is measured")
        if self._meter is not None:
            reading = self._meter.stop().beside(self._idle)
        return {
            **asdict(slot),
            "session": self.number,
            "machine": self._record["machine"]["processor"],
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "repeat": self._repeat,
            "reading": reading.as_dict(),
            "outcome": asdict(outcome),
        }

    def close(self) -> None:
        """Measure idle power once more: did the machine change meanwhile."""
        self._record["idle_watts_after"] = self._rest()
        self._save()

    def _rest(self) -> float | None:
        if self._meter is None or not self._study.idle_seconds:
            return None
        seconds = max(self._study.idle_seconds, self._meter.window)
        return energy.idle_watts(self._meter, seconds)

    def _warm_up(self) -> int:
        """Run every arm once, for nothing; then how often it must run to fill a window.

        A study keeps the number of its first session.
        """
        took = []
        for arm in self._study.arms:
            begin = time.perf_counter()
            self._work(arm, 0)
            took.append(time.perf_counter() - begin)
        if not self._run.has("repeat.json"):
            window = 0.0 if self._meter is None else self._meter.window
            self._run.write("repeat.json", max(1, math.ceil(1.2 * window / min(took))))
        return int(self._run.read("repeat.json"))

    def _work(self, arm: Arm, seed: int) -> work.Outcome:
        """Do it once, to the end."""
        outcome = work.run(arm, seed)
        energy.synchronise(self._study.device)
        if arm.arguments.get("precision") == "fp32" and self._study.device.startswith("cuda"):
            from parsimony.plan.energy_study.precision import check_strict

            check_strict(arm.name)
        return outcome

    def _save(self) -> None:
        self._run.write(f"sessions/{self.number}.json", self._record)


def _strangers(run: Run) -> list[str]:
    """A warning for every other process that a session found on its GPU."""
    return [
        f"session {file.stem}: process {process} was on the GPU too, with {share:.0%} of its memory"
        for file in sorted((run.folder / "sessions").glob("*.json"))
        for process, share in artifacts.read_json(file).get("strangers", {}).items()
    ]


def _trial(record: dict[str, Any]) -> Trial:
    reading, repeat = record["reading"], record["repeat"]
    joules = reading["joules"]
    return Trial(
        block=record["block"],
        arm=record["arm"],
        joules=None if joules is None else joules / repeat,
        seconds=reading["seconds"] / repeat,
        quality=reading["quality"],
        samples=record["outcome"]["samples"],
        accuracy=record["outcome"]["accuracy"],
        session=record["session"],
        machine=record["machine"],
        reason=reading["reason"],
        idle_watts=reading["idle_watts"],
    )


def _result(study: Study, plan: Design, findings: Findings, trials: list[Trial]) -> dict[str, Any]:
    intensity, source = grams(study)
    return {
        "arms": [_means(study, name, trials, intensity) for name in study.names],
        "grams_per_kwh": {"value": intensity, "source": source},
        "detectable": plan.detectable,
        **findings.as_dict(),
        "lines": [c.line for c in findings.comparisons],
    }


def _means(study: Study, name: str, trials: list[Trial], intensity: float) -> dict[str, Any]:
    """What one run of an arm takes on average; ``None`` where nothing is known."""
    mine = [t for t in trials if t.arm == name]
    joules = _mean([t.joules for t in mine])
    rest = _mean([None if t.idle_watts is None else t.idle_watts * t.seconds for t in mine])
    return {
        "name": name,
        "runs": len(mine),
        "joules": joules,
        "idle_joules": rest,
        "net_joules": None if joules is None or rest is None else joules - rest,
        "seconds": _mean([t.seconds for t in mine]),
        "kilograms": None if joules is None else carbon.kilograms(joules, intensity, study.pue),
        "accuracy": _mean([t.accuracy for t in mine]),
    }


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _emissions(run: Run, study: Study, plan: Design) -> str:
    """One row per run in the names of CodeCarbon's own file; energy in kWh, emissions in kg."""
    intensity, _ = grams(study)
    stream = io.StringIO()
    names = ["timestamp", "project_name", "run_id", "duration", "emissions", "energy_consumed",
             "country_iso_code", "pue"]  # fmt: skip
    writer = csv.DictWriter(stream, names, lineterminator="\n")
    writer.writeheader()
    for slot in plan.order:
        record = run.read(f"runs/{slot.number}.json")
        joules = record["reading"]["joules"]
        known = joules is not None
        writer.writerow({
            "timestamp": record["date"],
            "project_name": slot.arm,
            "run_id": slot.number,
            "duration": record["reading"]["seconds"],
            "emissions": carbon.kilograms(joules, intensity, study.pue) if known else "",
            "energy_consumed": joules / 3.6e6 if known else "",
            "country_iso_code": study.country or "",
            "pue": study.pue,
        })  # fmt: skip
    return stream.getvalue()
