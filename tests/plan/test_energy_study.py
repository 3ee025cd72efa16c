"""A study from its YAML to its result, with a meter whose joules are known."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from parsimony.core import artifacts
from parsimony.core.console import Console
from parsimony.core.energy import EnergyMeter
from parsimony.core.errors import ArtifactError, InputError, InterruptedRun, MeterError
from parsimony.plan.energy_study import study as studies
from parsimony.plan.energy_study import work
from parsimony.plan.energy_study.config import Arm, Study, parse, read
from parsimony.plan.energy_study.design import design, order

QUIET = Console(quiet=True)
MODULE = "energy_arms"  # written beside the test's config
TWO = [{"name": "fp32", "command": ["true"]}, {"name": "bf16", "command": ["false"]}]


class Clockwork(EnergyMeter):
    """Ten seconds a window; joules are what the work added to ``total``."""

    name = "clockwork"
    quality = "measured"
    devices = frozenset()
    total = 0.0

    @property
    def source(self) -> str:
        return "clockwork"

    def check(self) -> None: ...

    def _begin(self) -> None:
        self._before = Clockwork.total

    def _end(self, begin: float, end: float) -> float:
        return Clockwork.total - self._before

    now = 0.0

    def clock(self) -> float:  # type: ignore[override]
        Clockwork.now += 10.0
        return Clockwork.now


@pytest.fixture
def arms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Work whose cost is known, as functions of a module; returns the log of calls."""
    calls: list[tuple[str, int]] = []
    module = type(sys)(MODULE)

    def work_of(seed: int, name: str, joules: float, accuracy: float = 0.9) -> dict[str, float]:
        calls.append((name, seed))
        Clockwork.total += joules + (seed * 7 % 5)
        return {"samples": 100, "accuracy": accuracy}

    module.work = work_of  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, MODULE, module)
    monkeypatch.setattr(studies, "meter_of", lambda _: Clockwork())
    return calls


def study(**settings: Any) -> Study:
    arms = [
        {"name": n, "function": f"{MODULE}:work", "arguments": {"name": n, "joules": j}}
        for n, j in (("fp32", 500.0), ("bf16", 300.0))
    ]
    return parse({"arms": arms, "runs": 4, "idle_seconds": 0, **settings}, "made")


def test_a_study_runs_in_random_blocks_and_says_what_it_found(
    tmp_path: Path, arms: list[tuple[str, int]]
) -> None:
    folder = tmp_path / "run"
    asked = study(intensity=100.0)
    result = studies.start(asked, folder, 3, QUIET)
    slots = order(["fp32", "bf16"], 4, 3)
    warm = [("fp32", 0), ("bf16", 0)]
    assert arms == warm + [(s.arm, s.seed) for s in slots]
    assert {s.block for s in slots} == {0, 1, 2, 3}
    full, mixed = result["arms"]
    assert full["joules"] - mixed["joules"] == 200
    assert full["kilograms"] == pytest.approx(full["joules"] / 3.6e6 * 0.1)
    assert full["net_joules"] is None
    assert result["grams_per_kwh"] == {"value": 100.0, "source": "given"}
    assert any("no group has any variance" in line for line in result["untested"])
    artifacts.verify(folder)
    table = (folder / "emissions.csv").read_text().splitlines()
    assert table[0].startswith("timestamp,project_name,run_id,duration,emissions,energy_consumed")
    assert len(table) == 9


