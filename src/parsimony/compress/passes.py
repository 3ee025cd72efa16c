"""Do something to every block in order, and never lose more than the block at hand to a kill.

The journal of a pass is a folder: after each block, the block's parameters with what was found out
about them, and before that, what the next block reads. A pass that goes on from its journal ends
in the same bytes as one that was never stopped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from parsimony.compress.walk import Block, Walk
from parsimony.core import artifacts
from parsimony.core.errors import ArtifactError

_KEY = "journal.json"
_STATE, _FOUND = "state:", "found:"


@dataclass(frozen=True)
class Outcome:
    """What a pass found out about one block, beside the changed parameters.

    Attributes:
        tensors: such as masks, by a name of the pass's own.
        report: JSON values.
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)


Work = Callable[[Block], Outcome]
"""Changes a block in place."""


def walk_through(
    model: nn.Module,
    windows: Tensor,
    work: Work,
    *,
    batch: int = 8,
    journal: Path | None = None,
    key: str = "",
    progress: Callable[[float], None] = lambda done: None,
) -> list[Outcome]:
    """Let ``work`` change every block; each sees what the changed blocks before it produce.

    Args:
        model: changed in place.
        windows: token ids of the calibration, [windows, window].
        work: what is done to a block.
        batch: windows at a time.
        journal: folder to keep it in, and to go on from; ``None`` for no journal.
        key: what decides the result; a journal of another key is refused.
        progress: is told 1 after every block.

    Returns:
        What was found about each block, in order.

    Raises:
        ArtifactError: the journal is of something else.
    """
    kept = _Journal(journal, key) if journal is not None else None
    hidden = kept.hidden() if kept else None
    walk = Walk(model, windows, batch, hidden)
    outcomes: list[Outcome] = []
    for index, layer in enumerate(walk.layers):
        outcome = kept.read(index, layer.module) if kept else None
        if outcome is None:
            block = walk.block(index)
            outcome = work(block)
            walk.advance(block)
            if kept:
                kept.write(index, layer.module, outcome, walk.hidden)
        outcomes.append(outcome)
        progress(1)
    return outcomes


class _Journal:
    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder
        file = folder / _KEY
        if not file.is_file():
            artifacts.write_json(file, {"key": key})
        elif artifacts.read_json(file)["key"] != key:
            raise ArtifactError(
                f"the journal {folder} must be of this model, these data and these settings",
                hint="Start anew in another folder",
            )
        artifacts.sweep(folder)

    def hidden(self) -> Tensor | None:
        """What the first block that is not done reads; ``None`` where none is done."""
        from safetensors.torch import load_file

        done = 0
        while self._block(done).is_file():
            done += 1
        return load_file(self._hidden(done))["hidden"] if done else None

    def read(self, index: int, module: nn.Module) -> Outcome | None:
        """Put the block's parameters back; ``None`` where it is not done."""
        from safetensors import safe_open

        if not self._block(index).is_file():
            return None
        with safe_open(self._block(index), "pt") as opened:
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            report = json.loads(opened.metadata()["report"])
        module.load_state_dict(
            {n[len(_STATE) :]: t for n, t in tensors.items() if n.startswith(_STATE)}
        )
        return Outcome(
            {n[len(_FOUND) :]: t for n, t in tensors.items() if n.startswith(_FOUND)}, report
        )

    def write(self, index: int, module: nn.Module, outcome: Outcome, hidden: Tensor) -> None:
        """First what comes next, then the block: the block's file means that it is done."""
        self._save(self._hidden(index + 1), {"hidden": hidden}, {})
        tensors = {f"{_STATE}{name}": value for name, value in module.state_dict().items()}
        tensors |= {f"{_FOUND}{name}": value for name, value in outcome.tensors.items()}
        self._save(self._block(index), tensors, {"report": json.dumps(outcome.report)})
        self._hidden(index).unlink(missing_ok=True)

    def _save(self, file: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
        """Whole or not at all, as ``artifacts.write_bytes``, without a copy of it in memory."""
        from safetensors.torch import save_file

        whole = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        temporary = file.with_name(f".{file.name}.tmp")
        save_file(whole, temporary, metadata)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(file)
        artifacts.sync_folder(file.parent)

    def _block(self, index: int) -> Path:
        return self._folder / f"block-{index:04d}.safetensors"

    def _hidden(self, index: int) -> Path:
        return self._folder / f"hidden-{index:04d}.safetensors"
