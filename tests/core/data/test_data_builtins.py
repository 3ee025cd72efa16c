"""The built-in data sets: offline, deterministic, and no label told by name."""

from __future__ import annotations

import ast
import subprocess
import sys

import pandas as pd
import pytest

from parsimony.core.data import TaskData, builtin_names, builtins, dialogues, load
from parsimony.core.errors import InputError


@pytest.fixture(scope="module")
def docs() -> TaskData:
    return load("stdlib-docs")


def whole(data: TaskData) -> pd.DataFrame:
    return pd.concat(data.splits.values(), ignore_index=True)


def test_every_name_loads_without_a_notice_of_a_choice() -> None:
    assert builtin_names() == (
        "stdlib-docs", "stdlib-code", "stdlib-functions", "digits", "generated-sounds"
    )  # fmt: skip
    for name in builtin_names():
        data = load(name, allow_network=False)
        assert data.name == name
        assert not any("pass --" in notice for notice in data.notices)
        assert all(len(split) for split in data.splits.values())


def test_docs_are_a_balanced_task_of_twenty_classes(docs: TaskData) -> None:
    assert docs.task == "text-classification"
    assert len(docs.labels) == 20
    counts = whole(docs)["label"].value_counts()
    assert 2_000 < counts.sum() < 4_000
    assert counts.max() <= 250
    assert counts.min() >= 40
    assert whole(docs)["text"].is_unique


def test_no_text_of_the_docs_holds_the_name_of_any_class(docs: TaskData) -> None:
    texts = "\n".join(whole(docs)["text"]).lower()
    assert [name for name in docs.labels if name in texts] == []


def test_docs_hold_signature_and_docstring(docs: TaskData) -> None:
    table = whole(docs)
    (row,) = table[table["text"].str.startswith("def makeLogRecord(dict)\n")].itertuples()
    assert "Make a LogRecord whose attributes are defined by the specified dictionary" in row.text
    assert docs.labels[row.label] == "logging"


def test_docs_have_at_least_five_words(docs: TaskData) -> None:
    # A signature is at least one word more than its docstring, a module has none.
    assert min(len(text.split()) for text in whole(docs)["text"]) >= 5


def test_docs_are_the_same_in_another_process(docs: TaskData) -> None:
    program = "from parsimony.core.data import load; print(load('stdlib-docs').fingerprint)"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == docs.fingerprint


def test_docs_as_a_corpus() -> None:
    data = load("stdlib-docs", task="causal-lm", limit=60)
    assert (data.task, data.label, len(whole(data))) == ("causal-lm", None, 60)


def test_code_is_the_library_and_no_file_is_in_two_splits() -> None:
    data = load("stdlib-code")
    assert data.task == "causal-lm"
    table = builtins.stdlib_code().table
    assert table["text"].str.len().sum() > 5_000_000
    pieces = table.drop_duplicates("text")
    files = dict(zip(pieces["text"], pieces["file"], strict=True))
    seen = [{files[text] for text in split["text"]} for split in data.splits.values()]
    assert sum(len(names) for names in seen) == pieces["file"].nunique()
    assert "json/decoder.py" in set().union(*seen)
    assert not any(name.startswith("test/") for name in set().union(*seen))


def test_pieces_of_code_are_whole_lines_that_join_to_the_source() -> None:
    source = "".join(f"line {i}\n" for i in range(2_000)) + "x" * 5_000 + "\nend"
    pieces = list(builtins._pieces(source))
    assert "".join(pieces) == source
    assert all(len(piece) <= 4_000 or piece.count("\n") == 1 for piece in pieces)
    assert all(piece.endswith("\n") for piece in pieces[:-1])
    assert list(builtins._pieces("\n\n")) == []


def test_functions_are_prompts_that_their_bodies_complete() -> None:
    table = builtins.stdlib_functions().table
    assert len(table) > 2_000
    for prompt, completion in zip(table["prompt"], table["completion"], strict=True):
        whole_function, alone = (ast.parse(text).body for text in (prompt + completion, prompt))
        assert len(whole_function) == len(alone) == 1
        assert ast.get_docstring(whole_function[0]) == ast.get_docstring(alone[0])  # type: ignore
        assert len(alone[0].body) == 1 < len(whole_function[0].body)  # type: ignore[attr-defined]
    row = table[table["file"].eq("textwrap.py") & table["prompt"].str.startswith("def dedent(")]
    assert '"""Remove any common leading whitespace' in row["prompt"].item()
    assert row["completion"].item().splitlines()[-1].startswith("    return ")


