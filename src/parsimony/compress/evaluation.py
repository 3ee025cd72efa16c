"""How good a model is, row by row, before and after: what the evidence rests on."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from parsimony.core.errors import InputError
from parsimony.core.scoring import METRICS, Collator, EncodedRows, Metric, score

if TYPE_CHECKING:
    import pandas as pd
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

LOSS = Metric("loss per token", "nats", False)
BOUND = Metric("bound on the loss per token", "nats", False)
LIKENESS = Metric("cosine to the original's embeddings", "share", True)


@dataclass(frozen=True)
class Evaluation:
    """A score for every row of held-out data, the same rows for every model.

    Attributes:
        metric: what a score means.
        rows: a model to its scores, float64 [rows].
    """

    metric: Metric
    rows: Callable[[nn.Module], np.ndarray] = field(repr=False)

    def summary(self, scores: np.ndarray) -> dict[str, float]:
        """What is shown of one model: the mean, and the perplexity where it means that."""
        mean = float(scores.mean())
        found = {"score": mean}
        if self.metric == LOSS:
            found["perplexity"] = math.exp(mean) if mean < 700 else math.inf
        return found


def loss_per_token(windows: Tensor, batch: int = 8) -> Evaluation:
    """Nats per token of each window of a model that reads from left to right.

    Args:
        windows: token ids, [rows, window].
        batch: windows at a time.
    """

    def rows(model: nn.Module) -> np.ndarray:
        def losses(ids: Tensor) -> Tensor:
            logits = model(input_ids=ids).logits.float()
            return nn.functional.cross_entropy(
                logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none"
            ).mean(1)

        return _by_batches(model, windows, batch, losses)

    return Evaluation(LOSS, rows)


def likeness(windows: Tensor, original: nn.Module, batch: int = 8) -> Evaluation:
    """Cosine of each window's mean hidden state to what the original makes of it; no labels needed.

    Args:
        windows: token ids, [rows, window].
        original: the model as it was; it is run now and not kept.
        batch: windows at a time.
    """

    def embeddings(model: nn.Module, ids: Tensor) -> Tensor:
        output = model(input_ids=ids, output_hidden_states=True)
        return nn.functional.normalize(output.hidden_states[-1].float().mean(1), dim=-1)

    def embed(model: nn.Module) -> list[Tensor]:
        model.eval()
        with torch.inference_mode():
            return [embeddings(model, ids) for ids in windows.split(batch)]

    wanted = embed(original)

    def rows(model: nn.Module) -> np.ndarray:
        parts = [(a * b).sum(-1) for a, b in zip(embed(model), wanted, strict=True)]
        return np.asarray(torch.cat(parts).double().numpy())

    return Evaluation(LIKENESS, rows)


def bound_per_token(windows: Tensor, batch: int = 8) -> Evaluation:
    """Upper bound on the nats per token of each window, of a masked-diffusion model.

    Args:
        windows: token ids, [rows, window].
        batch: windows at a time.
    """

    def rows(model: nn.Module) -> np.ndarray:
        return _by_batches(model, windows, batch, model.bound)  # type: ignore[arg-type]

    return Evaluation(BOUND, rows)


def accuracy(
    table: pd.DataFrame,
    labels: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    model: PreTrainedModel,
    window: int,
    batch: int = 8,
) -> Evaluation:
    """Whether a classifier names each row's label.

    Args:
        table: columns ``text``, maybe ``text_pair``, and ``label`` (a number of ``labels``).
        labels: class names of the data.
        tokenizer: of the model.
        model: whose config names its classes.
        window: longest input in tokens.
        batch: rows at a time.

    Raises:
        InputError: classes that are not the model's.
    """
    own = {str(name): int(number) for number, name in model.config.id2label.items()}
    if set(own) != set(labels):
        raise InputError(
            "the data's labels must be the classes that the model's config names",
            got=sorted(labels)[:6],
            hint=f"The model knows {sorted(own)[:6]}",
        )
    numbered = table.assign(label=[own[labels[number]] for number in table["label"]])
    task = "text-pair-classification" if "text_pair" in table else "text-classification"
    encoded, collate = EncodedRows(numbered, tokenizer, window), Collator(tokenizer, task)

    def rows(found: nn.Module) -> np.ndarray:
        return score(found, encoded, collate, task, batch).scores

    return Evaluation(METRICS[task], rows)


def _by_batches(
    model: nn.Module, windows: Tensor, batch: int, score: Callable[[Tensor], Tensor]
) -> np.ndarray:
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode():
        parts = [score(ids.to(device)).double().cpu() for ids in windows.split(batch)]
    return np.asarray(torch.cat(parts).numpy())


def evaluation_for(
    model: nn.Module, windows: Tensor, batch: int = 8, function: str | None = None
) -> Evaluation:
    """The evaluation that a model calls for: a bound where it has one, a loss where it predicts the
    next token, else the likeness of what it makes of a text to what ``model`` makes of it.

    Args:
        model: as it was before anything was done to it.
        windows: token ids of held-out texts, [rows, window].
        batch: windows at a time.
        function: ``FILE.py:FUNCTION`` of the user instead, see ``own``.

    Raises:
        InputError: of ``own``.
    """
    if function is not None:
        return own(function)
    if hasattr(model, "bound"):
        return bound_per_token(windows, batch)
    if getattr(model, "can_generate", lambda: False)():
        return loss_per_token(windows, batch)
    return likeness(windows, model, batch)


def own(function: str) -> Evaluation:
    """A function of the user: the model to a score per row, higher being better.

    Args:
        function: ``FILE.py:FUNCTION``.

    Raises:
        InputError: no such file or function; scores that are not finite numbers, one per row.
    """
    file, _, name = function.rpartition(":")
    path = Path(file)
    if path.suffix != ".py" or not path.is_file():
        raise InputError(
            "an evaluation is FILE.py:FUNCTION", got=function, hint="Check that the file is there"
        )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(found := getattr(module, name, None)):
        raise InputError(f"{path} must define the function '{name}'", got=function)

    def rows(model: nn.Module) -> np.ndarray:
        model.eval()
        with torch.no_grad():
            scores = np.asarray(found(model), dtype=np.float64)
        if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
            raise InputError(
                f"{function} must return a finite score for every row",
                got=scores.tolist() if scores.size < 9 else f"shape {scores.shape}",
            )
        return scores

    return Evaluation(Metric(name, "score", True), rows)
