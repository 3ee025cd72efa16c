"""Runs a command of ours in a process of its own, forked from one that has the libraries loaded.

What the command does is what ``python -m parsimony`` does; only the imports, which take longer
than most commands of the tests, are shared.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.process
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

LOADED = ["parsimony.core.hushed", "parsimony.adapt.workflow", "parsimony.compress.workflow",
          "parsimony.report", "parsimony.plan.laws"]  # fmt: skip


def run(
    arguments: Sequence[str],
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run ``parsimony ARGUMENTS`` to its end.

    Args:
        arguments: without the program.
        cwd: where; here by default.
        environment: instead of this process's.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    with tempfile.TemporaryDirectory() as folder:
        streams = [str(Path(folder) / name) for name in ("stdout", "stderr")]
        process = context.Process(
            target=_command,
            args=(
                list(arguments),
                str(cwd or Path.cwd()),
                dict(environment or os.environ),
                streams,
            ),
        )
        process.start()
        process.join()
        out, errors = (Path(each).read_text(encoding="utf-8") for each in streams)
    assert process.exitcode is not None
    return subprocess.CompletedProcess(list(arguments), process.exitcode, out, errors)


def _command(
    arguments: list[str], cwd: str, environment: dict[str, str], streams: list[str]
) -> None:
    for number, stream in enumerate(streams, 1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.chdir(cwd)
    multiprocessing.process.ORIGINAL_DIR = cwd  # where the workers of the command start
    os.environ.clear()
    os.environ.update(environment)
    added = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [cwd, *(path for path in added if path and path not in sys.path)]
    sys.argv = ["parsimony", *arguments]
    runpy.run_module("parsimony", run_name="__main__", alter_sys=True)
