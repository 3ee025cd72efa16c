"""The importance of layers: how sets of layers are drawn, probed and scored.

Importance is the negative of the paper's score s, in which a high value says that damping the
layer did no harm. Draws take a numpy generator, so that they depend on nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import nn

from parsimony.core import layers
from parsimony.core.errors import InputError

_TRIES = 100


def log_sigmoid(x: np.ndarray) -> np.ndarray:
    """log(1 / (1 + exp(-x))), finite for every finite x."""
    negative: np.ndarray = np.logaddexp(0.0, -x)
    return -negative


def draw(log_weights: np.ndarray, count: int, random: np.random.Generator) -> tuple[int, ...]:
    """Draw ``count`` distinct indices one after another, each in proportion to its weight.

    By the Gumbel maximum: the ``count`` largest of log weight + Gumbel noise have that law.

    Args:
        log_weights: shape (layers,).
        count: how many; at most as many as there are.
        random: decides.

    Returns:
        The indices, ascending.
    """
    keys = log_weights + random.gumbel(size=len(log_weights))
    return tuple(sorted(np.argsort(-keys)[:count].tolist()))


def distinct_draws(
    importance: np.ndarray, count: int, sets: int, random: np.random.Generator
) -> list[tuple[int, ...]]:
    """Draw ``sets`` different sets of ``count`` layers to damp, weights sigmoid(-importance).

    A set drawn before is drawn again. Where the weights leave hardly another (few layers, large
    importances), the importances are halved after every 100 vain draws, so that it ends.

    Raises:
        InputError: there are fewer than ``sets`` such sets.
    """
    if math.comb(len(importance), count) < sets:
        raise InputError(
            f"{sets} probes need as many sets of {count} of {len(importance)} layers",
            got=math.comb(len(importance), count),
        )
    found: list[tuple[int, ...]] = []
    log_weights, tries = log_sigmoid(-importance), 0
    while len(found) < sets:
        drawn = draw(log_weights, count, random)
        if drawn not in found:
            found.append(drawn)
            continue
        tries += 1
        if tries % _TRIES == 0:
            importance = importance / 2
            log_weights = log_sigmoid(-importance)
    return found


def probe_losses(
    model: nn.Module,
    batch: Mapping[str, Any],
    found: Sequence[layers.Layer],
    sets: Sequence[Sequence[int]],
    factor: float,
) -> np.ndarray:
    """Loss of ``batch`` with each of ``sets`` of layers damped by ``factor``.

    Without dropout and gradients; every mode and scaling is put back, also after an error.

    Returns:
        shape (sets,), float64

    Raises:
        InputError: the model gives no loss for the batch.
    """
    modes = [(module, module.training) for module in model.modules()]
    losses = []
    with ExitStack() as restore:
        for module, training in modes:
            restore.callback(setattr, module, "training", training)
        model.eval()
        restore.enter_context(torch.no_grad())
        for chosen in sets:
            with layers.damped([found[index] for index in chosen], factor):
                output = model(**batch)
            loss = output.get("loss") if isinstance(output, Mapping) else None
            if loss is None:
                raise InputError(
                    "a probe needs the model to give a loss",
                    got=sorted(batch),
                    hint="Let the training rows hold labels, or take the selector 'rst'",
                )
            losses.append(float(loss))
    return np.array(losses)


def rewards(losses: np.ndarray, normalise: bool = False) -> np.ndarray:
    """exp(-loss) less its mean over the probes; shape as ``losses``.

    Args:
        losses: of the probes, in nats.
        normalise: divide by that mean. The paper does not; above a loss of about 6 its rewards
            are below 0.003 and hardly move anything.
    """
    # Relative to the smallest loss, so that the quotient is finite where exp(-loss) vanishes.
    scale = np.exp(-(losses - losses.min()))
    relative: np.ndarray = scale - scale.mean()
    return relative / scale.mean() if normalise else relative * np.exp(-losses.min())


def updated(
    importance: np.ndarray,
    sets: Sequence[Sequence[int]],
    reward: np.ndarray,
    step_size: float = 10.0,
) -> np.ndarray:
    """Importance after one round of probes; float64, shape (layers,).

    For every probe k and every layer i that it damped: s_i += step_size r_k p_i (1 - p_i) with
    s = -importance and p = sigmoid(s) from before the round. Layers outside of a set do not move.

    Args:
        importance: shape (layers,).
        sets: the layers damped in each probe.
        reward: of each probe, shape (sets,).
        step_size: mu.
    """
    scores = -np.asarray(importance, dtype=np.float64)
    p = np.exp(log_sigmoid(scores))
    moved = scores.copy()
    for chosen, gain in zip(sets, reward, strict=True):
        index = list(chosen)
        moved[index] += step_size * gain * p[index] * (1 - p[index])
    return -moved


def expected_lowest(count: int, trained: int) -> float:
    """Mean lowest layer, counted from 1, of a uniform draw: (count + 1) / (trained + 1).

    Args:
        count: layers in all.
        trained: layers drawn.
    """
    return (count + 1) / (trained + 1)
