"""The entry point: help, versions, and what an error becomes."""

from __future__ import annotations

from pathlib import Path

import pytest

import parsimony
from parsimony.adapt import loading
from parsimony.cli import main
from parsimony.cli.main import verbs
from parsimony.core.errors import BudgetError, InputError, InterruptedRun, ParsimonyError


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(list(arguments))
        shown = capsys.readouterr()
        return int(stop.value.code or 0), shown.out, shown.err

    return run


def test_help_names_every_verb(call) -> None:  # type: ignore[no-untyped-def]
    code, out, err = call("--help")
    assert (code, err) == (0, "")
    for verb in verbs():
        assert f"  {verb} " in out


@pytest.mark.parametrize("arguments", [[], ["papers"]])
def test_no_arguments_show_the_help(call, arguments: list[str]) -> None:  # type: ignore[no-untyped-def]
    code, out, err = call(*arguments)
    assert (code, err) == (0, "")
    assert out == call(*arguments, "--help")[1]


def test_the_version(call) -> None:  # type: ignore[no-untyped-def]
    assert call("--version") == (0, f"parsimony {parsimony.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["predict"], "Missing argument 'run'"),
        (["nosuchverb"], "No such command 'nosuchverb'"),
        (["plan", "ledger", "--xyzzy"], "No such option"),
        (["adapt", "--seeds", "three"], "Invalid value for '--seeds': "),
    ],
)
def test_wrong_usage_gets_one_line(call, arguments: list[str], named: str) -> None:  # type: ignore[no-untyped-def]
    """The words between are the command-line library's own."""
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.lower().startswith(f"parsimony: {named}".lower())
    assert err.endswith(". See 'parsimony --help'\n") and ".." not in err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("a rule", got=3, hint="Do that"), 2, "a rule, but got 3. Do that"),
        (
            BudgetError("no", nearest="time=1min"),
            3,
            'no. The nearest budget that can be met: "time=1min"',
        ),
        (ParsimonyError("of two\nlines"), 1, "of two lines"),
        (InterruptedRun("parsimony x"), 130, "interrupted. Continue with: parsimony x"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (
            ZeroDivisionError("1/0"),
            1,
            "internal error, please report it: ZeroDivisionError: 1/0. Run again with --debug "
            "before the verb for the trace",
        ),
    ],
)
def test_an_error_becomes_one_line_and_its_code(
    call,  # type: ignore[no-untyped-def]
    error: BaseException,
    code: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(loading, "load_run", fail)
    assert call("merge", "run") == (code, "", f"parsimony: {line}\n")


def test_debug_shows_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise InputError("a rule")

    monkeypatch.setattr(loading, "load_run", fail)
    with pytest.raises(InputError, match="a rule"):
        main(["--debug", "merge", "run"])


def test_a_reader_that_went_away_is_no_error(tmp_path: Path) -> None:
    import subprocess
    import sys

    # The reader's end is closed before a word is written.
    code = (
        "import os, sys; r, w = os.pipe(); os.close(r); os.dup2(w, 1); "
        "from parsimony.cli import main; main(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
