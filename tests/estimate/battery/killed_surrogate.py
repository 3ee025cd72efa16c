"""Build a surrogate in children that kill themselves; ``python killed_surrogate.py FOLDER``.

Prints, as JSON, how each child ended and whether the files of the last are those of a build that
was never killed. Started by ``test_surrogate_training.py``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from parsimony.core import artifacts
from parsimony.core.console import Console
from parsimony.estimate.battery import simulated, training, workflow

REQUEST = workflow.Request(
    curves=1, adam=2, lbfgs=2, interior=2, boundary=1, hierarchy="simple", seed=3
)


def at_call(owner: Any, name: str, number: int) -> None:
    """Die just before the call of ``owner.name`` of this number."""
    original, calls = getattr(owner, name), [0]

    def counted(*arguments: Any, **named: Any) -> Any:
        calls[0] += 1
        if calls[0] == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)

    setattr(owner, name, counted)


PLACES: dict[str, Callable[[], None]] = {
    "in an epoch of Adam": lambda: at_call(training.Objective, "loss", 15),
    "between a checkpoint and its name": lambda: at_call(Path, "replace", 2),
    "in L-BFGS": lambda: at_call(training.Objective, "loss", 4),
    "in the second level": lambda: at_call(training._Run, "_save", 5),
    "with the manifest not written": lambda: at_call(artifacts, "seal", 2),
}


def child(folder: Path, place: str | None) -> int:
    pid = os.fork()
    if not pid:
        torch.set_num_threads(1)
        training._CHUNK, simulated.UNSEEN = 1, 1
        if place is not None:
            PLACES[place]()
        if (folder / "config.json").is_file():
            workflow.resume(folder, Console(quiet=True))
        else:
            workflow.build(REQUEST, folder, Console(quiet=True))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(home: Path) -> None:
    torch.optim.Adam([torch.zeros(1)])  # loads what every child would load again
    ends = {"undisturbed": child(home / "undisturbed", None)}
    for place in PLACES:
        ends[place] = child(home / "killed", place)
    ends["last"] = child(home / "killed", None)
    names = ("surrogate/weights.safetensors", "surrogate/manifest.json", "result.json")
    same = {
        name: (home / "undisturbed" / name).read_bytes() == (home / "killed" / name).read_bytes()
        for name in names
    }
    print(json.dumps({"ends": ends, "same": same}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
