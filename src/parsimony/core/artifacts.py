"""Files that are either whole or absent: temporary name, flush, rename; fingerprints by sha256."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from parsimony.core.errors import ArtifactError, InputError

MANIFEST = "manifest.json"


def cache() -> Path:
    """What can be made again: ``PARSIMONY_CACHE``, or ``~/.cache/parsimony``."""
    return Path(os.environ.get("PARSIMONY_CACHE", Path.home() / ".cache" / "parsimony"))


def sha256(path: Path) -> str:
    """Hex digest of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Write atomically: a reader sees the old file or the whole new one, also after a crash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sweep(folder: Path) -> None:
    """Delete what killed writers left half-way below ``folder``; nobody may be writing now."""
    for file in folder.rglob(".*.tmp"):
        file.unlink()


def sync_folder(folder: Path) -> None:
    """Make renames inside ``folder`` survive a power cut (no-op where folders cannot be opened)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    write_bytes(path, text.encode("utf-8"))


def dumps(value: object) -> str:
    """JSON with sorted keys and no NaN: equal values give equal bytes."""
    return json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def write_json(path: Path, value: object) -> None:
    """Write ``dumps(value)``, atomically."""
    write_text(path, dumps(value))


def read_json(path: Path) -> Any:
    """Parse a JSON file of ours.

    Raises:
        ArtifactError: missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ArtifactError(f"the file {path} must exist", hint="Check the path") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ArtifactError(f"the file {path} must be JSON ({error})") from None


def hash_folder(folder: Path) -> dict[str, str]:
    """sha256 of every regular file below ``folder`` by relative POSIX path.

    Manifests are left out, and so are files whose names start with a dot: locks and temporaries.
    """
    return {
        file.relative_to(folder).as_posix(): sha256(file)
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != MANIFEST and not file.name.startswith(".")
    }


def seal(folder: Path, **extra: object) -> None:
    """Write the manifest of ``folder`` last: its presence means that the folder is complete."""
    write_json(folder / MANIFEST, {"files": hash_folder(folder), **extra})


def is_sealed(folder: Path) -> bool:
    """Whether the manifest, which is written last, is there."""
    return (folder / MANIFEST).is_file()


def verify(folder: Path) -> dict[str, Any]:
    """Check ``folder`` against its manifest and return the manifest.

    Raises:
        ArtifactError: no manifest (the folder is not complete), one that lists no files, a file
            missing or changed.
    """
    manifest: dict[str, Any] = read_json(folder / MANIFEST)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise ArtifactError(f"{folder}: the manifest must list its files", hint="Start anew")
    for name, digest in manifest["files"].items():
        file = inside(folder, name)
        if not file.is_file():
            raise ArtifactError(f"{folder}: the file '{name}' of the manifest is missing")
        if sha256(file) != digest:
            raise ArtifactError(
                f"{folder}: the file '{name}' differs from its manifest",
                hint="It was changed after it was written; restore it or start anew",
            )
    return manifest


def inside(folder: Path, name: str) -> Path:
    """``folder / name``, refused when it would leave ``folder``."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise InputError(f"a path must stay inside {folder}", got=name)
    return path
