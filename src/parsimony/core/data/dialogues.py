"""Instruction data: conversations, or prompts with their completions, as one column of JSON text.

A conversation is a list of messages, ``{"role": ..., "content": ...}``. A prompt and its completion
become one of two messages, of the user and of the assistant; the model's chat template (see
``core.inputs.instruction``) decides how either reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pandas as pd

from parsimony.core.data.files import is_missing
from parsimony.core.errors import DataError, nearest

ROLES = ("system", "developer", "user", "assistant", "tool")
ANSWER = "assistant"  # the role whose messages are learned


def conversations(values: pd.Series, file: str) -> pd.Series:
    """One JSON text per row from a column of message lists; equal conversations give equal text.

    Raises:
        DataError: no list of messages; a message without a known role or a text; keys beside
            these two that hold something; an empty answer, none at all, or one in the first place.
    """
    found = []
    for row, value in values.items():
        try:
            found.append(dump(_messages(value)))
        except _Fault as fault:
            raise DataError(
                fault.rule, file=file, row=row, column=str(values.name), **fault.rest
            ) from None
    return pd.Series(found, index=values.index, dtype=object)


def pairs(prompts: pd.Series, completions: pd.Series) -> pd.Series:
    """One JSON text per row from checked texts."""
    return pd.Series(
        [
            dump([{"role": "user", "content": prompt}, {"role": ANSWER, "content": completion}])
            for prompt, completion in zip(prompts, completions, strict=True)
        ],
        index=prompts.index,
        dtype=object,
    )


def dump(messages: list[dict[str, str]]) -> str:
    """The JSON text of a conversation."""
    return json.dumps(messages, ensure_ascii=False)


def load(text: str) -> list[dict[str, str]]:
    """The conversation that ``dump`` wrote."""
    found: list[dict[str, str]] = json.loads(text)
    return found


def is_conversation(value: object) -> bool:
    """Whether a cell looks like a list of messages."""
    return isinstance(value, list) and bool(value) and all(
        isinstance(message, dict) and "role" in message for message in value
    )  # fmt: skip


class _Fault(Exception):  # noqa: N818 (told as a DataError)
    """What is wrong with a conversation; ``rest`` goes to ``DataError``."""

    def __init__(self, rule: str, **rest: Any) -> None:
        self.rule, self.rest = rule, rest


def _messages(value: object) -> list[dict[str, str]]:
    if isinstance(value, str):
        raise _Fault(
            "messages must be a list of objects, and this cell holds text",
            hint="Cells of CSV and TSV files are text; use JSONL or Parquet",
        )
    if not isinstance(value, list) or not value:
        raise _Fault("messages must be a list with at least one message", got=value)
    found = [_message(message, number) for number, message in enumerate(value, 1)]
    answers = [number for number, message in enumerate(found, 1) if message["role"] == ANSWER]
    if not answers:
        raise _Fault(
            f"a conversation needs a message of the role '{ANSWER}', which is what is learned",
            got=[message["role"] for message in found],
        )
    if answers[0] == 1:
        raise _Fault(f"a conversation must not begin with the role '{ANSWER}'; nothing asks for it")
    return found


def _message(message: object, number: int) -> dict[str, str]:
    if not isinstance(message, dict):
        raise _Fault(f"message {number} must be an object with role and content", got=message)
    role, content = message.get("role"), message.get("content")
    if role is None:
        raise _Fault(f"message {number} must have a role", got=sorted(map(str, message)))
    if role not in ROLES:
        rule = f"message {number} has an unknown role '{role}'"
        raise _Fault(rule, hint=nearest(str(role), ROLES))
    more = [str(k) for k, v in message.items() if k not in ("role", "content") and v is not None]
    if more:
        raise _Fault(
            f"message {number} may hold role and content alone", got=sorted(more),
            hint="Remove the other keys; what they hold would not be learned",
        )  # fmt: skip
    if not isinstance(content, str):
        raise _Fault(f"message {number} must have a text as its content", got=content)
    if not content.isascii() and content != content.encode(errors="replace").decode():
        raise _Fault(f"message {number} must be valid Unicode, but has half a surrogate pair")
    if role == ANSWER and is_missing(content):
        raise _Fault(f"message {number} is an empty answer; there must be something to learn")
    return {"role": role, "content": content}


def columns_of(table: pd.DataFrame) -> tuple[str, ...]:
    """The column of conversations, or those of prompt and completion, by name; else nothing."""
    named = {str(column).strip().lower(): column for column in table.columns}
    chats: Iterable[object] = table[named["messages"]] if "messages" in named else ()
    if any(is_conversation(value) for value in chats):
        return (named["messages"],)
    if "prompt" in named and "completion" in named:
        return (named["prompt"], named["completion"])
    return ()
