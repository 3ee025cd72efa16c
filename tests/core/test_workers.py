"""Processes of their own: order, deaths, errors, and nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from parsimony.core import errors, workers
from parsimony.core.errors import InputError, ParsimonyError

HERE = Path(__file__).parent


def run(function: str, jobs: list[dict], count: int = 1) -> tuple[list[dict], float]:
    units: list[float] = []
    results = workers.engine("local", count).map(f"core_jobs:{function}", jobs, units.append)
    return results, sum(units)


@pytest.mark.parametrize("count", [1, 3])
def test_results_come_in_the_order_of_the_jobs(count: int) -> None:
    results, units = run("square", [{"x": x} for x in range(7)], count)
    assert [r["square"] for r in results] == [x * x for x in range(7)]
    assert units == 14
    processes = {r["process"] for r in results}
    assert len(processes) == 7 and os.getpid() not in processes


def test_no_job_is_no_work() -> None:
    assert run("square", []) == ([], 0)


@pytest.mark.parametrize("count", [1, 3])
def test_a_killed_worker_is_started_again(tmp_path: Path, count: int) -> None:
    jobs = [{"x": x, "marker": str(tmp_path / "died")} for x in range(3)]
    results, _ = run("die_once", jobs, count)
    assert (tmp_path / "died").exists()
    assert results == [{"square": 0}, {"square": 1}, {"square": 4}]


def test_a_worker_killed_in_the_middle_of_a_message_is_started_again(tmp_path: Path) -> None:
    results, units = run("die_in_the_middle_of_the_answer", [{"marker": str(tmp_path / "died")}])
    assert (tmp_path / "died").exists()
    assert (results, units) == ([{"done": True}], 0)


def test_a_worker_that_always_dies_is_given_up(tmp_path: Path) -> None:
    with pytest.raises(ParsimonyError) as caught:
        run("die_always", [{"marker": str(tmp_path / "tries")}])
    assert str(caught.value) == (
        "a worker died 4 times on the same job, but got 'exit code -9'. "
        "Out of memory? Try fewer --workers or a memory= budget"
    )
    assert (tmp_path / "tries").read_text() == "xxxx"


@pytest.mark.parametrize(
    ("kind", "error", "text"),
    [
        ("data", errors.DataError, "a.csv, row 1: must be text"),
        ("budget", errors.BudgetError,
         'too little. The nearest budget that can be met: "time=1h"'),
        ("outside", errors.ArtifactError, "not ours. Look there"),
    ],
)  # fmt: skip
def test_an_error_arrives_as_it_was_raised(
    kind: str, error: type[ParsimonyError], text: str
) -> None:
    with pytest.raises(ParsimonyError) as caught:
        run("refuse", [{"kind": kind, "x": 1}])
    assert type(caught.value) is error
    assert str(caught.value) == text


def test_the_first_error_in_the_order_of_the_jobs_is_raised() -> None:
    jobs = [{"kind": "fine", "x": 0}, {"kind": "data", "x": 8}, {"kind": "data", "x": 9}]
    for count in (1, 3):
        with pytest.raises(errors.DataError, match="row 8"):
            run("refuse", jobs, count)


def test_a_bug_arrives_with_its_trace() -> None:
    with pytest.raises(RuntimeError) as caught:
        run("refuse", [{"kind": "bug"}])
    text = str(caught.value)
    assert text.startswith("a worker failed:\nTraceback")
    assert "in refuse" in text and "ZeroDivisionError: an unforeseen fault" in text


@pytest.mark.parametrize("work", ["core_jobs:no_such_function", "no_such_module_at_all:f"])
def test_work_that_is_not_there_is_a_bug(work: str) -> None:
    with pytest.raises(RuntimeError, match="no_such"):
        workers.engine("local", 1).map(work, [{}], lambda units: None)


def test_a_result_that_json_cannot_hold_is_a_bug() -> None:
    with pytest.raises(RuntimeError, match="not JSON compliant"):
        run("not_json", [{}])


def test_an_interruption_is_the_parents_to_answer() -> None:
    assert run("interrupt_self", [{}])[0] == [{"alive": True}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("local", 0), "--workers must be at least 1, but got 0"),
        (("local", 1, "ray://x"), "--address goes with --engine ray, but got 'ray://x'"),
        (("locla", 1), "unknown engine, but got 'locla'. Did you mean 'local'? Known: local, ray"),
    ],
)
def test_a_wrong_engine_is_refused(arguments: tuple, message: str) -> None:
    with pytest.raises(InputError) as caught:
        workers.engine(*arguments)
    assert str(caught.value) == message


def until(condition: Callable[[], bool], seconds: float = 60) -> bool:
    """Poll, bounded: what is awaited is done by another process."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def is_running(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(tmp_path: Path, signal_: signal.Signals) -> None:
    code = (
        "import sys; from parsimony.core import workers\n"
        "jobs = [{'started': p} for p in sys.argv[1:]]\n"
        "workers.engine('local', 2).map('core_jobs:sleep_forever', jobs, lambda units: None)\n"
    )
    marks = [tmp_path / "one", tmp_path / "two"]
    environment = {**os.environ, "PYTHONPATH": str(HERE)}
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, marks)],
        env=environment, stderr=subprocess.DEVNULL, start_new_session=True,
    ) as parent:  # fmt: skip
        try:
            assert until(lambda: all(m.exists() and m.read_text() for m in marks))
            children = [int(m.read_text()) for m in marks]
            assert all(map(is_running, children))
        finally:
            parent.send_signal(signal_)
        assert until(lambda: not any(map(is_running, children)))
        assert parent.wait(timeout=60) == -signal_


@pytest.mark.slow
def test_ray_gives_the_same_answers(tmp_path: Path, monkeypatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    jobs = [{"x": x, "marker": str(tmp_path / "died")} for x in range(3)]
    units: list[float] = []
    try:
        results = workers.engine("ray", 2).map("core_jobs:die_once", jobs, units.append)
    finally:
        ray.shutdown()
    assert (tmp_path / "died").exists()
    assert results == [{"square": 0}, {"square": 1}, {"square": 4}]
    assert sum(units) == 3


@pytest.mark.slow
def test_ray_gives_up_and_passes_errors_on_as_local_does(tmp_path: Path, monkeypatch) -> None:
    ray = pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    engine = workers.engine("ray", 1)
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, configure_logging=False)
    try:
        with pytest.raises(errors.DataError, match=r"a\.csv, row 1: must be text"):
            engine.map("core_jobs:refuse", [{"kind": "data", "x": 1}], lambda units: None)
        jobs = [{"marker": str(tmp_path / "tries")}]
        with pytest.raises(ParsimonyError, match=r"a worker died 4 times .* Out of memory\?"):
            engine.map("core_jobs:die_always", jobs, lambda units: None)
        assert ray.is_initialized()  # a cluster that was there before is left running
    finally:
        ray.shutdown()
    assert (tmp_path / "tries").read_text() == "xxxx"
