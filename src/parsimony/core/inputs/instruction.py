"""Instructions as token ids, with a label on every token of an answer and on no other.

A conversation reads as the tokenizer's chat template writes it. Where its answers are comes from
the template's own ``{% generation %}`` marks; where it has none, from the length of the text that
the template writes before an answer and with it, the white space behind an answer left out. A
prompt and its completion without a template are put together as they are, with the end-of-text
token behind. A token that holds a character of an answer is learned.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from parsimony.core.data import TaskData, dialogues
from parsimony.core.data.check import prepare
from parsimony.core.data.columns import Columns
from parsimony.core.errors import InputError
from parsimony.core.generation import Question
from parsimony.core.inputs.tokens import CHUNK, TokenInputs
from parsimony.core.pretrained import Pretrained

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_MOST = 1024  # tokens of a window that nobody asked for
_MARKED = re.compile(r"\{%-?\s*generation\b")

Chat = list[dict[str, str]]


class InstructionInputs(TokenInputs):
    """Conversations, or prompts with completions.

    Raises:
        InputError: a tokenizer that cannot tell which characters a token stands for.
    """

    things = "conversations"

    def __init__(self, model: Pretrained, task: str) -> None:
        super().__init__(model, task)
        if not self.processor.is_fast:
            raise InputError(
                "instruction needs a fast tokenizer, which knows the characters of each token",
                got=type(self.processor).__name__,
                hint="Save one as tokenizer.json in the model's folder",
            )
        self._template = self.processor.chat_template and self.processor.get_chat_template()

    def teaches(self, row: dict[str, Any]) -> bool:
        """Whether a token of an answer, which others come before, is inside the window."""
        return any(label != -100 for label in row["labels"][1:])

    def window(
        self, data: TaskData, config: PretrainedConfig, given: int | None
    ) -> tuple[int, list[str]]:
        if self._template is None and len(data.text) == 1:
            raise InputError(
                "messages need a chat template, and this model's tokenizer has none",
                hint="Put its chat_template.jinja into the model's folder, or give columns of "
                "prompts and completions",
            )
        lengths: list[int] = []
        firsts: dict[str, list[int]] = {}
        learned = 0
        for split, table in data.splits.items():
            firsts[split] = []
            for row in self._whole(table):
                places = [n for n, label in enumerate(row["labels"]) if n and label != -100]
                if not places:
                    raise InputError(
                        "the chat template must write an answer of every conversation",
                        got=self.processor.decode(row["input_ids"]),
                        hint="Use another template, or remove such rows",
                    )
                firsts[split].append(places[0])
                if split == "train":
                    lengths.append(len(row["labels"]))
                    learned += len(places)
        window, notices = self.fit(lengths, self.longest(config), given, least=2, cap=_MOST)
        notices.append(
            f"loss on answers alone: {learned / sum(lengths):.1%} of the training tokens"
        )
        if self._template is None:
            end = self.processor.eos_token
            behind = f"'{end}' behind them" if end else "no end-of-text token to put behind them"
            notices.append(
                "the tokenizer has no chat template: prompt and completion are put together as "
                f"they are, with {behind}"
            )
        return window, [*notices, *_cut(firsts, window)]

    def checked(self, rows: pd.DataFrame, columns: list[str], name: str) -> pd.DataFrame:
        return prepare(rows, Columns("instruction", tuple(columns), None, ()), name)

    def encode(self, table: pd.DataFrame, window: int) -> list[dict[str, Any]]:
        return [{key: ids[:window] for key, ids in row.items()} for row in self._whole(table)]

    def longer(self, table: pd.DataFrame, window: int) -> int:
        return sum(len(row["labels"]) > window for row in self._whole(table))

    def questions(
        self, table: pd.DataFrame, window: int, tokens: int, limit: int
    ) -> list[Question]:
        """The first ``limit`` rows whose prompt leaves room for an answer, to be asked.

        A prompt is all that is read before the last answer. It does not depend on the method or
        on the other rows which of them fit.

        Args:
            table: rows of a split.
            window: longest prompt and answer together.
            tokens: room for the answer.
            limit: most rows.
        """
        found: list[Question] = []
        for text, row in zip(table["messages"], self._whole(table), strict=True):
            labels = row["labels"]
            begin = max(n for n in range(1, len(labels)) if labels[n] != -100 == labels[n - 1])
            if begin + tokens <= window:
                said = [m["content"] for m in dialogues.load(text) if m["role"] == dialogues.ANSWER]
                found.append(Question(row["input_ids"][:begin], said[-1]))
            if len(found) == limit:
                break
        return found

    def stops(self, table: pd.DataFrame) -> list[int]:
        """Ids that end an answer: the end-of-text token, and the mark that a template puts there.

        Args:
            table: rows to find the mark in, at least one.
        """
        marks = {i for i, token in self.processor.added_tokens_decoder.items() if token.special}
        row = next(self._whole(table.iloc[:1]))
        last = [i for i in row["labels"] if i != -100][-1]
        found = {self.processor.eos_token_id, last if last in marks else None}
        return sorted(i for i in found if i is not None)

    def _whole(self, table: pd.DataFrame) -> Iterator[dict[str, list[int]]]:
        """Encoded rows of any length: ``input_ids``, ``attention_mask`` and ``labels``."""
        texts = table["messages"].tolist()
        for start in range(0, len(texts), CHUNK):
            chats = [dialogues.load(text) for text in texts[start : start + CHUNK]]
            marked = self._template is not None and _MARKED.search(self._template)
            found = (self._by_marks if marked else self._by_spans)(chats)
            for ids, learned in found:
                labels = [i if yes else -100 for i, yes in zip(ids, learned, strict=True)]
                yield {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": labels}

    def _by_marks(self, chats: list[Chat]) -> Iterator[tuple[list[int], list[bool]]]:
        how = {"tokenize": True, "return_dict": True, "return_assistant_tokens_mask": True}
        for chat in chats:
            found = self._apply(chat, **how)
            yield found["input_ids"], [bool(mark) for mark in found["assistant_masks"]]

    def _by_spans(self, chats: list[Chat]) -> Iterator[tuple[list[int], list[bool]]]:
        plain = self._template is None
        written = [self._joined(chat) if plain else self._written(chat) for chat in chats]
        encoded = self.processor(
            [text for text, _ in written],
            add_special_tokens=plain,  # a template writes them itself
            return_offsets_mapping=True,
            verbose=False,
        )
        for ids, offsets, (_, spans) in zip(
            encoded["input_ids"], encoded["offset_mapping"], written, strict=True
        ):
            # Some tokenizers leave white space out of a token's characters: it may have none.
            learned = [
                any(end > first and (begin < last or end <= last) for first, last in spans)
                for begin, end in offsets
            ]
            if plain and (end_id := self.processor.eos_token_id) is not None:
                if ids[-1] == end_id:  # by the tokenizer's own rule
                    learned[-1] = True
                else:
                    ids, learned = [*ids, end_id], [*learned, True]
            yield ids, learned

    def _joined(self, chat: Chat) -> tuple[str, list[tuple[int, int]]]:
        prompt, completion = (message["content"] for message in chat)
        return prompt + completion, [(len(prompt), len(prompt + completion))]

    def _written(self, chat: Chat) -> tuple[str, list[tuple[int, int]]]:
        """A conversation's text, and where its answers begin and end."""
        text = self._apply(chat, tokenize=False)
        spans = []
        for number, message in enumerate(chat):
            if message["role"] != dialogues.ANSWER:
                continue
            before = self._apply(chat[:number], tokenize=False, add_generation_prompt=True)
            through = self._apply(chat[: number + 1], tokenize=False)
            if not (text.startswith(through) and through.startswith(before)):
                raise InputError(
                    "the chat template must write the beginning of a conversation as it writes "
                    "the whole, so that answers can be found in it",
                    got=[turn["role"] for turn in chat],
                    hint="Use a template that marks them with {% generation %}, or rows of one "
                    "answer each",
                )
            spans.append((len(before), len(through.rstrip())))
        return text, spans

    def _apply(self, chat: Chat, **how: bool) -> Any:
        from jinja2 import TemplateError

        try:
            return self.processor.apply_chat_template(chat, **how)
        except TemplateError as error:
            raise InputError(
                f"the model's chat template refuses a conversation ({error})",
                got=[message["role"] for message in chat],
                hint="Change the order of the roles, or leave some out",
            ) from error


def _cut(firsts: dict[str, list[int]], window: int) -> Iterator[str]:
    """Sentences about rows whose answers all lie beyond the window.

    Args:
        firsts: by split, the place of the first learned token of every row, from 0.
        window: longest input in tokens.
    """
    for split, places in firsts.items():
        lost = sum(place >= window for place in places)
        if lost == len(places):
            raise InputError(
                f"the window of {window} tokens leaves out every answer of the {split} split",
                hint=f"--window must be at least {min(places) + 1}",
            )
        if lost:
            what = "1 row loses its" if lost == 1 else f"{lost} rows lose their"
            yield (
                f"{what} whole answer to the window and {'is' if lost == 1 else 'are'} left out "
                f"of the {len(places)} of the {split} split; an answer begins after "
                f"{max(places)} tokens at the latest"
            )
