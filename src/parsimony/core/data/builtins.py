"""Data sets that are on every machine: the running Python's standard library, digits, sounds.

A built-in is a function in ``BUILTINS``; its docstring says what it holds. The standard library
differs between Python versions; the fingerprint tells them apart.
"""

from __future__ import annotations

import ast
import os
import re
import sysconfig
import textwrap
import tokenize
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from parsimony.core.data.files import make_table
from parsimony.core.data.sounds import generated
from parsimony.core.data.taskdata import Task, row_keys
from parsimony.core.errors import InputError


@dataclass(frozen=True)
class Builtin:
    """A built-in's rows and what they are for. It is shared within a process: do not change it.

    Attributes:
        table: columns named by ``text`` (two with a comma; or ``features``) and ``label``.
        task: the task it is made for.
        group: a column whose equal rows must stay in one split.
    """

    table: pd.DataFrame
    task: Task
    text: str | None = None
    label: str | None = None
    group: str | None = None


_NOT_LIBRARY = {"test", "tests", "idle_test", "idlelib", "lib2to3", "site-packages"}
_NOT_LIBRARY |= {"dist-packages", "lib-dynload", "__pycache__"}
_GENERATED = {"encodings", "pydoc_data"}  # tables and boilerplate: no prose to classify
_CLASSES = 20
_MOST_ROWS = 250  # per class, so that the largest package is at most a few times the smallest
_LEAST_WORDS = 5
_MASK = "_"
_CHUNK = 4_000  # characters


@cache
def stdlib_docs() -> Builtin:
    """Signatures and docstrings of the standard library, labelled by top-level package.

    The 20 packages with the most docstrings of at least five words, at most 250 rows each, about
    3,000 in all. Sources are parsed, never imported. The names of the 20 packages are masked in
    every text, also inside other words, so that no text tells its label by name.
    """
    found = pd.DataFrame(
        [
            (text, package)
            for file, package in _library_files()
            if package not in _GENERATED and not package.startswith("_")
            for text in _documented(file)
        ],
        columns=["text", "label"],
    ).drop_duplicates()
    ranking = sorted(Counter(found["label"]).items(), key=lambda item: (-item[1], item[0]))
    packages = sorted(name for name, _ in ranking[:_CLASSES])
    mask = re.compile("|".join(sorted(packages, key=len, reverse=True)), re.IGNORECASE)
    found = found[found["label"].isin(packages)]
    found = found.assign(text=[mask.sub(_MASK, text) for text in found["text"]])
    # A text that two packages share after masking has no label of its own.
    found = found.drop_duplicates().drop_duplicates("text", keep=False)
    found = found.assign(key=row_keys(found, ["text", "label"])).sort_values("key")
    kept = found.groupby("label", sort=True).head(_MOST_ROWS)
    columns = {name: kept[name].tolist() for name in ("text", "label")}
    return Builtin(make_table(columns, "stdlib-docs"), "text-classification", "text", "label")


@cache
def stdlib_code() -> Builtin:
    """Source text of the standard library, about 11 MB, in pieces of at most 4,000 characters.

    Pieces end at line ends. Test suites are left out. No file is in two splits.
    """
    texts, files = [], []
    for file, _ in _library_files():
        for piece in _pieces(_read_source(file)):
            texts.append(piece)
            files.append(file.relative_to(_library()).as_posix())
    table = make_table({"text": texts, "file": files}, "stdlib-code")
    return Builtin(table, "causal-lm", "text", group="file")


@cache
def stdlib_functions() -> Builtin:
    """Functions of the standard library: signature and docstring as prompt, body as completion.

    Those with a docstring of at least five words and a body beside it, as they stand in the file
    but for the indentation they share. No file is in two splits.
    """
    columns: dict[str, list[str]] = {"prompt": [], "completion": [], "file": []}
    for file, _ in _library_files():
        for prompt, completion in _functions(_read_source(file)):
            row = (prompt, completion, file.relative_to(_library()).as_posix())
            for name, cell in zip(columns, row, strict=True):
                columns[name].append(cell)
    table = make_table(columns, "stdlib-functions")
    return Builtin(table, "instruction", "prompt,completion", group="file")


