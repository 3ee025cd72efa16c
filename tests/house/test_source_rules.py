"""What no source file may do or lack."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

FORBIDDEN_MODULES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {
    "eval", "exec", "os.system", "os.popen", "yaml.load", "yaml.load_all", "yaml.full_load",
    "yaml.unsafe_load", "pandas.read_pickle", "pd.read_pickle",
}  # fmt: skip
FORBIDDEN_KEYWORDS = {"shell", "allow_pickle", "trust_remote_code"}  # refused unless False
TEXT = {".py", ".j2", ".css", ".js"}


def dangers(tree: ast.Module) -> Iterator[str]:
    """What could run code from data: pickle, eval, unsafe loaders, a shell."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in FORBIDDEN_MODULES)
        elif isinstance(node, ast.ImportFrom):
            if (node.module or "").split(".")[0] in FORBIDDEN_MODULES:
                yield str(node.module)
            yield from (
                f"{node.module}.{a.name}"
                for a in node.names
                if f"{node.module}.{a.name}" in FORBIDDEN_CALLS | {"torch.load"}
            )
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            if name in FORBIDDEN_CALLS:
                yield name
            given = {k.arg: k.value for k in node.keywords}
            if name == "torch.load" and not _is(given.get("weights_only"), True):
                yield "torch.load without weights_only=True"
            for keyword in FORBIDDEN_KEYWORDS & set(given):
                if not _is(given[keyword], False):
                    yield f"{keyword}={ast.unparse(given[keyword])}"


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def undocumented(tree: ast.Module) -> Iterator[str]:
    """Public functions and classes at the top of a module that have no docstring."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in (n for n in tree.body if isinstance(n, kinds)):
        if not node.name.startswith("_") and not ast.get_docstring(node):
            yield node.name


def test_nothing_runs_code_from_data(sources: dict[str, ast.Module]) -> None:
    found = [f"{module}: {danger}" for module, tree in sources.items() for danger in dangers(tree)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "def f():\n    from pickle import loads",
        "import joblib.numpy_pickle",
        "eval('1')",
        "exec(text)",
        "yaml.load(text)",
        "from yaml import unsafe_load, load\nfrom torch import load\nfrom yaml import safe_load",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=safe)",
        "subprocess.run('ls', shell=True)",
        "numpy.load(path, allow_pickle=True)",
        "AutoModel.from_pretrained(name, trust_remote_code=given)",
    ],
)
def test_the_check_sees_a_danger(source: str) -> None:
    assert list(dangers(ast.parse(source)))


@pytest.mark.parametrize(
    "source",
    [
        "torch.load(path, weights_only=True)",
        "model.eval()",
        "yaml.safe_load(text)",
        "subprocess.run(['ls'], shell=False)",
        "'no pickle here'",
    ],
)
def test_the_check_lets_safe_code_pass(source: str) -> None:
    assert not list(dangers(ast.parse(source)))


def test_every_module_says_what_it_is(sources: dict[str, ast.Module]) -> None:
    assert [name for name, tree in sources.items() if not ast.get_docstring(tree)] == []


def test_core_is_documented(sources: dict[str, ast.Module]) -> None:
    core = {n: t for n, t in sources.items() if n.startswith("parsimony.core.")}
    assert core
    found = [f"{module}.{name}" for module, tree in core.items() for name in undocumented(tree)]
    assert not found, "no docstring: " + ", ".join(found)


def test_the_check_sees_a_missing_docstring() -> None:
    tree = ast.parse('class A:\n    "Said."\ndef b(): ...\nasync def c(): ...\ndef _d(): ...')
    assert list(undocumented(tree)) == ["b", "c"]


def too_long(text: str) -> bool:
    """Over 500 lines without a first line such as ``# Long because ...``."""
    lines = text.splitlines()
    return len(lines) > 500 and not re.search(r"long because \w+", lines[0], re.IGNORECASE)


def test_no_file_is_long_without_a_reason(root: Path) -> None:
    files = [f for f in (root / "src" / "parsimony").rglob("*") if f.suffix in TEXT]
    assert files
    found = [str(f.relative_to(root)) for f in files if too_long(f.read_text(encoding="utf-8"))]
    assert not found, "over 500 lines without '# Long because ...' at the top: " + ", ".join(found)


def test_the_check_sees_a_long_file() -> None:
    body = "pass\n" * 500
    assert not too_long(body)
    assert too_long(body + "pass\n")
    assert not too_long("# Long because the table has one row per unit.\n" + body)
