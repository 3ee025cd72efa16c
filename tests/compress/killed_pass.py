"""Prune with a journal in children that kill themselves; ``python killed_pass.py FOLDER METHOD``.

Prints, as JSON, how each child ended, which blocks each began, and whether the bytes of the last
are those of a pass that was never killed. Started by ``test_passes.py``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from compressed import model, windows

from parsimony.compress import passes, pruning, walk
from parsimony.core import artifacts


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at_call(owner: object, name: str, number: int) -> None:
    """Die just before the call of ``owner.name`` of this number."""
    original, calls = getattr(owner, name), [0]

    def counted(*arguments: object, **named: object) -> object:
        calls[0] += 1
        if calls[0] == number:
            die()
        return original(*arguments, **named)

    setattr(owner, name, counted)


PLACES: dict[str, Callable[[], None]] = {
    "in the first block": lambda: at_call(walk.Block, "observe", 2),
    "in the second block": lambda: at_call(pruning, "_prune_layer", 8),
    "with the block not written": lambda: at_call(passes._Journal, "_save", 2),
    "between a file and its name": lambda: at_call(Path, "replace", 2),
    # The first is the temporary file that the one before left.
    "before the last hidden state goes": lambda: at_call(Path, "unlink", 2),
}


def work(folder: Path | None, method: str, out: Path) -> None:
    found = model("llama")
    begun: list[int] = []
    original = pruning._prune_block

    def noted(block: walk.Block, *arguments: object) -> passes.Outcome:
        begun.append(block.index)
        with (out / "begun.txt").open("a") as file:
            file.write(f"{block.index} ")
        return original(block, *arguments)

    pruning._prune_block = noted
    pruned = pruning.prune(found, "0.5", method, windows(), batch=4, journal=folder, key="k")
    state = {**found.state_dict(), **{f"mask:{n}": m for n, m in pruned.masks.items()}}
    from safetensors.torch import save_file

    save_file({name: value.contiguous() for name, value in state.items()}, out / "end.safetensors")
    artifacts.write_json(out / "report.json", pruned.blocks)


def child(folder: Path | None, method: str, out: Path, place: str | None) -> int:
    out.mkdir(parents=True, exist_ok=True)
    pid = os.fork()
    if not pid:
        torch.set_num_threads(1)
        if place is not None:
            PLACES[place]()
        work(folder, method, out)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(home: Path, method: str) -> None:
    ends = {"undisturbed": child(None, method, home / "undisturbed", None)}
    for place in PLACES:
        ends[place] = child(home / "journal", method, home / place.replace(" ", "-"), place)
    ends["last"] = child(home / "journal", method, home / "last", None)
    begun = {
        folder.name: [int(n) for n in (folder / "begun.txt").read_text().split()]
        for folder in sorted(home.iterdir())
        if (folder / "begun.txt").is_file()
    }
    same = all(
        (home / "undisturbed" / name).read_bytes() == (home / "last" / name).read_bytes()
        for name in ("end.safetensors", "report.json")
    )
    print(json.dumps({"ends": ends, "begun": begun, "same": same}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