def test_a_stopped_study_goes_on_where_it_was(tmp_path: Path, arms: list, monkeypatch) -> None:
    folder, asked = tmp_path / "run", study()
    real, done = work.run, [0]

    def stopped(arm: Arm, seed: int) -> work.Outcome:
        done[0] += 1
        if done[0] == 6:
            raise KeyboardInterrupt
        return real(arm, seed)

    monkeypatch.setattr(work, "run", stopped)
    with pytest.raises(InterruptedRun, match=f"parsimony plan energy-study --resume {folder}"):
        studies.start(asked, folder, 0, QUIET)
    before = {f.name: f.read_bytes() for f in (folder / "runs").iterdir()}
    assert set(before) == {"0.json", "1.json", "2.json"}
    assert not artifacts.is_sealed(folder)
    result = studies.resume(folder, QUIET)
    assert all((folder / "runs" / n).read_bytes() == data for n, data in before.items())
    assert json.loads((folder / "runs/3.json").read_text())["session"] == 1
    assert result["warnings"] == [
        "confounded: the arms of block 1 ran in different sessions or on different machines"
    ]
    assert [c["arm"] for c in result["comparisons"]] == ["bf16"] * len(result["comparisons"])
    calls = len(arms)
    assert studies.resume(folder, QUIET) == json.loads((folder / "result.json").read_text())
    assert len(arms) == calls


def test_what_is_not_a_study_is_not_resumed(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"a run folder needs a config\.json"):
        studies.resume(tmp_path, QUIET)
    artifacts.write_json(tmp_path / "config.json", {"settings": {}})
    with pytest.raises(InputError, match="this folder holds no energy study, but got"):
        studies.resume(tmp_path, QUIET)


def test_idle_power_is_measured_before_and_after_and_stands_beside(
    tmp_path: Path, arms: list, monkeypatch
) -> None:
    def sleep(seconds: float) -> None:
        Clockwork.total += 20.0 * 10  # the clock of the meter runs 10 s in every window

    rest = studies.energy.idle_watts
    monkeypatch.setattr(studies.energy, "idle_watts", lambda *given: rest(*given, sleep))
    result = studies.start(study(idle_seconds=10), tmp_path / "run", 0, QUIET)
    full = result["arms"][0]
    record = json.loads((tmp_path / "run/sessions/0.json").read_text())
    assert record["idle_watts_before"] == record["idle_watts_after"] == 20
    assert full["joules"] - full["net_joules"] == full["idle_joules"] == 200


def test_other_processes_on_the_gpu_are_warned_of(tmp_path: Path, arms: list, monkeypatch) -> None:
    monkeypatch.setattr(studies.nvml, "strangers", lambda _: {4: 0.25})
    monkeypatch.setattr(studies.nvml, "conditions", lambda _: {"celsius": 41.0})
    result = studies.start(study(device="cuda"), tmp_path / "run", 0, QUIET)
    assert result["warnings"] == ["session 0: process 4 was on the GPU too, with 25% of its memory"]
    assert json.loads((tmp_path / "run/sessions/0.json").read_text())["gpu"] == {"celsius": 41.0}


def test_short_work_is_repeated_until_it_fills_a_window(
    tmp_path: Path, arms: list, monkeypatch
) -> None:
    monkeypatch.setattr(Clockwork, "tick", 0.05)  # windows of 5 s
    ticks = iter(range(10_000))
    monkeypatch.setattr(studies.time, "perf_counter", lambda: float(next(ticks)))  # 1 s a call
    studies.start(study(runs=2), tmp_path / "run", 0, QUIET)
    record = json.loads((tmp_path / "run/runs/0.json").read_text())
    assert record["repeat"] == 6  # 1.2 * 5 s of work that takes 1 s
    assert len(arms) == 2 + 4 * 6


def test_runs_follow_from_the_effect_asked_for() -> None:
    plan = design(parse({"arms": TWO, "effect": 1.0}, "made"), 0)
    assert (plan.tests, plan.alpha) == (3, 0.05 / 3)
    assert plan.power >= 0.8 and len(plan.order) == 2 * plan.runs
    fewer = design(parse({"arms": TWO, "effect": 1.0, "runs": plan.runs - 1}, "made"), 0)
    assert fewer.power < 0.8
    assert plan.detectable <= 1.0 < fewer.detectable
    assert design(parse({"arms": TWO, "meter": "none"}, "made"), 0).tests == 1


