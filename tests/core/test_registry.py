"""Methods are found by looking, in packages made for the purpose."""

from __future__ import annotations

import itertools
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from parsimony.core import registry
from parsimony.core.errors import ParsimonyError

_numbers = itertools.count()

BASE = """
from abc import ABC, abstractmethod

class Way(ABC):
    @abstractmethod
    def go(self): ...

class Half(Way):  # still abstract
    name = "half"
"""
CONCRETE = """
from {package}.base import Half, Way

class {kind}(Way):
    name = "{name}"
    def go(self): return 1
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch) -> str:
    """A package with an abstract family and two methods, under a name of its own."""
    name = f"family_{next(_numbers)}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "base.py").write_text(BASE)
    (folder / "walk.py").write_text(CONCRETE.format(package=name, kind="Walk", name="walk"))
    (folder / "fly.py").write_text(CONCRETE.format(package=name, kind="Fly", name="fly"))
    monkeypatch.syspath_prepend(tmp_path)
    return name


def family(package: str) -> type:
    return registry.importlib.import_module(f"{package}.base").Way


def test_concrete_classes_are_found_in_order_of_their_names(package: str) -> None:
    found = registry.discover(package, family(package))
    assert list(found) == ["fly", "walk"]
    assert found["walk"]().go() == 1


def test_every_module_of_a_package_is_imported(package: str) -> None:
    found = registry.modules(package)
    assert list(found) == [f"{package}.{name}" for name in ("base", "fly", "walk")]
    assert found[f"{package}.fly"].Fly.name == "fly"


def test_abstract_and_imported_classes_are_not(package: str) -> None:
    # Every method file imports Way and Half; each is abstract, and neither may come up.
    assert "half" not in registry.discover(package, family(package))


def test_one_name_for_two_methods_is_refused(package: str, tmp_path: Path) -> None:
    source = CONCRETE.format(package=package, kind="Run", name="walk")
    (tmp_path / package / "run.py").write_text(source)
    with pytest.raises(ParsimonyError) as caught:
        registry.discover(package, family(package))
    assert str(caught.value) == (
        f"two methods are named 'walk', but got ('{package}.run', '{package}.walk')"
    )


def test_outside_packages_add_theirs(package: str, tmp_path: Path, monkeypatch) -> None:
    outside = f"{package}_outside"
    source = CONCRETE.format(package=package, kind="Swim", name="swim")
    (tmp_path / f"{outside}.py").write_text(source)
    entry = EntryPoint("swim", outside, "parsimony.test")
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry] * (group == entry.group))
    assert list(registry.discover(package, family(package), "parsimony.test")) == [
        "fly", "swim", "walk"
    ]  # fmt: skip
    assert "swim" not in registry.discover(package, family(package))