def digits() -> Builtin:
    """scikit-learn's handwritten digits: 1,797 images of 8 x 8 grey levels (0 to 16)."""
    from sklearn.datasets import load_digits

    features, labels = load_digits(return_X_y=True)
    columns = {"features": features.tolist(), "label": [str(label) for label in labels]}
    return Builtin(make_table(columns, "digits"), "tabular-classification", label="label")


def generated_sounds() -> Builtin:
    """600 sounds of one second, 50 of each of 12 kinds: tones, chirps, noises, clicks and others.

    Made by formula from a fixed seed (see ``core.data.sounds``); no two are alike.
    """
    files, kinds = generated(per_class=50)
    table = make_table({"audio": files, "label": kinds}, "generated-sounds")
    return Builtin(table, "audio-classification", "audio", "label")


BUILTINS: dict[str, Callable[[], Builtin]] = {
    "stdlib-docs": stdlib_docs,
    "stdlib-code": stdlib_code,
    "stdlib-functions": stdlib_functions,
    "digits": digits,
    "generated-sounds": generated_sounds,
}


def builtin_names() -> tuple[str, ...]:
    """Names that ``load`` knows without a file."""
    return tuple(BUILTINS)


def _library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def _library_files() -> Iterator[tuple[Path, str]]:
    """Every source file of the library in a fixed order, with its top-level package."""
    root = _library()
    files: list[str] = []
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if f not in _NOT_LIBRARY and not f.startswith("config-")]
        inside = Path(folder).relative_to(root)
        files += [(inside / name).as_posix() for name in names if name.endswith(".py")]
    for file in sorted(files):
        yield root / file, file.partition("/")[0].removesuffix(".py")
    if not files:
        raise InputError(
            "this built-in needs the standard library's source files",
            got=str(root),
            hint="Use a Python that ships them, or your own data file",
        )


def _read_source(file: Path) -> str:
    with tokenize.open(file) as stream:  # honours the file's own encoding line
        return stream.read()


def _documented(file: Path) -> Iterator[str]:
    """Signature and docstring of the module, its classes, functions and methods."""
    tree = ast.parse(_read_source(file))
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            doc = ast.get_docstring(node) or ""
            if len(doc.split()) >= _LEAST_WORDS:
                yield f"{_signature(node)}\n{doc}".strip()
        if isinstance(node, ast.Module | ast.ClassDef | ast.If | ast.Try):
            pending += node.body


def _signature(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    if isinstance(node, ast.Module):
        return ""
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    return f"def {node.name}({ast.unparse(node.args)})"


def _functions(source: str) -> Iterator[tuple[str, str]]:
    """(signature and docstring, body) of every documented function, in the order of the file."""
    lines = source.split("\n")  # what ast counts; splitlines would cut at form feeds too
    found = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and len((ast.get_docstring(node) or "").split()) >= _LEAST_WORDS
        and len(node.body) > 1
    ]
    for node in sorted(found, key=lambda node: node.lineno):
        after = int(node.body[0].end_lineno or 0)
        if not node.lineno < node.body[0].lineno <= after < node.body[1].lineno:
            continue  # parts of it share a line
        whole = textwrap.dedent("\n".join(lines[node.lineno - 1 : node.end_lineno]))
        if whole[0].isspace():
            continue  # a text within it begins further left
        cut = whole.split("\n")
        border = after - node.lineno + 1
        yield "\n".join(cut[:border]) + "\n", "\n".join(cut[border:]).strip("\n") + "\n"


def _pieces(source: str) -> Iterator[str]:
    """Cut at line ends into pieces of at most ``_CHUNK`` characters, blank ones left out.

    A single longer line is one piece of its own.
    """
    piece = ""
    for line in source.splitlines(keepends=True):
        if piece and len(piece) + len(line) > _CHUNK:
            if piece.strip():
                yield piece
            piece = ""
        piece += line
    if piece.strip():
        yield piece
