"""Apply a run's model to new rows."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from parsimony.adapt.loading import Loaded
from parsimony.core.data import audio, read_rows
from parsimony.core.errors import InputError
from parsimony.core.pretrained import NEXT_TOKEN
from parsimony.core.scoring import outputs

if TYPE_CHECKING:
    import pandas as pd


def predict(loaded: Loaded, rows: pd.DataFrame, name: str, batch: int = 32) -> tuple[Any, str]:
    """Add predictions to ``rows``.

    Args:
        loaded: see ``load_run``.
        rows: with the text or sound column(s) of the training data; indexed by row number.
        name: of the input, for messages.
        batch: rows at a time.

    Returns:
        The rows with the columns ``prediction`` (class name or number) and, for classification,
        ``probability`` (of the predicted class, in [0, 1]); and a notice about cut inputs, or "".

    Raises:
        InputError: a model that predicts text, not labels; columns that would be overwritten.
        DataError: a missing column; a missing or unreadable text or sound.
    """
    origin = loaded.origin
    if origin["task"] in NEXT_TOKEN:
        raise InputError(
            "predict gives labels and numbers; this run trained a language model",
            hint="Load the adapter and generate; the report shows how",
        )
    for column in ("prediction", "probability"):
        if column in rows:
            raise InputError(
                f"{name} has a column '{column}' already", hint="Rename it, then try again"
            )
    reads, window = loaded.inputs, origin["window"]
    table = reads.checked(rows, origin["data"]["text"], name)
    encoded = reads.encode(table, window)
    parts = [logits for logits, _ in outputs(loaded.model, encoded, loaded.collator, batch)]
    logits = torch.cat(parts)
    result = rows.copy()
    if origin["task"] == "regression":
        result["prediction"] = logits.squeeze(-1).tolist()
    else:
        probability, index = logits.softmax(-1).max(-1)
        result["prediction"] = [origin["labels"][i] for i in index.tolist()]
        result["probability"] = probability.tolist()
    cut = reads.longer(table, window)
    notice = (
        f"{cut} of {len(table)} {reads.things} ({cut / len(table):.1%}) are longer than the "
        f"window of {window} {reads.unit} and were cut"
    )
    return result, notice if cut else ""


def records(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON objects; what JSON has no word for becomes text, and NaN ``None``."""
    return [
        {str(key): _plain(value) for key, value in row.items()} for row in rows.to_dict("records")
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, (str, int)) else str(value)


def encode(rows: pd.DataFrame, suffix: str) -> bytes:
    """The rows as a file of the format that ``suffix`` tells; JSONL for ``".json"``."""
    if suffix == ".parquet":
        stream = io.BytesIO()
        rows.to_parquet(stream, index=False)
        return stream.getvalue()
    if suffix in (".jsonl", ".ndjson", ".json"):
        lines = (json.dumps(record, ensure_ascii=False) for record in records(rows))
        return "".join(f"{line}\n" for line in lines).encode()
    text: str = rows.to_csv(index=False, sep="\t" if suffix == ".tsv" else ",")
    return text.encode()


def rows_of(argument: str, loaded: Loaded) -> pd.DataFrame:
    """The rows of a table, of ``"-"`` for stdin, or one per file of a folder of sounds."""
    folder = Path(argument)
    if loaded.origin["task"] == "audio-classification" and folder.is_dir():
        return audio.list_folder(folder, loaded.origin["data"]["text"][0])
    return read_rows(argument if argument == "-" else folder)
