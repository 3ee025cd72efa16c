"""The project files: dependencies few and pinned, make targets present and explained."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def pins(root: Path) -> dict[str, str]:
    """Canonical name -> version; every line that is not a comment must be a plain pin."""
    found: dict[str, str] = {}
    for line in (root / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][0-9A-Za-z.]*)", line)
        assert match, f"not a plain name==version: {line!r}"
        name = canonicalize_name(match.group(1))
        assert name not in found, f"pinned twice: {name}"
        found[name] = match.group(2)
    return found


def test_core_needs_at_most_five_packages_and_no_torch(project: dict[str, Any]) -> None:
    names = {Requirement(text).name for text in project["dependencies"]}
    assert len(names) <= 5
    assert "torch" not in names


def test_every_direct_dependency_is_pinned(project: dict[str, Any], pins: dict[str, str]) -> None:
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = [Requirement(text) for group in groups for text in group]
    wanted = [r for r in wanted if r.name != project["name"]]
    assert wanted
    for requirement in wanted:
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is not in constraints.txt"
        assert requirement.specifier.contains(pins[name]), f"{requirement} but pinned {pins[name]}"


def test_all_has_every_area(project: dict[str, Any]) -> None:
    extras = project["optional-dependencies"]
    (everything,) = [Requirement(text) for text in extras["all"]]
    assert everything.name == project["name"]
    assert everything.extras == set(extras) - {"all", "dev"}


def test_make_shows_every_target(root: Path) -> None:
    done = subprocess.run(["make"], cwd=root, capture_output=True, text=True, check=True)
    listed = re.findall(r"^  make ([a-z]+)", done.stdout, re.MULTILINE)
    assert listed == ["help", "demo", "test", "lint", "bench", "clean"]


def test_make_refuses_an_old_python_in_one_line(root: Path, tmp_path: Path) -> None:
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(root / name, tmp_path)
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "test", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert said == [
        f"parsimony needs Python 3.11 or newer, but found: {old}. "
        "Name one: make PYTHON=/path/to/python3.11 ..."
    ]
    assert not (tmp_path / ".venv").exists()


def test_the_licence_is_the_one_named(root: Path, project: dict[str, Any]) -> None:
    assert project["license"] == "Apache-2.0"
    text = (root / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text and "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