def test_functions_of_one_file_stay_in_one_split() -> None:
    data = load("stdlib-functions")
    assert (data.task, data.text, data.label) == ("instruction", ("prompt", "completion"), None)
    table = builtins.stdlib_functions().table.drop_duplicates(["prompt", "completion"])
    texts = map(dialogues.dump, (
        [{"role": "user", "content": p}, {"role": "assistant", "content": c}]
        for p, c in zip(table["prompt"], table["completion"], strict=True)
    ))  # fmt: skip
    files = dict(zip(texts, table["file"], strict=True))
    seen = [{files[text] for text in split["messages"]} for split in data.splits.values()]
    assert sum(map(len, seen)) == len(set().union(*seen)) > 100


def test_what_is_no_prompt_and_body_is_left_out() -> None:
    source = '''
class A:
    @staticmethod
    async def kept(x: int) -> int:
        """Five words are just enough."""
        # of x
        return x\x0c

    def short(self):
        """Too few words."""
        return 1

    def bare(self):
        """It has no body beside its docstring."""

def line(): """All of this on one line."""; return 1

class B:
    def left(self):
        """A text within it begins further left."""
        return """
x"""
'''
    assert list(builtins._functions(source)) == [
        (
            'async def kept(x: int) -> int:\n    """Five words are just enough."""\n',
            "    # of x\n    return x\x0c\n",
        )
    ]


def test_digits_are_features_not_text() -> None:
    data = load("digits")
    assert (data.task, data.text, data.label) == ("tabular-classification", (), "label")
    assert data.labels == tuple("0123456789")
    table = whole(data)
    assert list(table.columns) == ["features", "label"]
    assert len(table) == 1_797
    assert {len(row) for row in table["features"]} == {64}
    assert {type(value) for row in table["features"] for value in row} == {float}


def test_digits_keep_each_image_with_its_class() -> None:
    from sklearn.datasets import load_digits

    features, labels = load_digits(return_X_y=True)
    known = {tuple(row): label for row, label in zip(features.tolist(), labels, strict=True)}
    table = whole(load("digits", limit=100))
    assert len(table) == 100
    assert all(
        known[tuple(row)] == label
        for row, label in zip(table["features"], table["label"], strict=True)
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"name": "digits", "task": "causal-lm"},
            "the built-in 'digits' is made for tabular-classification, but got 'causal-lm'. "
            "Leave out --task, --text and --label",
        ),
        (
            {"name": "stdlib-docs", "task": "regression"},
            "the built-in 'stdlib-docs' is made for text-classification, but got 'regression'. "
            "Leave out --task, --text and --label",
        ),
        (
            {"name": "stdlib-docs", "label": "package"},
            "stdlib-docs: there is no column 'package'. Known: label, text",
        ),
    ],
)
def test_a_built_in_for_another_task_is_refused(options: dict[str, str], message: str) -> None:
    options = dict(options)
    with pytest.raises(InputError) as caught:
        load(options.pop("name"), **options)  # type: ignore[arg-type]
    assert str(caught.value) == message


def test_a_python_without_its_sources(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(builtins.sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    with pytest.raises(InputError) as caught:
        list(builtins._library_files())
    assert str(caught.value) == (
        f"this built-in needs the standard library's source files, but got '{tmp_path}'. "
        "Use a Python that ships them, or your own data file"
    )


@pytest.mark.parametrize("package", ["pandas", "sklearn"])
def test_a_missing_package_names_the_extra(package: str) -> None:
    program = f"import sys; sys.modules['{package}'] = None; import parsimony.core.data"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (
        f"MissingExtraError: this needs the package '{package}'. "
        "Install it with: pip install 'parsimony-ml[adapt]'" in result.stderr
    )
