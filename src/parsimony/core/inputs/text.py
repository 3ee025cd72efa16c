"""Texts as token ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from parsimony.core import artifacts, cost, pretrained
from parsimony.core.data import TaskData
from parsimony.core.errors import DataError, InputError, nearest
from parsimony.core.inputs.base import Inputs
from parsimony.core.pretrained import Pretrained
from parsimony.core.scoring import Collator, EncodedRows

if TYPE_CHECKING:
    from transformers import PretrainedConfig


class TextInputs(Inputs):
    """Texts, or pairs of them, through the model's tokenizer."""

    unit = "tokens"
    things = "texts"

    def __init__(self, model: Pretrained, task: str) -> None:
        self.task = task
        self.processor = pretrained.tokenizer(model)
        self.collator = Collator(self.processor, task)

    def longest(self, config: PretrainedConfig) -> int:
        """512 where the config does not say."""
        said = getattr(config, "max_position_embeddings", None) or 512
        return int(min(said, self.processor.model_max_length))

    def window(
        self, data: TaskData, config: PretrainedConfig, given: int | None
    ) -> tuple[int, list[str]]:
        most = self.longest(config)
        lengths = sorted(self._lengths(data.splits["train"]))
        if given is not None:
            pair = "text_pair" in data.splits["train"]
            least = self.processor.num_special_tokens_to_add(pair=pair) + 1 + pair
            if not least <= given <= most:
                raise InputError(
                    f"--window must be {least} to {most} tokens for this model", got=given
                )
            window, source = given, "given"
        else:
            covering = lengths[min(len(lengths) - 1, int(0.95 * len(lengths)))]
            window = min(most, 256, max(8, -(-covering // 8) * 8))
            source = f"default: covers 95 % of the training texts, at most {min(most, 256)}"
        notices = [f"window: {window} tokens ({source})"]
        if longer := sum(length > window for length in lengths):
            notices.append(
                f"{longer} of {len(lengths)} training texts ({longer / len(lengths):.1%}) are "
                "longer than the window and are cut"
            )
        return window, notices

    def _lengths(self, table: pd.DataFrame) -> list[int]:
        columns = [table[name].tolist() for name in ("text", "text_pair") if name in table]
        return [len(ids) for ids in self.processor(*columns, verbose=False)["input_ids"]]

    def keep(self, data: TaskData, folder: Path, window: int) -> None:
        """Copy the used columns of every split."""
        for name, table in data.splits.items():
            keep_table(table, folder / f"{name}.parquet")

    def kept(self, folder: Path, split: str, window: int, limit: int | None = None) -> EncodedRows:
        table = pd.read_parquet(folder / f"{split}.parquet")
        return self.encode(table if limit is None else table.head(limit), window)

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

    def example(
        self, config: PretrainedConfig, batch: int, window: int
    ) -> Callable[[], dict[str, Any]]:
        made: Callable[[], dict[str, Any]] = cost.text_batch(config, self.task, batch, window)
        return made


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


def keep_table(table: pd.DataFrame, file: Path) -> None:
    """Write a Parquet file, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.tmp")
    table.to_parquet(temporary, index=False)
    artifacts.write_bytes(file, temporary.read_bytes())
    temporary.unlink()
