"""SmoothQuant: the contract, its formula, where scales can go, and planted outliers."""

import pytest
import torch
from compressed import model, windows
from planted import plant

from parsimony.compress.folding import seam
from parsimony.compress.quantize.smoothquant import smoothing
from parsimony.compress.quantizer import Spec
from parsimony.compress.quantizing import quantize
from parsimony.compress.walk import Walk
from parsimony.testing.quantizer_contract import QuantizerContract, apart, outputs


class TestSmoothQuant(QuantizerContract):
    specs = ("smoothquant:w8a8", "smoothquant+gptq:w4g16")


def short(layers):
    return [name.rpartition(".")[2] for name in layers]


def places(architecture, index=0):
    """Names of what takes the scales of each group of a block."""
    found = model(architecture)
    block = Walk(found, windows(), 4).block(index)
    state = {name: value.clone() for name, value in found.state_dict().items()}
    groups = block.groups()
    names = {module: name for name, module in found.named_modules()}
    made = {}
    for group in groups:
        place = seam(block, group, groups)
        made[short(group.layers)[0]] = place and names[place.before].rpartition(".")[2]
    assert all(torch.equal(value, state[name]) for name, value in found.state_dict().items())
    return made


def test_scales_go_where_no_output_changes_and_nothing_is_left_of_the_trying():
    assert places("llama") == {
        "q_proj": "input_layernorm",
        "o_proj": None,  # fewer values than queries
        "gate_proj": "post_attention_layernorm",
        "down_proj": "up_proj",
    }
    assert places("gpt2") == {"c_attn": "ln_1", "c_proj": None, "c_fc": "ln_2"}


def test_where_every_head_has_values_of_its_own_they_take_the_scales_of_the_output():
    # A post-norm BERT: the norm's output is the residual too, and a GELU bends.
    found = model("bert")
    block = Walk(found, windows(), 4).block(1)
    groups = block.groups()
    names = {module: name.partition("layer.1.")[2] for name, module in found.named_modules()}
    places = [seam(block, group, groups) for group in groups]
    assert [names[next(iter(group.layers.values()))] for group in groups] == [
        "attention.self.query", "attention.output.dense", "intermediate.dense", "output.dense",
    ]  # fmt: skip
    made = [place and names[place.before] for place in places]
    assert made == [None, "attention.self.value", None, None]
    notes = quantize(model("bert"), "smoothquant:w8", windows()).notes
    assert notes[0].startswith(
        "smoothquant: 10 of 12 layers are as they were, since nothing before"
    )


def test_the_formula_by_hand():
    from parsimony.compress.walk import Group

    layers = {"a": torch.nn.Linear(3, 2, bias=False), "b": torch.nn.Linear(3, 1, bias=False)}
    with torch.no_grad():
        layers["a"].weight.copy_(torch.tensor([[1.0, -4.0, 0.0], [0.5, 1.0, 0.0]]))
        layers["b"].weight.copy_(torch.tensor([[-2.0, 1.0, 0.0]]))
    found = smoothing(Group(layers, None), torch.tensor([8.0, 4.0, 5.0]))
    assert found.tolist() == pytest.approx([2.0, 1.0, 1.0])  # sqrt(8 / 2), sqrt(4 / 4), a dead one
    whole = smoothing(Group(layers, None), torch.tensor([8.0, 4.0, 5.0]), 1.0)
    assert whole.tolist() == pytest.approx([8.0, 4.0, 1.0])


@pytest.mark.parametrize("seed", range(3))
def test_planted_outlier_channels_are_met(seed):
    wanted = outputs(plant(model("llama", seed)), windows())

    def error(spec):
        found = plant(model("llama", seed))
        quantize(found, spec, windows(), batch=5)
        return apart(outputs(found, windows()), wanted)

    assert error("smoothquant:w8a8") < 0.5 * error("rtn:w8a8")
    assert error("awq:w3g16") < error("rtn:w3g16")


def test_half_precision_finds_the_same_places():
    found = model("llama").bfloat16()
    quantize(found, Spec.parse("smoothquant:w8"), windows())
    block = Walk(model("llama").bfloat16(), windows(), 4).block(0)
    groups = block.groups()
    assert [seam(block, g, groups) is not None for g in groups] == [True, False, True, True]
