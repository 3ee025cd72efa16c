"""The arithmetic of an arm: strict 32-bit, TF32, or mixed with 16 bits.

A strict arm sets TF32 off: torch, or a library before it, may have left it on, and the baseline
would then be a reduced precision already.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from parsimony.core.errors import InputError, nearest
from parsimony.core.training import PRECISIONS


def check(precision: str, device: str) -> None:
    """Refuse an arithmetic that the device does not have.

    Raises:
        InputError: an unknown name; TF32 or fp16 without a GPU; bf16 on a GPU without it.
    """
    if precision not in PRECISIONS:
        raise InputError(f"unknown precision '{precision}'", hint=nearest(precision, PRECISIONS))
    cuda = device.startswith("cuda")
    if precision in ("tf32", "fp16") and not cuda:
        raise InputError(
            f"precision '{precision}' needs a CUDA device", got=device, hint="On a CPU use bf16"
        )
    if precision == "bf16" and cuda and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise InputError("precision 'bf16' needs a GPU of compute capability 8.0 or more",
                         hint="Use fp16")  # fmt: skip


def check_strict(arm: str) -> None:
    """Refuse to call an arm fp32 whose products were in TF32.

    Raises:
        InputError: the setting is on after the arm's work.
    """
    if torch.backends.cuda.matmul.allow_tf32:
        raise InputError(
            f"arm '{arm}' says fp32, but torch.backends.cuda.matmul.allow_tf32 is on",
            hint="Turn it off in its function, or name the arm tf32",
        )


@contextmanager
def arithmetic(precision: str, device: str) -> Iterator[None]:
    """32-bit products are TF32 under ``tf32`` and exact under all others; restored afterwards."""
    check(precision, device)
    products, convolutions = torch.backends.cuda.matmul, torch.backends.cudnn
    before = products.allow_tf32, convolutions.allow_tf32
    products.allow_tf32 = convolutions.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        products.allow_tf32, convolutions.allow_tf32 = before
