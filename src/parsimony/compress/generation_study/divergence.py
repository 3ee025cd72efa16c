"""How far a model's predictions are from the original's at each position, without any sampling.

At temperature T the two distributions are p = softmax(z / T) and q = softmax(z' / T), z and z' the
logits of the original and of the other. With top-k both are renormalised over the k tokens that
the original holds likeliest, so that they have one support and the divergence is finite.
"""

from __future__ import annotations

from torch import Tensor

from parsimony.core.errors import InputError


def kl(
    original: Tensor, other: Tensor, temperature: float = 1.0, top_k: int | None = None
) -> Tensor:
    """KL(p || q) in nats.

    Args:
        original: logits, [..., vocabulary].
        other: logits of the same shape.
        temperature: T, positive; greedy decoding has no distribution.
        top_k: tokens of the original's that count; ``None`` for all.

    Returns:
        Shape [...].

    Raises:
        InputError: a temperature that is not positive.
    """
    p, q = _log_probabilities(original, other, temperature, top_k)
    return (p.exp() * (p - q)).sum(-1)


def total_variation(
    original: Tensor, other: Tensor, temperature: float = 1.0, top_k: int | None = None
) -> Tensor:
    """Half the sum of |p - q|, in [0, 1]; arguments, shape and errors as of ``kl``."""
    p, q = _log_probabilities(original, other, temperature, top_k)
    return (p.exp() - q.exp()).abs().sum(-1) / 2


def agreement(original: Tensor, other: Tensor) -> Tensor:
    """Whether both hold one token likeliest, at any temperature; [..., vocabulary] to [...]."""
    return original.argmax(-1) == other.argmax(-1)


def _log_probabilities(
    original: Tensor, other: Tensor, temperature: float, top_k: int | None
) -> tuple[Tensor, Tensor]:
    if temperature <= 0:
        raise InputError(
            "a divergence needs a positive temperature",
            got=temperature,
            hint="Greedy decoding is compared by the agreement of the likeliest token",
        )
    if top_k is not None:
        kept = original.topk(top_k).indices
        original, other = original.gather(-1, kept), other.gather(-1, kept)
    p, q = ((logits.double() / temperature).log_softmax(-1) for logits in (original, other))
    return p, q