def test_orders_are_drawn_from_the_seed() -> None:
    assert order(["a", "b"], 20, 1) == order(["a", "b"], 20, 1) != order(["a", "b"], 20, 2)
    firsts = [s.arm for s in order(["a", "b"], 400, 0) if s.number % 2 == 0]
    assert 160 < firsts.count("a") < 240


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arm": 1}, r"made: arm: Extra inputs are not permitted, but got 1\. Settings: arms, "),
        ({"arms": TWO[:1]}, r"made: arms: Tuple should have at least 2 items"),
        ({"arms": [TWO[0], TWO[0]]}, "arms need different names"),
        ({"arms": [TWO[0], {"name": "b"}]}, "an arm needs a command or a function, and not both"),
        ({"runs": 1}, "made: runs: Input should be greater than or equal to 2, but got 1"),
        ({"country": "FRA", "intensity": 50}, "give a country or an intensity, and not both"),
        ({"meter": "power-file"}, "the meter 'power-file' and a power_file go together"),
        ({"arms": [TWO[0], {"name": "b", "function": "no colon"}]}, "made: arms.1.function: "),
        (
            {"arms": [TWO[0], {"name": "b", "command": ["a"], "arguments": {"x": 1}}]},
            "takes its arguments among them",
        ),
    ],
)
def test_a_bad_setting_says_which(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse({"arms": TWO} | change, "made")


def test_a_bad_file_says_why(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.yaml must exist\. Check the path"):
        read(tmp_path / "no.yaml")
    (tmp_path / "bad.yaml").write_text("arms: [")
    with pytest.raises(InputError, match=r"bad\.yaml must be YAML"):
        read(tmp_path / "bad.yaml")
    (tmp_path / "object.yaml").write_text("arms: !!python/object:os.system {}")
    with pytest.raises(InputError, match=r"object\.yaml must be YAML"):
        read(tmp_path / "object.yaml")


def test_no_meter_says_what_was_tried_and_what_to_do(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(MeterError) as raised:
        studies.meter_of(parse({"arms": TWO, "device": "cuda"}, "made"))
    assert str(raised.value) == (
        "no energy meter can be read (nvml-counter: nvidia-ml-py is not installed; nvml-power: "
        "nvidia-ml-py is not installed). Set 'estimate: true' for an estimate labelled so, "
        "'power_file' for a wall meter's log, or 'meter: none' for time alone"
    )


def test_an_intensity_in_kilograms_stops_the_study_before_it_starts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a carbon intensity is in g/kWh and at least 5, but got"):
        studies.start(parse({"arms": TWO, "intensity": 0.4}, "made"), tmp_path / "run", 0, QUIET)
    assert not (tmp_path / "run").exists()


def command(*words: str) -> work.Outcome:
    return work.run(Arm(name="a", command=words), 7)


def test_a_command_is_told_its_seed_and_says_what_it_did() -> None:
    code = "import sys; print('trained'); print('{\"samples\": %s}' % sys.argv[1])"
    assert command(sys.executable, "-c", code, "{seed}") == work.Outcome(samples=7)
    assert command(sys.executable, "-c", "print('{done}')") == work.Outcome()


def test_work_that_fails_says_how() -> None:
    with pytest.raises(InputError, match="arm 'a': the command cannot be started"):
        command("/no/such/program")
    code = "import sys; print('out of memory', file=sys.stderr); exit(3)"
    with pytest.raises(InputError, match=r"exit code 0, but got 3\. It said: out of memory"):
        command(sys.executable, "-c", code)
    with pytest.raises(InputError, match=r"'no_such:function' cannot be found .*Python looks in"):
        work.run(Arm(name="a", function="no_such:function"), 0)
    with pytest.raises(InputError, match=r"'samples' and 'accuracy', but got \{'loss': 1\}"):
        command(sys.executable, "-c", "print('{\"loss\": 1}')")
