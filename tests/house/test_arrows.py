"""Arrows run one way: cli, papers, report -> areas -> core."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

AREAS = {"adapt", "compress", "infer", "tune", "plan", "estimate", "serve", "models"}
TOP = {"cli", "papers", "report"}
# Room -> the other rooms it may import. The root module holds the version and the shared nouns.
MAY = {area: {"core"} for area in AREAS} | {
    "": {"core"},
    "core": set(),
    "testing": {"core", *AREAS},
    "papers": {"core", "report", *AREAS},
    "report": {"core", *AREAS},
    "cli": {"core", "papers", "report", *AREAS},
    "__main__": {"cli"},
}


def room(module: str) -> str:
    """``parsimony.core.data.csv`` -> ``core``; the root module is the empty string."""
    return f"{module}.".split(".")[1]


def imported(module: str, tree: ast.Module, package: bool) -> Iterator[str]:
    """Dotted names of ours that a module imports anywhere in it, also inside functions."""
    base = module.split(".") if package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            origin = node.module or ""
            if node.level:
                above = base[: len(base) - node.level + 1]
                origin = ".".join([*above, *([node.module] if node.module else [])])
            # `from parsimony import papers` imports a room, `... import Budget` does not.
            names = [f"{origin}.{alias.name}" for alias in node.names]
            if origin == "parsimony":
                names = [n for n in names if room(n) in MAY]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            names = [a.value for a in node.args[:1] if isinstance(a, ast.Constant)]
        else:
            continue
        yield from (n for n in names if isinstance(n, str) and n.split(".")[0] == "parsimony")


def violations(module: str, tree: ast.Module, package: bool = False) -> list[str]:
    """One line for every import of ``module`` that goes against an arrow."""
    own = room(module)
    targets = sorted({room(name) for name in imported(module, tree, package)})
    return [
        f"{module} may not import parsimony.{target}"
        for target in targets
        if target not in MAY[own] | {own, ""}
    ]


def test_every_folder_is_a_known_room(sources: dict[str, ast.Module]) -> None:
    assert {room(name) for name in sources} <= set(MAY)
    assert {"", "core", "cli"} <= {room(name) for name in sources}


def test_arrows_run_one_way(sources: dict[str, ast.Module]) -> None:
    names = list(sources)
    packages = {n for n in names if n == "parsimony" or any(m.startswith(f"{n}.") for m in names)}
    found = [v for n, tree in sources.items() for v in violations(n, tree, n in packages)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("parsimony.core.registry", "import parsimony.adapt.lora"),
        ("parsimony.core.registry", "def find():\n    from parsimony import adapt"),
        ("parsimony.core.registry", "from ..papers import card"),
        ("parsimony.core.registry", "import importlib\nimportlib.import_module('parsimony.cli')"),
        ("parsimony.adapt.search", "from parsimony.compress import prune"),
        ("parsimony.adapt.search", "from parsimony.report import write"),
        ("parsimony.report.page", "from parsimony.papers import cards"),
        ("parsimony.papers.claim", "def run():\n    import parsimony.cli.main"),
        ("parsimony.testing.adapters", "from parsimony.cli import main"),
    ],
)
def test_the_check_sees_a_wrong_arrow(module: str, source: str) -> None:
    assert len(violations(module, ast.parse(source))) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("parsimony.core.registry", "from .errors import InputError\nimport parsimony, json"),
        ("parsimony.core.registry", "from parsimony import __version__"),
        ("parsimony.adapt.search", "from parsimony.core import units\nfrom . import lora"),
        ("parsimony.cli.adapt.adapt", "def run():\n    from parsimony import adapt, report"),
        ("parsimony.papers.cards.lora", "from parsimony.adapt import lora\nimport adapt"),
        ("parsimony.testing.adapters", "from parsimony.adapt.contract import check"),
        ("parsimony.papers.site.render", "from parsimony.report import look"),
    ],
)
def test_the_check_lets_right_arrows_pass(module: str, source: str) -> None:
    assert violations(module, ast.parse(source)) == []
