"""Write the tree of src/parsimony into README.md, one comment per file, from the docstrings.

``tools/readme_tree.py`` rewrites it; ``tools/readme_tree.py --check`` fails when it is stale.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import generated

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "parsimony"
README = ROOT / "README.md"
START, END = "<!-- tree: tools/readme_tree.py -->", "<!-- /tree -->"
FOLDED = {"papers/cards"}  # one file per paper: the catalogue lists them better than a tree


def comment(module: Path) -> str:
    """The first sentence of a module's docstring.

    Raises:
        SystemExit: the module has no docstring.
    """
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    if not text:
        sys.exit(f"{module.relative_to(ROOT)}: a module needs a docstring; its first line is shown")
    paragraph = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=[.!?])\s", paragraph)[0].rstrip(".")


def rows(folder: Path = PACKAGE, depth: int = 0) -> list[tuple[str, str]]:
    """``(indented name, comment)`` for a package and everything in it, files before folders."""
    place = folder.relative_to(PACKAGE).as_posix()
    name = f"src/{folder.name}/" if depth == 0 else f"{folder.name}/"
    found = [("  " * depth + name, comment(folder / "__init__.py"))]
    modules = sorted(m for m in folder.glob("*.py") if m.name != "__init__.py")
    if place in FOLDED:
        found[0] = (found[0][0], f"{found[0][1]} ({len(modules)} files)")
        return found
    found += [("  " * (depth + 1) + m.name, comment(m)) for m in modules]
    for package in sorted(p.parent for p in folder.glob("*/__init__.py")):
        found += rows(package, depth + 1)
    return found


def tree() -> str:
    """The tree as a fenced block, comments aligned."""
    table = rows()
    width = max(len(name) for name, _ in table) + 2
    return "\n".join(["```", *(f"{name:<{width}}# {text}" for name, text in table), "```"])


def main(arguments: list[str]) -> None:
    wanted = generated.between(README, START, END, tree())
    generated.write(README, wanted, "the tree in README.md", "readme_tree.py", arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
