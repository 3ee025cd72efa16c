"""Fold a run's adapter into its base model, and measure what that changed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

from parsimony.adapt.loading import Loaded, widened
from parsimony.adapt.method import method
from parsimony.core import artifacts, peft_border
from parsimony.core.errors import InputError
from parsimony.core.scoring import Rows, outputs
from parsimony.core.thrift import PLAIN

_ROWS = 256


def merge(loaded: Loaded, run: Path, out: Path) -> dict[str, Any]:
    """Write the merged model with its tokenizer or feature extractor to ``out``, in float32.

    Of a base in fewer bits the values that it stood for are merged into, and written: fewer bits
    could not hold the update.

    Args:
        loaded: see ``load_run``.
        run: the run folder; the first test rows measure the change.
        out: a new folder.

    Returns:
        ``rows`` compared, ``largest_change`` of an output, ``changed_predictions`` (count;
        ``None`` for regression, where the outputs are the predictions).

    Raises:
        InputError: the method cannot merge, or ``out`` exists.
    """
    name = loaded.origin["method"]["name"]
    if not loaded.adapter:
        raise InputError(f"'{name}' trained the whole model: it is merged already",
                         hint=f"Use {run / 'model'}")  # fmt: skip
    if not method(name).mergeable:
        raise peft_border.unmergeable(name)
    peft_border.refuse_unmergeable(loaded.model, name)
    if out.exists():
        raise InputError("the merged model needs a new folder", got=str(out), hint="Choose --out")
    rows = loaded.inputs.kept(run / "data", "test", loaded.origin["window"], limit=_ROWS)
    before = _logits(loaded, loaded.model, rows)
    wide = loaded.model if loaded.base == PLAIN.base else widened(loaded, run / "adapter")
    merged = peft_border.merged(wide)  # type: ignore[arg-type]
    pairs = list(zip(before, _logits(loaded, merged, rows), strict=True))
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    merged.save_pretrained(temporary, safe_serialization=True)
    loaded.inputs.save(temporary, loaded.origin["window"])
    measured = {
        "rows": len(rows),
        "largest_change": max(float(np.abs(b - a).max()) for b, a in pairs),
        "changed_predictions": None
        if loaded.origin["task"] == "regression"
        else int(sum((b.argmax(-1) != a.argmax(-1)).sum() for b, a in pairs)),
    }
    origin = {**loaded.origin, "merged": measured}
    artifacts.write_json(temporary / "parsimony.json", origin)
    artifacts.seal(temporary)
    temporary.rename(out)
    return measured


def _logits(loaded: Loaded, model: Any, rows: Rows) -> list[np.ndarray]:
    return [logits.cpu().numpy() for logits, _ in outputs(model, rows, loaded.collator, batch=32)]
