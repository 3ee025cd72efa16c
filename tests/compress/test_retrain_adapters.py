"""The tuners that respect masks: peft's contract, and the formulas of the paper."""

from __future__ import annotations

from typing import Any, ClassVar

import peft
import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from parsimony.compress.retrain.masklora import STORED, MaskLoraConfig, MaskLoraLayer
from parsimony.compress.retrain.scalelora import ScaleLoraConfig, ScaleLoraLayer
from parsimony.core.errors import InputError
from parsimony.testing import tiny
from parsimony.testing.adapter_contract import AdapterContract, Case


def mask_like(weight: torch.Tensor, seed: int = 5) -> torch.Tensor:
    return torch.rand(weight.shape, generator=torch.Generator().manual_seed(seed)) < 0.6


def masks_for(case: Case) -> dict[str, torch.Tensor]:
    """For the contract's own network, and for the layers of tiny models that it adapts."""
    layer = case.make()
    shape = layer.weight.shape
    if not layer.weight.is_floating_point():  # quantized: codes have another shape
        shape = (layer.out_features, layer.in_features)
    hidden, vocabulary = tiny.HIDDEN, tiny.config("gpt2").vocab_size
    masks = {f"{name}.weight": mask_like(torch.empty(shape)) for name in ("first", "second")}
    masks["lm_head.weight"] = mask_like(torch.empty(vocabulary, hidden))
    for block in range(tiny.LLAMA_LAYERS):
        name = f"model.layers.{block}.self_attn.o_proj.weight"
        masks[name] = mask_like(torch.empty(hidden, hidden))
    return masks


class TestMaskLora(AdapterContract):
    config = MaskLoraConfig

    def settings_for(self, case: Case) -> dict[str, Any]:
        return {"r": 2, "alpha": 3.0, "masks": masks_for(case)}

    def count(self, case: Case, layer: nn.Module, config: Any) -> int:
        return 2 * sum(layer.shape)

    def test_a_layer_without_a_mask_is_refused(self) -> None:
        case = self.one()
        self.refused(case, "masklora needs the keep-mask of first", masks=None)
        only = {"first.weight": masks_for(case)["first.weight"]}
        self.refused(case, "needs the keep-mask of second.*Give masks, as", masks=only)

    def test_a_mask_of_another_shape_is_refused(self) -> None:
        bad = {f"{name}.weight": torch.ones(2, 3) for name in ("first", "second")}
        self.refused(self.one(), "the mask of first has its weight's shape", masks=bad)

    def test_a_rank_below_one_is_refused(self) -> None:
        with pytest.raises(InputError, match="a rank must be a whole number of at least 1"):
            MaskLoraConfig(r=0)


class TestMaskLoraOffInTraining(TestMaskLora):
    """What LoRA-Prune trains: in evaluation it keeps the whole contract."""

    def settings_for(self, case: Case) -> dict[str, Any]:
        return {**super().settings_for(case), "masked": False}

    test_it_loads_in_a_fresh_process = None  # slow, and no other than above


class TestScaleLora(AdapterContract):
    config = ScaleLoraConfig
    settings: ClassVar = {"r": 4}

    def count(self, case: Case, layer: nn.Module, config: Any) -> int:
        return 4 * sum(layer.shape)

    def test_a_rank_below_one_is_refused(self) -> None:
        with pytest.raises(InputError, match="a rank must be a whole number of at least 1"):
            ScaleLoraConfig(r=0)


LAYERS = [lambda: nn.Linear(6, 8), lambda: Conv1D(8, 6)]


def on(layer: nn.Module, config: Any) -> Any:
    """The adapted layer, with everything that trains drawn at random."""
    torch.manual_seed(1)
    model = peft.get_peft_model(nn.Sequential(layer), config).double()
    adapted = model.get_base_model()[0]
    for parameter in adapted.parameters():
        parameter.data.normal_()
    return model, adapted


@pytest.mark.parametrize("make", LAYERS)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_masklora_is_its_formula(make: Any, training: bool, masked: bool) -> None:
    layer = make()
    mask = mask_like(layer.weight)
    config = MaskLoraConfig(
        r=2, alpha=3.0, target_modules=["0"], masks={"0.weight": mask}, masked=masked
    )
    model, adapted = on(layer, config)
    assert isinstance(adapted, MaskLoraLayer)
    assert model.peft_config["default"].masks == STORED
    model.train(training)
    x = torch.randn(5, 6, dtype=torch.float64)
    product = adapted.masklora_B["default"] @ adapted.masklora_A["default"]
    stored = product if isinstance(layer, nn.Linear) else product.T
    seen = stored if training and not masked else stored * mask
    expected = layer(x) + 3.0 / 2 * x @ (seen.T if isinstance(layer, nn.Linear) else seen)
    torch.testing.assert_close(adapted(x), expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(adapted.get_delta_weight("default"), 3.0 / 2 * stored * mask)


@pytest.mark.parametrize("make", LAYERS)
def test_scalelora_is_its_formula_and_keeps_zeros(make: Any) -> None:
    layer = make()
    layer.weight.data *= mask_like(layer.weight)
    zeros = layer.weight == 0
    start = peft.get_peft_model(nn.Sequential(layer), ScaleLoraConfig(target_modules=["0"]))
    assert not start.get_base_model()[0].delta("default").any()  # 16 * (1 / 4)^2 = 1
    layer = make()
    layer.weight.data.masked_fill_(zeros, 0)
    model, adapted = on(layer, ScaleLoraConfig(r=3, target_modules=["0"]))
    layer.weight.data.masked_fill_(zeros, 0)
    assert isinstance(adapted, ScaleLoraLayer)
    factors = adapted.scalelora_B["default"] @ adapted.scalelora_A["default"]
    factors = factors if isinstance(layer, nn.Linear) else factors.T
    expected = factors * layer.weight
    merged = model.merge_and_unload()[0]
    torch.testing.assert_close(merged.weight, expected, rtol=1e-10, atol=1e-10)
    assert torch.equal(merged.weight == 0, zeros)


def test_a_kept_zero_trains_and_the_mask_is_not_the_callers() -> None:
    layer, mask = nn.Linear(6, 8, bias=False), torch.ones(8, 6, dtype=torch.bool)
    mask[0] = False
    layer.weight.data[:2] = 0  # the first row is removed, the second kept and zero
    config = MaskLoraConfig(r=2, target_modules=["0"], masks={"0.weight": mask})
    model, _ = on(layer, config)
    layer.weight.data[:2] = 0
    mask[:] = True
    merged = model.merge_and_unload()[0].weight
    assert not merged[0].any() and merged[1].all()
