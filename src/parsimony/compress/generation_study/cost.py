"""What a model costs when it writes: time to the first token, tokens per second, peak memory."""

from __future__ import annotations

import statistics
import tempfile
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from parsimony.compress.export import save
from parsimony.compress.quantizing import Quantized
from parsimony.core import pretrained
from parsimony.core.errors import InputError, MissingExtraError
from parsimony.core.footprint import Figure
from parsimony.core.generation import answers
from parsimony.core.meter import forget_peak, peak_memory

if TYPE_CHECKING:
    from transformers import PreTrainedModel

WARM_UP = 2
PASSES = 5


@dataclass(frozen=True)
class Pace:
    """Medians of passes.

    Attributes:
        batch: prompts at a time.
        first: seconds until each of them has its first new token.
        rate: new tokens per second, of all prompts together, the first included.
    """

    batch: int
    first: float
    rate: float


def pace(model: nn.Module, prompt: Sequence[int], batch: int, tokens: int) -> Pace:
    """Time greedy decoding that nothing ends before ``tokens`` new ones.

    Args:
        model: a causal language model.
        prompt: token ids, the same for the whole batch.
        batch: prompts at a time.
        tokens: new ones of each.
    """

    def seconds(count: int) -> float:
        taken = []
        for _ in range(WARM_UP + PASSES):
            begin = time.perf_counter()
            answers(model, [list(prompt)] * batch, tokens=count, stops=[], batch=batch)
            taken.append(time.perf_counter() - begin)
        return statistics.median(taken[WARM_UP:])

    return Pace(batch, seconds(1), batch * tokens / seconds(tokens))


def peak(model: nn.Module, prompts: Sequence[list[int]], tokens: int) -> Figure:
    """Peak memory while these are gone on with at once: CUDA allocations, or the resident set of
    this process, which holds whatever else it has loaded.
    """
    device = next(model.parameters()).device.type
    forget_peak(device)
    answers(model, prompts, tokens=tokens, stops=[], batch=len(prompts))
    return peak_memory(device)


def stored_form(
    model: PreTrainedModel, quantized: Quantized, folder: Path
) -> tuple[PreTrainedModel | None, str]:
    """The model as its library computes with the codes, and which, or ``None`` and why not.

    Args:
        model: quantized, its activations left.
        quantized: its codes.
        folder: where the checkpoint is put.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a tokenizer is not needed here
        try:
            made = save(model, quantized.codes, folder)  # type: ignore[arg-type]
        except (InputError, MissingExtraError) as error:
            return None, str(error)
    loaded = pretrained.load_saved(pretrained.find(str(folder)), coded=True)
    return loaded.to(model.device), made["format"]  # type: ignore[arg-type]


def paces(
    model: PreTrainedModel, quantized: Quantized | None, prompt: Sequence[int], tokens: int
) -> tuple[list[Pace], str]:
    """Pace at batch 1 and 8 in the form that would be shipped, and the name of that form.

    Args:
        model: the original, or one that is quantized; its activations are left from here on.
        quantized: its codes; ``None`` for the original.
        prompt: token ids.
        tokens: new ones.

    Returns:
        No paces, and the reason, where no library's layers hold the codes.
    """
    if quantized is None:
        return [pace(model, prompt, batch, tokens) for batch in (1, 8)], "as it is"
    quantized.leave_activations()
    with tempfile.TemporaryDirectory() as scratch:
        stored, form = stored_form(model, quantized, Path(scratch) / "model")
        if stored is None:
            return [], form
        return [pace(stored, prompt, batch, tokens) for batch in (1, 8)], form
