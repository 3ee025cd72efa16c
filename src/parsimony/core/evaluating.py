"""A model in evaluation mode for a while."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """No dropout inside; whatever happens there, the model goes back to the mode it was in."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
