"""Reading tables: every format gives the values as given, and bad files say where they are bad."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parsimony.core.data import read_rows
from parsimony.core.data.files import is_missing
from parsimony.core.errors import DataError


def error(path: Path, content: str | bytes) -> str:
    """The message of reading ``content`` from ``path``, without the folder."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError) as caught:
        read_rows(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{path.parent}/", "")


def test_csv_cells_stay_as_given(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('text,label\nNA,01\nnull,1.0\n"a ""b"", c\nd",\n\nnan,True\n')
    table = read_rows(path)
    assert table["text"].tolist() == ["NA", "null", 'a "b", c\nd', "nan"]
    assert table["label"].tolist() == ["01", "1.0", None, "True"]
    assert table.index.tolist() == [1, 2, 3, 4]


def test_json_values_stay_as_given(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": "01", "b": 1}\n\n{"b": 1.5, "c": true}\n')
    table = read_rows(path)
    assert table["a"].tolist() == ["01", None]
    assert table["b"].tolist() == [1, 1.5]
    assert type(table["b"].iloc[0]) is int
    assert table["c"].tolist() == [None, True]
    assert table.index.tolist() == [1, 3]  # lines of the file


def test_parquet_integers_beside_missing_cells_stay_integers(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pd.DataFrame({"a": pd.array([1, None, 3], dtype="Int64")}).to_parquet(path)
    assert read_rows(path)["a"].tolist() == [1, None, 3]


def test_tsv_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_bytes(b"\xef\xbb\xbftext\tlabel\r\na, b\tx\r\n")
    assert read_rows(path).to_dict("list") == {"text": ["a, b"], "label": ["x"]}


def test_a_cell_longer_than_the_csv_modules_limit(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    path = tmp_path / "a.csv"
    path.write_text("text\n" + "x" * 200_000 + "\n")
    assert len(read_rows(path)["text"].iloc[0]) == 200_000
    assert csv.field_size_limit() == limit


def test_unnamed_columns_get_their_position_as_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",text\n0,a\n")
    assert list(read_rows(path).columns) == ["column 1", "text"]


@given(
    st.lists(
        st.tuples(st.text(st.characters(codec="utf-8")), st.text("ab,\"'")),
        min_size=1,
    )
)
def test_what_the_csv_module_writes_is_read_back(rows: list[tuple[str, str]]) -> None:
    stream = io.StringIO(newline="")
    csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *rows])
    from parsimony.core.data.files import _PARSERS

    table = _PARSERS[".csv"](stream.getvalue().encode(), "memory")
    cells = list(zip(table["a"], table["b"], strict=True))
    assert cells == [(a or None, b or None) for a, b in rows]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"text,label\na,1\n", {"text": ["a"], "label": ["1"]}),
        (b"text\tlabel\na\t1\n", {"text": ["a"], "label": ["1"]}),
        (b'{"text": "a", "label": 1}\n', {"text": ["a"], "label": [1]}),
        (b' [{"text": "a", "label": 1}]', {"text": ["a"], "label": [1]}),
    ],
)
def test_standard_input_is_recognised(
    content: bytes, expected: dict[str, list[object]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert read_rows("-").to_dict("list") == expected


def test_parquet_on_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    content = pd.DataFrame({"text": ["a"]}).to_parquet()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert read_rows("-")["text"].tolist() == ["a"]


def test_an_error_on_standard_input_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a,b\n1\n")))
    with pytest.raises(DataError, match=r"^standard input, row 1: a row needs 2 cells"):
        read_rows("-")


def test_chosen_columns_come_in_the_order_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b,c\n1,2,3\n")
    assert list(read_rows(path, columns=["c", "a"]).columns) == ["c", "a"]


def test_a_missing_column_names_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("sentence,label\na,b\n")
    with pytest.raises(DataError) as caught:
        read_rows(path, columns=["sentense"])
    assert str(caught.value) == (
        f"{path}: there is no column 'sentense'. Did you mean 'sentence'? Known: label, sentence"
    )


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: the file must exist\. Check the path"):
        read_rows(tmp_path / "none.csv")


def test_a_folder_where_a_file_should_be(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(DataError, match=r"a\.csv: the file must be readable \(Is a directory\)"):
        read_rows(tmp_path / "a.csv")


BAD_FILES = {
    "an unknown extension": (
        "a.xlsx", "x",
        "a.xlsx: the format of a data file is told by its extension, but got '.xlsx'. "
        "Known: .csv, .tsv, .jsonl, .ndjson, .json, .parquet",
    ),
    "no bytes": ("a.csv", "", "a.csv: a data set needs at least one row. The file is empty"),
    "no bytes of Parquet": (
        "a.parquet", "", "a.parquet: a data set needs at least one row. The file is empty",
    ),
    "only a header": (
        "a.csv", "text,label\n", "a.csv: a data set needs at least one row. The table is empty",
    ),
    "an empty list": (
        "a.json", "[]", "a.json: a data set needs at least one row. The table is empty",
    ),
    "a short row": (
        "a.csv", 'text,label\n"a\n\nb",x\nc\n',
        "a.csv, row 2: a row needs 2 cells like the header, but has 1. "
        "Quote cells that contain the delimiter",
    ),
    "a long row": (
        "a.tsv", "text\tlabel\na\tx\nb\ty\tz\n",
        "a.tsv, row 2: a row needs 2 cells like the header, but has 3. "
        "Quote cells that contain the delimiter",
    ),
    "an open quote": (
        "a.csv", 'text,label\na,x\n"b,y\n',
        "a.csv, row 2: a cell that starts with a quote must end with one (unexpected end of "
        "data). Write a quote inside a quoted cell twice",
    ),
    "a repeated column": (
        "a.csv", "text,text\na,b\n",
        "a.csv: column names must differ, but got ['text', 'text']",
    ),
    "latin-1 text": (
        "a.csv", "text,label\na,x\n\ncafé,y\n".encode("latin-1"),
        "a.csv, row 2: text must be UTF-8, but byte 19 is 0xe9. Save the file as UTF-8",
    ),
    "a bad byte in the header": (
        "a.csv", b"te\xffxt\na\n",
        "a.csv: text must be UTF-8, but byte 2 is 0xff. Save the file as UTF-8",
    ),
    "a bad byte after a byte-order mark": (
        "a.jsonl", b'\xef\xbb\xbf{"a": 1}\n{"a": "\xe9"}\n',
        "a.jsonl, row 2: text must be UTF-8, but byte 19 is 0xe9. Save the file as UTF-8",
    ),
    "a malformed line": (
        "a.jsonl", '{"a": 1}\n\n{"a": }\n',
        "a.jsonl, row 3: malformed JSON at character 7 (Expecting value)",
    ),
    "a line that is no object": (
        "a.jsonl", '{"a": 1}\n[1]\n', "a.jsonl, row 2: a row must be a JSON object, but got 'list'",
    ),
    "malformed JSON": (
        "a.json", '[\n{"a" 1}]', "a.json: malformed JSON at line 2 (Expecting ':' delimiter)",
    ),
    "JSON that is no list": (
        "a.json", '{"a": 1}',
        "a.json: a JSON file must hold a list of objects, but got 'dict'. "
        "One object per line is JSONL; name it .jsonl",
    ),
    "an element that is no object": (
        "a.json", '[{"a": 1}, "b"]', "a.json, row 2: a row must be a JSON object, but got 'str'",
    ),
    "JSON without end": ("a.json", "[" * 100_000, "a.json: JSON is nested too deeply"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_one_line_that_says_where(case: str, tmp_path: Path) -> None:
    name, content, message = BAD_FILES[case]
    assert error(tmp_path / name, content) == message


def test_what_is_no_parquet(tmp_path: Path) -> None:
    assert error(tmp_path / "a.parquet", "text").startswith("a.parquet: not a readable Parquet")


@pytest.mark.parametrize(
    ("value", "missing"),
    [(None, True), (float("nan"), True), (" \t", True), ("NA", False), (0, False), (False, False)],
)
def test_missing(value: object, missing: bool) -> None:
    assert is_missing(value) is missing


def test_objects_of_different_keys_are_one_table(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps([{"a": 1}, {"b": 2}]))
    assert read_rows(path).to_dict("list") == {"a": [1, None], "b": [None, 2]}
