"""Public names are a list, and the list is true."""

from __future__ import annotations

import ast
import importlib
import inspect
from pathlib import Path

import parsimony


def public(sources: dict[str, ast.Module]) -> list[str]:
    """Modules that say which names are public."""
    return [
        module
        for module, tree in sources.items()
        if any(
            isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
            for node in tree.body
        )
    ]


def order(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest: the order ruff's RUF022 keeps."""
    if name.isupper() and len(name) > 1:
        return 0, name
    return (1 if name[0].isupper() else 2), name


def problems(name: str, value: object) -> list[str]:
    """What is wrong with one public name."""
    if not (inspect.isclass(value) or inspect.isroutine(value) or inspect.ismodule(value)):
        return []
    # A dataclass without a docstring gets its signature for one.
    text = value.__doc__
    documented = bool(text) and not str(text).startswith(f"{name}(")
    return [] if documented else [f"{name} has no docstring"]


def test_public_names_are_there_and_documented(sources: dict[str, ast.Module]) -> None:
    modules = public(sources)
    assert "parsimony" in modules
    found = []
    for module_name in modules:
        module = importlib.import_module(module_name)
        for name in module.__all__:
            if hasattr(module, name):
                found += [f"{module_name}: {p}" for p in problems(name, getattr(module, name))]
            else:
                found.append(f"{module_name}: {name} is not there")
    assert not found, "\n".join(found)


def test_public_names_are_sorted_and_named_once(sources: dict[str, ast.Module]) -> None:
    for module_name in public(sources):
        names = list(importlib.import_module(module_name).__all__)
        assert names == sorted(set(names), key=order), module_name


def test_the_check_sees_a_name_without_a_docstring() -> None:
    def bare() -> None: ...

    assert problems("bare", bare) == ["bare has no docstring"]
    assert problems("Path", Path) == []
    assert problems("__version__", parsimony.__version__) == []
