"""Texts as token ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from parsimony.core.data import TaskData
from parsimony.core.errors import DataError, nearest
from parsimony.core.inputs.tokens import CHUNK, TokenInputs
from parsimony.core.scoring import EncodedRows

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_MOST = 256  # tokens of a window that nobody asked for


class TextInputs(TokenInputs):
    """Texts, or pairs of them."""

    def window(
        self, data: TaskData, config: PretrainedConfig, given: int | None
    ) -> tuple[int, list[str]]:
        train = data.splits["train"]
        pair = "text_pair" in train
        least = self.processor.num_special_tokens_to_add(pair=pair) + 1 + pair
        return self.fit(self._lengths(train), self.longest(config), given, least=least, cap=_MOST)

    def _lengths(self, table: pd.DataFrame) -> list[int]:
        names = [name for name in ("text", "text_pair") if name in table]
        found: list[int] = []
        for start in range(0, len(table), CHUNK):
            columns = [table[name].iloc[start : start + CHUNK].tolist() for name in names]
            found += map(len, self.processor(*columns, verbose=False)["input_ids"])
        return found

    def checked(self, rows: pd.DataFrame, columns: list[str], name: str) -> pd.DataFrame:
        for column in columns:
            if column not in rows:
                raise DataError(
                    f"the text column '{column}' must be there",
                    file=name,
                    hint=nearest(column, map(str, rows.columns)),
                )
        if not len(rows):
            raise DataError("there must be at least one row", file=name)
        found = rows[columns].copy()
        found.columns = ["text", "text_pair"][: len(columns)]
        for new, old in zip(found.columns, columns, strict=True):
            for row, value in found[new].items():
                _refuse_unreadable(value, name, int(str(row)), old)
        return found

    def encode(self, table: pd.DataFrame, window: int) -> EncodedRows:
        return EncodedRows(table, self.processor, window)

    def longer(self, table: pd.DataFrame, window: int) -> int:
        return sum(length > window for length in self._lengths(table))


def _refuse_unreadable(value: object, file: str, row: int, column: str) -> None:
    if not isinstance(value, str):
        raise DataError(
            "the text must not be missing" if value is None else "the text must be text",
            file=file, row=row, column=column, got=value,
        )  # fmt: skip
    if not value.isascii() and value != value.encode(errors="replace").decode():
        raise DataError(
            "the text must be valid Unicode, but has half a surrogate pair",
            file=file, row=row, column=column,
        )  # fmt: skip
