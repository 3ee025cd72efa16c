"""Conversations and prompts with completions: what is found, kept, and refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from parsimony.core.data import dialogues, load
from parsimony.core.errors import DataError, InputError


def turns(*contents: str, roles: tuple[str, ...] = ("user", "assistant")) -> list[dict[str, Any]]:
    return [
        {"role": roles[n % len(roles)], "content": content} for n, content in enumerate(contents)
    ]


def jsonl(file: Path, rows: list[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def chats(count: int = 10) -> list[dict[str, Any]]:
    return [{"messages": turns(f"question {n}", f"answer {n}")} for n in range(count)]


def test_messages_are_found_by_name_and_shape(tmp_path: Path) -> None:
    data = load(jsonl(tmp_path / "a.jsonl", [{"id": n, **row} for n, row in enumerate(chats())]))
    assert (data.task, data.text, data.label) == ("instruction", ("messages",), None)
    assert data.notices == (
        "The conversations are in 'messages'; pass --text to choose others.",
        "The task is instruction; pass --task to choose another.",
    )
    rows = [text for table in data.splits.values() for text in table["messages"]]
    assert sorted(rows) == [dialogues.dump(row["messages"]) for row in chats()]
    assert [len(data.splits[name]) for name in ("train", "validation", "test")] == [6, 2, 2]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet"])
def test_prompts_and_completions_become_conversations(tmp_path: Path, name: str) -> None:
    table = pd.DataFrame({"Prompt": [f"{n}+1=" for n in range(10)],
                          "completion": [str(n + 1) for n in range(10)]})  # fmt: skip
    file = tmp_path / name
    if name == "a.csv":
        table.to_csv(file, index=False)
    elif name == "a.parquet":
        table.to_parquet(file)
    else:
        jsonl(file, table.to_dict("records"))  # type: ignore[arg-type]
    data = load(file)
    assert (data.task, data.text) == ("instruction", ("Prompt", "completion"))
    assert data.notices[0] == (
        "The prompts and completions are in 'Prompt', 'completion'; pass --text to choose others."
    )
    found = {text for table in data.splits.values() for text in table["messages"]}
    assert found == {dialogues.dump(turns(f"{n}+1=", str(n + 1))) for n in range(10)}
    assert dialogues.load(next(iter(found)))[0]["role"] == "user"


def test_parquet_reads_as_jsonl_does(tmp_path: Path) -> None:
    """Parquet gives every message every key; those that hold nothing are no difference."""
    rows = chats()
    rows[0]["messages"] = [{"role": "system", "content": "Be brief.", "name": None},
                           *rows[0]["messages"]]  # fmt: skip
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    first = load(tmp_path / "a.parquet")
    assert first.fingerprint == load(jsonl(tmp_path / "a.jsonl", rows)).fingerprint


def test_columns_of_other_names_are_given(tmp_path: Path) -> None:
    rows = [{"ask": f"q{n}", "say": f"a{n}"} for n in range(10)]
    data = load(jsonl(tmp_path / "a.jsonl", rows), text="ask,say", task="instruction")
    assert data.text == ("ask", "say") and data.notices == ()
    rows = [{"talk": row["messages"]} for row in chats()]
    data = load(jsonl(tmp_path / "b.jsonl", rows), text="talk", task="instruction")
    assert data.text == ("talk",) and data.notices == ()


def test_a_label_or_another_task_wins(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{n}", "completion": "c", "label": "ab"[n % 2]} for n in range(20)]
    file = jsonl(tmp_path / "a.jsonl", rows)
    assert load(file).task == "text-classification"
    assert load(file, task="instruction").label is None
    assert load(file, task="causal-lm", text="prompt").task == "causal-lm"


def test_repeated_conversations_are_left_out(tmp_path: Path) -> None:
    data = load(jsonl(tmp_path / "a.jsonl", chats() + chats(2)))
    assert sum(map(len, data.splits.values())) == 10
    assert data.notices[-1] == "2 rows repeat another and are left out before splitting."


USER, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ("hello", "messages must be a list of objects, and this cell holds text. Cells of CSV and "
                  "TSV files are text; use JSONL or Parquet"),
        ([], "messages must be a list with at least one message, but got []"),
        (None, "messages must be a list with at least one message, but got None"),
        (["hi"], "message 1 must be an object with role and content, but got 'hi'"),
        ([USER, {"content": "a"}], "message 2 must have a role, but got ['content']"),
        ([USER, {"role": "asistant", "content": "a"}],
         "message 2 has an unknown role 'asistant'. Did you mean 'assistant'? Known: assistant, "
         "developer, system, tool, user"),
        ([{"role": "user", "content": ["q"]}, ANSWER],
         "message 1 must have a text as its content, but got ['q']"),
        ([{"role": "user", "content": "\ud800"}, ANSWER],
         "message 1 must be valid Unicode, but has half a surrogate pair"),
        ([USER, {"role": "assistant", "content": " \n"}],
         "message 2 is an empty answer; there must be something to learn"),
        ([USER, {**ANSWER, "tool_calls": [1]}],
         "message 2 may hold role and content alone, but got ['tool_calls']. Remove the other "
         "keys; what they hold would not be learned"),
        ([USER], "a conversation needs a message of the role 'assistant', which is what is "
                 "learned, but got ['user']"),
        ([ANSWER, USER],
         "a conversation must not begin with the role 'assistant'; nothing asks for it"),
    ],
)  # fmt: skip
def test_a_bad_conversation_is_located(tmp_path: Path, messages: object, said: str) -> None:
    rows = chats()
    rows[6]["messages"] = messages  # type: ignore[assignment]
    file = jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError) as error:
        load(file)
    assert str(error.value) == f"{file}, row 7, column 'messages': {said}"


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("completion", " ", "a completion must not be missing; this row has none. Fill the cells "
                            "or remove the rows"),
        ("prompt", None, "a prompt must not be missing; this row has none. Fill the cells or "
                         "remove the rows"),
        ("completion", 7, "a completion must be a string, but got 7. Pass --text with another "
                          "column"),
    ],
)  # fmt: skip
def test_a_bad_pair_is_located(tmp_path: Path, column: str, value: object, said: str) -> None:
    rows: list[dict[str, Any]] = [{"prompt": f"q{n}", "completion": f"a{n}"} for n in range(10)]
    rows[2][column] = value
    file = jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError) as error:
        load(file)
    assert str(error.value) == f"{file}, row 3, column '{column}': {said}"


def test_messages_in_a_csv_are_refused_by_rule(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    cells = [json.dumps(row["messages"]) for row in chats()]
    pd.DataFrame({"messages": cells}).to_csv(file, index=False)
    with pytest.raises(DataError) as error:
        load(file, task="instruction", text="messages")
    assert str(error.value) == (
        f"{file}, row 1, column 'messages': messages must be a list of objects, and this cell "
        "holds text. Cells of CSV and TSV files are text; use JSONL or Parquet"
    )


def test_what_does_not_fit_the_task_is_refused(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "a.jsonl", [{"a": f"q{n}", "b": f"a{n}"} for n in range(10)])
    with pytest.raises(DataError) as missing:
        load(file, task="instruction")
    assert str(missing.value) == (
        f"{file}: instruction needs a column 'messages', or the columns 'prompt' and "
        "'completion'. Pass --text with one or two of: 'a', 'b'"
    )
    with pytest.raises(InputError) as labelled:
        load(file, task="instruction", label="a")
    assert str(labelled.value) == (
        "instruction learns the text itself and takes no label, but got 'a'"
    )
