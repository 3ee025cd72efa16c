"""LLM.int8() against bitsandbytes' codes and the errors that rounding implies."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from parsimony.compress.llm_int8 import Int8Linear, Int8Rows
from parsimony.core.errors import InputError

WIDTH, OUTPUTS, TOKENS = 1024, 256, 256


def layer(seed: int = 0) -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(WIDTH, OUTPUTS).requires_grad_(False)


def inputs(outliers: int = 0, seed: int = 1) -> torch.Tensor:
    """Gaussian tokens; the first features are twenty times as large."""
    x = torch.randn(TOKENS, WIDTH, generator=torch.Generator().manual_seed(seed))
    x[:, :outliers] *= 20
    return x


def error(found: torch.Tensor, exact: torch.Tensor) -> float:
    return float((found - exact).norm() / exact.norm())


def products(linear: nn.Linear, x: torch.Tensor) -> dict[str, float]:
    """Relative errors of W x in the four forms."""
    weight, exact = linear.weight, x @ linear.weight.T
    codes = Int8Rows().codes(weight)
    return {
        "weight only": error(x @ codes.weight().T, exact),
        "all in 8 bits": error(Int8Linear(codes, threshold=0)(x), exact),
        "mixed": error(Int8Linear(codes)(x), exact),
        "mixed, original columns": error(Int8Linear(codes, weight=weight)(x), exact),
    }


def test_codes_are_bitsandbytes():
    functional = pytest.importorskip("bitsandbytes").functional
    weight = layer().weight.half()
    codes = Int8Rows().codes(weight)
    values, absmax, _ = functional.int8_vectorwise_quant(weight)
    assert torch.equal(codes.values, values)
    assert torch.equal(codes.absmax, absmax)
    assert codes.weight().dtype is torch.float16


def test_the_layer_is_bitsandbytes_in_evaluation_mode():
    library = pytest.importorskip("bitsandbytes").nn
    linear, x = layer().half(), inputs(outliers=4).half()
    exact = x.float() @ linear.weight.float().T
    errors = {}
    for threshold in (0.0, 6.0):
        peer = library.Linear8bitLt(
            WIDTH, OUTPUTS, bias=False, has_fp16_weights=False, threshold=threshold
        )
        peer.weight = library.Int8Params(linear.weight, requires_grad=False)
        with torch.no_grad():
            theirs = peer.to("cpu").eval()(x).float()
        ours = Int8Linear(Int8Rows().codes(linear.weight), threshold=threshold)(x).float()
        errors[threshold] = error(ours, exact), error(theirs, exact), error(ours, theirs)
    assert errors[0][2] < 3e-4  # the last bit of a half
    assert errors[6][0] < errors[6][1] < 0.2 * errors[0][1]


def test_the_error_of_rows_of_uniform_weights_is_one_in_254():
    # Steps of absmax / 127 have an error of step / sqrt(12), uniform weights are absmax / sqrt(3).
    assert products(layer(), inputs())["weight only"] == pytest.approx(1 / 254, rel=0.05)


def test_large_features_spoil_8_bits_and_the_mixed_product_does_not_mind():
    found = products(layer(), inputs(outliers=4))
    assert 0.03 < found["all in 8 bits"] < 0.08
    assert found["mixed"] < 0.2 * found["all in 8 bits"]
    assert found["mixed, original columns"] < 0.9 * found["mixed"]
    assert found["mixed, original columns"] < 0.008


def test_without_large_features_the_mixed_product_is_that_of_8_bits():
    x = inputs().clamp(-6, 6)
    codes = Int8Rows().codes(layer().weight)
    assert torch.equal(Int8Linear(codes)(x), Int8Linear(codes, threshold=0)(x))


def test_the_product_of_codes_is_exact():
    linear = layer()
    codes = Int8Rows().codes(linear.weight)
    x = codes.values[:8].float() / 127 * 5  # tokens that 8 bits hold exactly once their size is 5
    x[:, 0] = 5
    exact = x.double() @ codes.weight(torch.float64).T + linear.bias
    found = Int8Linear(codes, linear.bias)(x[None])
    assert found.shape == (1, 8, OUTPUTS)
    assert torch.allclose(found[0].double(), exact, atol=1e-5)


def test_a_feature_above_the_threshold_is_multiplied_in_float():
    codes = Int8Rows().codes(torch.tensor([[1.0, 1.0], [0.0, 0.0]]))
    x = torch.tensor([[1000.123, 0.5], [0.0, 0.0]])
    expected = torch.tensor([[1000.623, 0.0], [0.0, 0.0]])
    assert torch.allclose(Int8Linear(codes)(x), expected, atol=1e-2)
    assert not torch.allclose(Int8Linear(codes, threshold=0)(x), expected, atol=1e-1)


def test_the_result_has_the_type_of_the_input():
    codes = Int8Rows().codes(layer().weight)
    assert Int8Linear(codes)(inputs(2).bfloat16()).dtype is torch.bfloat16


def test_bits_per_weight():
    assert Int8Rows().bits_per_weight(1024) == 8.03125
    assert str(Int8Rows()) == "int8"


def test_non_finite_weights_are_refused_by_layer():
    with pytest.raises(InputError, match=r"fc: values .* finite, but got '1 NaN or infinite of 2'"):
        Int8Rows().codes(torch.tensor([[1.0, float("inf")]]), name="fc")
