"""The append-only record of a training: one line of JSON for each event, in step order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from parsimony.core import artifacts, devices


class Events:
    """Append-only ``events.jsonl``; events after the step resumed from are taken back first.

    Only the first process writes.
    """

    def __init__(self, file: Path, keep_until: int) -> None:
        self._file = file
        if devices.leads():
            kept = [line for line in read_events(file) if line["step"] <= keep_until]
            artifacts.write_text(file, "".join(_line(event) for event in kept))

    def add(self, **event: object) -> None:
        if not devices.leads():
            return
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write(_line(event))


def _line(event: dict[str, Any]) -> str:
    return json.dumps(event, sort_keys=True, allow_nan=False) + "\n"


def read_events(file: Path) -> list[dict[str, Any]]:
    """All whole lines of an events file; a line cut short by a kill is dropped."""
    if not file.is_file():
        return []
    lines = file.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1] if line]
