"""Find methods by looking, not by a list: every module of a package, and installed plug-ins."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from importlib.metadata import entry_points
from types import ModuleType
from typing import TypeVar

from parsimony.core.errors import ParsimonyError

T = TypeVar("T")


def modules(package: str, group: str | None = None) -> dict[str, ModuleType]:
    """Import every module of a package, and installed plug-ins; by dotted name.

    Args:
        package: dotted name.
        group: entry-point group whose values name further modules (outside plug-ins).
    """
    root = importlib.import_module(package)
    names = [f"{package}.{m.name}" for m in pkgutil.iter_modules(root.__path__)]
    if group is not None:
        names += sorted(entry.value for entry in entry_points(group=group))
    return {name: importlib.import_module(name) for name in names}


def discover(package: str, base: type[T], group: str | None = None) -> dict[str, type[T]]:
    """Concrete subclasses of ``base`` by their ``name`` attribute, sorted by name.

    Args:
        package: dotted name; each of its modules is imported and searched.
        base: the abstract class of the family.
        group: entry-point group whose values name further modules (outside plug-ins).

    Raises:
        ParsimonyError: two classes share a name.
    """
    found: dict[str, type[T]] = {}
    for module_name, module in modules(package, group).items():
        for member in vars(module).values():
            if (
                isinstance(member, type)
                and issubclass(member, base)
                and not inspect.isabstract(member)
                and member.__module__ == module_name
            ):
                name: str = member.name  # type: ignore[attr-defined]
                if name in found:
                    raise ParsimonyError(
                        f"two methods are named '{name}'",
                        got=(found[name].__module__, module_name),
                    )
                found[name] = member
    return dict(sorted(found.items()))
