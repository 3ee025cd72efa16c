"""The arithmetic of an arm: what the device has, and that strict means strict."""

from __future__ import annotations

import pytest
import torch

from parsimony.core.errors import InputError
from parsimony.plan.energy_study import digits, precision


@pytest.mark.parametrize("name", ["tf32", "fp16"])
def test_a_cpu_has_neither_tf32_nor_fp16(name: str) -> None:
    with pytest.raises(InputError, match=f"precision '{name}' needs a CUDA device, but got 'cpu'"):
        precision.check(name, "cpu")


def test_a_gpu_without_bf16_says_so(monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: False)
    with pytest.raises(InputError, match=r"capability 8\.0 or more\. Use fp16"):
        precision.check("bf16", "cuda")


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(InputError, match=r"unknown precision 'bf61'\. Did you mean 'bf16'\?"):
        precision.check("bf61", "cpu")


def test_strict_arithmetic_turns_tf32_off_and_back() -> None:
    products = torch.backends.cuda.matmul
    before = products.allow_tf32
    products.allow_tf32 = True
    try:
        with pytest.raises(InputError, match=r"'a' says fp32, but torch\.backends\.cuda\.matmul"):
            precision.check_strict("a")
        with precision.arithmetic("fp32", "cpu"):
            assert not products.allow_tf32
            precision.check_strict("a")
        assert products.allow_tf32
    finally:
        products.allow_tf32 = before


def test_bf16_computes_in_16_bits_and_reaches_the_same_accuracy(monkeypatch) -> None:
    seen: set[torch.dtype] = set()
    forward = digits.Network.forward

    def watched(self, pixels, labels):
        found = forward(self, pixels, labels)
        if self.training:
            seen.add(found["logits"].dtype)
        return found

    monkeypatch.setattr(digits.Network, "forward", watched)
    full = digits.train(seed=0, steps=150)
    assert seen == {torch.float32}
    mixed = digits.train(seed=0, steps=150, precision="bf16")
    assert seen == {torch.float32, torch.bfloat16}
    assert full["samples"] == mixed["samples"] == 150 * 64
    assert mixed["accuracy"] == pytest.approx(full["accuracy"], abs=0.01)
    assert full["accuracy"] > 0.8
