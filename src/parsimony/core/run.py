"""A run is a folder; its manifest, written last, means that the run completed."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import os
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from parsimony.core import artifacts
from parsimony.core.errors import ArtifactError, InputError

_JSON = (bool, int, float, str, list, tuple)
_PACKAGES = ("parsimony-ml", "torch", "transformers", "peft", "numpy", "optuna", "tokenizers")


class Run:
    """One run folder.

    Args:
        folder: where it lives.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def create(cls, folder: Path, config: Mapping[str, Any], seed: int) -> Run:
        """Start a run in a new or empty folder.

        Args:
            folder: created where missing.
            config: every setting as ``{"value": ..., "source": ...}``.
            seed: the one everything derives from.

        Raises:
            InputError: the folder holds something.
        """
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(
                "a new run needs an empty folder",
                got=str(folder),
                hint=f"Choose another --out, or continue it with --resume {folder}",
            )
        artifacts.write_json(folder / "environment.json", environment(seed))
        # config.json last: a folder without it holds nothing worth resuming.
        artifacts.write_json(folder / "config.json", {"settings": dict(config)})
        return cls(folder)

    @classmethod
    def open(cls, folder: Path, *, complete: bool = False) -> Run:
        """An existing run.

        Args:
            folder: its folder.
            complete: insist on the manifest, and check every file against it.

        Raises:
            ArtifactError: not a run; not complete; a file changed.
        """
        if not (folder / "config.json").is_file():
            raise ArtifactError(
                "a run folder needs a config.json",
                got=str(folder),
                hint="Check the path, or start a new run in another folder",
            )
        if complete:
            if not artifacts.is_sealed(folder):
                raise ArtifactError(
                    f"the run {folder} did not complete",
                    hint=f"Continue it: the command that began it, with --resume {folder}",
                )
            artifacts.verify(folder)
        return cls(folder)

    @property
    def settings(self) -> dict[str, Any]:
        """Setting by name, without where it came from."""
        config = artifacts.read_json(self.folder / "config.json")
        return {name: entry["value"] for name, entry in config["settings"].items()}

    @property
    def complete(self) -> bool:
        return artifacts.is_sealed(self.folder)

    def write(self, name: str, value: object) -> None:
        """Write ``name`` as JSON, atomically."""
        artifacts.write_json(self.folder / name, value)

    def read(self, name: str) -> Any:
        return artifacts.read_json(self.folder / name)

    def has(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def finish(self) -> None:
        """Write the manifest: the run is complete."""
        artifacts.seal(self.folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process.

        Raises:
            InputError: another process works on it.
        """
        with lock(self.folder / ".lock", wait=False):
            yield


@contextmanager
def lock(file: Path, wait: bool) -> Iterator[None]:
    """Hold an advisory lock on ``file``; the system lets go of it when the process dies."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise InputError(
                "another process works on this run", got=str(file.parent), hint="Wait for it"
            ) from None
        yield
    finally:
        os.close(descriptor)


@contextmanager
def made_once(name: str, made_of: object) -> Iterator[Path]:
    """Hold the cache folder of what is made once on this machine; it may not be there yet.

    Args:
        name: of the kind of thing.
        made_of: all that decides what it becomes, ready for JSON; other versions make another.
    """
    text = artifacts.dumps([made_of, versions()])
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    home = artifacts.cache() / name / key
    with lock(home.parent / f".{key}.lock", wait=True):
        yield home


def provenance(request: object, plain: object) -> dict[str, Any]:
    """Every setting of a request with where it came from, as ``Run.create`` takes it.

    Args:
        request: a dataclass; values that are no JSON are written as text.
        plain: one of the same class with all defaults.
    """
    return {
        name: {
            "value": value if isinstance(value, _JSON) or value is None else str(value),
            "source": "default" if value == getattr(plain, name) else "given",
        }
        for name, value in vars(request).items()
    }


def new_folder(parent: Path, stem: str) -> Path:
    """``parent/stem``, or the first free ``parent/stem-2``, ``-3``, ..."""
    stem = re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "run"
    folder, number = parent / stem, 1
    while folder.exists():
        number += 1
        folder = parent / f"{stem}-{number}"
    return folder


def environment(seed: int) -> dict[str, Any]:
    """Versions, machine and seed, as recorded in ``environment.json``."""
    return {
        "seed": seed,
        "versions": {"python": platform.python_version(), **versions()},
        "machine": machine(),
    }


def versions() -> dict[str, str]:
    """Installed versions of the packages that decide numbers."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Kind of machine; nothing that identifies it."""
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()
