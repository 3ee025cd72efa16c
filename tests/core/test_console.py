"""Everything for people goes to stderr, and nothing when quiet."""

from __future__ import annotations

import sys

import pytest

from parsimony.core.console import Console


@pytest.mark.parametrize("quiet", [False, True])
def test_lines_go_to_stderr_unless_quiet(quiet: bool, capsys: pytest.CaptureFixture[str]) -> None:
    console = Console(quiet=quiet)
    console.say("planned 3 trials")
    with console.phase("search", total=3) as phase:
        phase.advance()
        phase.advance(2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == ("" if quiet else "planned 3 trials\nsearch\n")


def test_a_person_gets_a_bar_and_then_one_line(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    console = Console()
    assert console.interactive
    with console.phase("search", total=4) as phase:
        phase.advance(3)
        assert phase.total == 4
        (task,) = phase._progress.tasks  # what is on the screen
        assert (task.completed, task.total) == (3, 4)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("search\n")


def test_nobody_looking_and_quiet_is_not_interactive(monkeypatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert not Console(quiet=True).interactive


def test_a_failing_phase_lets_its_error_through(capsys) -> None:
    with pytest.raises(KeyError), Console().phase("search", total=1):
        raise KeyError
    assert capsys.readouterr().err == "search\n"
