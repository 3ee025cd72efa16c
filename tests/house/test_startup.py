"""Nothing heavy at import, and nothing slow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.core import TyperCommand

HEAVY = {
    "accelerate", "datasets", "fastapi", "jax", "jinja2", "lifelines", "matplotlib", "numba",
    "numpy", "optuna", "pandas", "peft", "pydantic", "ray", "scipy", "sklearn", "sqlalchemy",
    "torch", "transformers",
}  # fmt: skip

COMMAND = str(Path(sys.executable).with_name("parsimony"))

_RUN_HELP = """
import contextlib, io, json, sys
from parsimony.cli import main
for arguments in json.loads(sys.argv[1]):
    text = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(text):
        main(arguments)
    assert "Usage" in text.getvalue(), arguments
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def run(*command: str) -> str:
    """Standard output of a process of its own."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded(*arguments: str) -> set[str]:
    """The modules a fresh interpreter says it has loaded."""
    return set(json.loads(run(sys.executable, *arguments)))


@pytest.mark.parametrize("module", ["parsimony", "parsimony.core", "parsimony.cli"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    code = f"import sys, json, {module}\nprint(json.dumps([n.split('.')[0] for n in sys.modules]))"
    modules = loaded("-c", code)
    assert "parsimony" in modules
    assert not modules & HEAVY


def test_help_of_every_command_loads_nothing_heavy(commands: dict[str, TyperCommand]) -> None:
    assert not loaded("-c", _RUN_HELP, json.dumps([["--help"]])) & HEAVY
    every = [[*path.split(), "--help"] for path in commands]
    # typer reads the parameters of the command it runs with pydantic.
    assert not loaded("-c", _RUN_HELP, json.dumps(every)) & (HEAVY - {"pydantic"})


def test_the_check_sees_a_heavy_import() -> None:
    code = "import sys, json, numpy\nprint(json.dumps(list(sys.modules)))"
    assert loaded("-c", code) & HEAVY


@pytest.mark.parametrize(
    ("seconds", "command"),
    [(0.2, (sys.executable, "-c", "import parsimony")), (0.3, (COMMAND, "--help"))],
    ids=["import", "help"],
)
def test_starting_is_quick(seconds: float, command: tuple[str, ...]) -> None:
    # The best run counts, since other work on the machine can only add time.
    limit = seconds * (3 if os.environ.get("CI") else 1)
    best = float("inf")
    for _ in range(7):
        start = time.perf_counter()
        run(*command)
        best = min(best, time.perf_counter() - start)
        if best < limit:
            return
    pytest.fail(f"best of 7 runs took {best:.3f} s; the limit is {limit:.1f} s")
