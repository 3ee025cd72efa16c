"""``parsimony predict``: rows in, the same rows with answers out, in the format they came in."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import made_runs
import pandas as pd
import pytest

from parsimony.cli import main

Call = Callable[..., tuple[int, str, str]]
ROWS = [{"ticket": f"{i:03d}", "note": text} for i, text in enumerate(made_runs.texts(5))]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_runs.make(tmp_path_factory.mktemp("predicting"), {"lora": 2}).folder


@pytest.fixture
def call(
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Call:
    monkeypatch.chdir(tmp_path)

    def predict(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        source = io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin)))  # type: ignore[arg-type]
        monkeypatch.setattr("sys.stdin", source)
        with pytest.raises(SystemExit) as stop:
            main(["predict", str(run), *arguments])
        shown = capsys.readouterr()
        return int(stop.value.code or 0), shown.out, shown.err

    return predict


def as_csv(delimiter: str = ",", rows: list[dict[str, str]] = ROWS) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()


def as_jsonl() -> str:
    return "".join(json.dumps(row) + "\n" for row in ROWS)


def checked(found: list[dict[str, object]]) -> None:
    """The rows are as they were, each with a class and a probability."""
    assert [{k: row[k] for k in ("ticket", "note")} for row in found] == ROWS
    for row in found:
        assert list(row) == ["ticket", "note", "prediction", "probability"]
        assert row["prediction"] in made_runs.KINDS
        assert 1 / 3 <= float(str(row["probability"])) <= 1


@pytest.mark.parametrize(("name", "delimiter"), [("new.csv", ","), ("new.tsv", "\t")])
def test_tables(call: Call, name: str, delimiter: str) -> None:
    Path(name).write_text(as_csv(delimiter), encoding="utf-8")
    code, out, err = call(name)
    assert (code, err) == (0, "")
    checked(list(csv.DictReader(io.StringIO(out), delimiter=delimiter)))


@pytest.mark.parametrize("name", ["new.jsonl", "new.ndjson"])
def test_lines_of_json(call: Call, name: str) -> None:
    Path(name).write_text(as_jsonl(), encoding="utf-8")
    code, out, err = call(name)
    assert (code, err) == (0, "")
    checked([json.loads(line) for line in out.splitlines()])


def test_a_list_of_json_is_answered_in_lines(call: Call) -> None:
    Path("new.json").write_text(json.dumps(ROWS), encoding="utf-8")
    checked([json.loads(line) for line in call("new.json")[1].splitlines()])


def test_standard_input_is_answered_in_its_own_format(call: Call) -> None:
    code, out, err = call("-", stdin=as_csv().encode())
    assert (code, err) == (0, "")
    checked(list(csv.DictReader(io.StringIO(out))))
    code, out, _ = call(stdin=as_jsonl().encode())  # - is the default
    assert code == 0
    checked([json.loads(line) for line in out.splitlines()])
    code, out, _ = call(stdin=as_csv("\t").encode())
    checked(list(csv.DictReader(io.StringIO(out), delimiter="\t")))


def test_a_file_has_the_format_of_its_name(call: Call) -> None:
    Path("new.csv").write_text(as_csv(), encoding="utf-8")
    assert call("new.csv", "--out", "a/out.jsonl") == (0, "", "5 rows written to a/out.jsonl\n")
    checked([json.loads(line) for line in Path("a/out.jsonl").read_text().splitlines()])
    assert call("new.csv", "--out", "b/out.parquet", "--quiet") == (0, "", "")
    checked(pd.read_parquet("b/out.parquet").to_dict("records"))  # type: ignore[arg-type]
    assert call("new.csv", "--out", "out.txt") == (
        2, "",
        "parsimony: the format of --out is told by its extension, but got 'out.txt'. Use .csv, "
        ".tsv, .jsonl or .parquet\n",
    )  # fmt: skip


def test_parquet_goes_to_a_file(call: Call) -> None:
    pd.DataFrame(ROWS).to_parquet("new.parquet", index=False)
    line = "parsimony: a Parquet answer needs a file. Give --out FILE\n"
    assert call("new.parquet") == (2, "", line)
    assert call("-", stdin=Path("new.parquet").read_bytes()) == (2, "", line)
    assert call("new.parquet", "--out", "out.parquet", "--quiet")[0] == 0
    checked(pd.read_parquet("out.parquet").to_dict("records"))  # type: ignore[arg-type]


def test_json_holds_what_only_parquet_can_say(call: Call) -> None:
    table = pd.DataFrame(ROWS)
    table["day"] = pd.Timestamp("2026-08-01")
    table.to_parquet("new.parquet", index=False)
    code, out, err = call("new.parquet", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found[0]["day"].startswith("2026-08-01")
    assert [row["note"] for row in found] == [row["note"] for row in ROWS]


def test_the_answer_does_not_depend_on_the_batch(call: Call) -> None:
    Path("new.csv").write_text(as_csv(), encoding="utf-8")
    one = list(csv.DictReader(io.StringIO(call("new.csv", "--batch", "1")[1])))
    all_ = list(csv.DictReader(io.StringIO(call("new.csv")[1])))
    assert [row["prediction"] for row in one] == [row["prediction"] for row in all_]
    for a, b in zip(one, all_, strict=True):
        assert float(a["probability"]) == pytest.approx(float(b["probability"]), abs=1e-5)


def test_cut_texts_are_told(call: Call) -> None:
    rows = [{"note": "x" * 22}, {"note": "x" * 23}]
    Path("new.csv").write_text(as_csv(rows=rows), encoding="utf-8")
    assert call("new.csv")[2] == (
        "1 of 2 texts (50.0%) are longer than the window of 24 tokens and were cut\n"
    )
    assert call("new.csv", "--quiet")[2] == ""


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            "ticket,nott\n1,a\n",
            "new.csv: the text column 'note' must be there. Did you mean 'nott'? Known: nott, "
            "ticket",
        ),
        (
            "note,kind\na,\n,x\n",
            "new.csv, row 2, column 'note': the text must not be missing, but got None",
        ),
        (
            "note,prediction\na,b\n",
            "new.csv has a column 'prediction' already. Rename it, then try again",
        ),
        ("", "new.csv: a data set needs at least one row. The file is empty"),
    ],
)
def test_bad_input_gets_one_line(call: Call, content: str, line: str) -> None:
    Path("new.csv").write_text(content, encoding="utf-8")
    assert call("new.csv") == (2, "", f"parsimony: {line}\n")


def test_other_faults_get_one_line(call: Call, tmp_path: Path) -> None:
    assert call("gone.csv") == (
        2, "", "parsimony: gone.csv: the file must exist. Check the path\n"
    )  # fmt: skip
    assert call("gone.csv", "--batch", "0") == (
        2, "", "parsimony: --batch must be positive, but got 0\n"
    )  # fmt: skip
    assert call(stdin=b"note\na\n\n,\n")[2] == (
        "parsimony: standard input, row 2: a row needs 1 cells like the header, but has 2. Quote "
        "cells that contain the delimiter\n"
    )
