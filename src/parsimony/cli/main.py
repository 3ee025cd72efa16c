"""Entry point: finds the verbs, maps errors to exit codes, prints one line per error.

Exit codes: 0 done, 1 our fault (trace under ``--debug``), 2 the input's fault, 3 the budget
cannot be met, 130 interrupted.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import typer

import parsimony
from parsimony.cli.nesting import nest
from parsimony.core import devices
from parsimony.core.errors import InterruptedRun, ParsimonyError
from parsimony.core.quiet import hush

_NOT_VERBS = {"main", "nesting", "options", "tables"}


def verbs() -> list[str]:
    """Names of the verb modules: every file beside this one but the shared ones."""
    return sorted(set(_inside(importlib.import_module("parsimony.cli"))) - _NOT_VERBS)


def _inside(module: ModuleType) -> list[str]:
    """Names of the modules of a package, but those with an underscore; none for a file."""
    found = (each.name for each in pkgutil.iter_modules(getattr(module, "__path__", [])))
    return [name for name in found if not name.startswith("_")]


def build() -> typer.Typer:
    """Assemble the app.

    A verb module defines ``app`` (a group of commands) or ``command``. A verb that is a package
    has the ``command`` of the file that has its name, where there is one, and those of its other
    files as commands below; one that only holds others may hold packages like itself.
    """
    app = typer.Typer(
        name="parsimony",
        help="Spend a model's parameters well.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )

    @app.callback()
    def root(
        version: bool = typer.Option(
            False, "--version", help="Print the version and exit.", is_eager=True, callback=_version
        ),
        debug: bool = typer.Option(False, "--debug", help="Show the trace of an error."),
    ) -> None:
        """Spend a model's parameters well."""

    for verb in verbs():
        _mount(app, verb, importlib.import_module(f"parsimony.cli.{verb}"))
    return app


def _mount(app: typer.Typer, verb: str, module: ModuleType) -> None:
    """Add a verb, and those below it, to the app or to the group that holds it."""
    name = verb.replace("_", "-")
    if hasattr(module, "app"):
        app.add_typer(module.app, name=name)
        return
    below = {
        child: importlib.import_module(f"{module.__name__}.{child}") for child in _inside(module)
    }
    own = below.pop(verb, module)
    if hasattr(own, "command"):
        functions = {child.replace("_", "-"): found.command for child, found in below.items()}
        app.command(name, cls=nest(functions))(own.command)
        return
    # It only holds others; its help is what its package says of it after a colon.
    group = typer.Typer(help=(module.__doc__ or "").partition(": ")[2], no_args_is_help=True)
    for child, found in below.items():
        _mount(group, child, found)
    app.add_typer(group, name=name)


def _version(value: bool) -> None:
    if value:
        print(f"parsimony {parsimony.__version__}")
        raise typer.Exit


def emit(result: object) -> None:
    """Print ``result`` as JSON on stdout."""
    json.dump(result, sys.stdout, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    sys.stdout.write("\n")


@contextmanager
def resumable(folder: Path, command: str) -> Iterator[None]:
    """Within the context, an interruption tells the user how to go on, if there is a run to go on.

    Args:
        folder: of the run.
        command: that resumes it.

    Raises:
        InterruptedRun: in place of the interruption.
    """
    try:
        yield
    except KeyboardInterrupt:
        if not (folder / "config.json").is_file():
            raise
        raise InterruptedRun(command) from None


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in arguments
    if not debug:
        hush()
    try:
        code = _invoke(arguments) if devices.leads() else _follow()
        if code == 130:  # what typer makes of Ctrl-C
            raise KeyboardInterrupt
        sys.stdout.flush()  # here, where a reader that went away is understood
        _dismiss()
        sys.exit(code)
    except ParsimonyError as error:
        if debug:
            raise
        _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _fail("interrupted", 130)
    except BrokenPipeError:
        # The reader went away (`parsimony ... | head`); that is not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _dismiss()
        sys.exit(0)
    except Exception as error:
        if hasattr(error, "format_message"):  # click's usage errors
            message = error.format_message().rstrip(".")
            _fail(f"{message}{'' if message.endswith('?') else '.'} See 'parsimony --help'", 2)
        if debug:
            raise
        _fail(
            f"internal error, please report it: {type(error).__name__}: {error}. "
            "Run again with --debug before the verb for the trace",
            1,
        )


def _invoke(arguments: list[str]) -> int:
    """Run the command; its exit code."""
    try:
        code = build()(args=arguments, prog_name="parsimony", standalone_mode=False)
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # an error to click, not to us
            raise stop.__context__ from None
        raise
    except Exception as error:
        if type(error).__name__ != "NoArgsIsHelpError":  # click's, from wherever typer has it
            raise
        print(error)
        return 0
    return code if isinstance(code, int) else 0


def _follow() -> int:
    """Work for the first of torchrun's processes, which runs the command; its exit code."""
    from parsimony.core import workers

    workers.follow()
    return 0


def _dismiss() -> None:
    """Let the processes end that ``_follow``; after an error, torchrun ends them."""
    if devices.count() > 1:
        from parsimony.core import workers

        workers.dismiss()


def _fail(line: str, code: int) -> None:
    if devices.first_to_fail():
        print(f"parsimony: {' '.join(line.split())}", file=sys.stderr)
    sys.exit(code)
