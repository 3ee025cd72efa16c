"""Do the work of an arm once: run its command, or call its function."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from parsimony.core.errors import InputError
from parsimony.plan.energy_study.config import Arm


@dataclass(frozen=True)
class Outcome:
    """What an arm says of its work.

    Attributes:
        samples: how many it went through; ``None`` when it does not say.
        accuracy: of what it trained, higher is better; ``None`` when it does not say.
    """

    samples: float | None = None
    accuracy: float | None = None


def run(arm: Arm, seed: int) -> Outcome:
    """Do it.

    Raises:
        InputError: the command is missing or fails, the function is missing, or what is returned
            is not a mapping of numbers with known names.
    """
    name = arm.name
    if arm.function is not None:
        return _outcome(name, _function(name, arm.function)(seed=seed, **arm.arguments))
    assert arm.command is not None
    words = [word.replace("{seed}", str(seed)) for word in arm.command]
    try:
        done = subprocess.run(words, capture_output=True, text=True)  # noqa: S603 (the user's own)
    except OSError as error:
        raise InputError(f"arm '{name}': the command cannot be started ({error})") from None
    if done.returncode:
        said = done.stderr.strip().rpartition("\n")[2]
        raise InputError(
            f"arm '{name}': the command must end with exit code 0", got=done.returncode,
            hint=f"It said: {said}",
        )  # fmt: skip
    last = done.stdout.strip().rpartition("\n")[2]
    return _outcome(name, _json(last) if last.startswith("{") else None)


def _function(name: str, path: str) -> Any:
    module, _, function = path.partition(":")
    try:
        return getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise InputError(
            f"arm '{name}': the function '{path}' cannot be found ({error})",
            hint=f"Python looks in {sys.path[0] or 'this folder'} and where packages are installed",
        ) from None


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except json.JSONDecodeError:
        return None  # a line that only looks like it


def _outcome(name: str, found: object) -> Outcome:
    if found is None:
        return Outcome()
    known = set(Outcome.__dataclass_fields__)
    if not isinstance(found, Mapping) or not set(found) <= known:
        raise InputError(
            f"arm '{name}': its work may return a mapping of 'samples' and 'accuracy'", got=found
        )
    return Outcome(**{key: float(value) for key, value in found.items()})
