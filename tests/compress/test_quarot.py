"""QuaRot: the contract, what it changes and keeps, and what it refuses."""

import pytest
import torch
import transformers
from compressed import model, windows

from parsimony.compress.grid import Grid
from parsimony.compress.quantize.quarot import QuaRot
from parsimony.compress.quantizer import Spec
from parsimony.compress.quantizing import quantize
from parsimony.core.errors import InputError
from parsimony.testing import tiny
from parsimony.testing.quantizer_contract import Kept, QuantizerContract, apart, outputs


class TestQuaRot(QuantizerContract):
    specs = ("quarot:w4a4", "quarot-online+gptq:w4a4")
    blocks_only = False


def turned(found):
    quantize(found, Spec(Kept(), Grid(4), QuaRot()), windows(4))
    return found


def made(**changes):
    """A Llama in float64, but for its norms, which compute in float32."""
    config = tiny.config("llama")
    config.update(changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = transformers.AutoModelForCausalLM.from_config(config).eval().double()
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return found


def test_a_mean_subtracted_from_the_embedding_would_be_seen():
    found = model("llama").double()
    wanted = outputs(found)
    turned(found)
    assert apart(outputs(found), wanted) < 1e-6
    with torch.no_grad():
        embedding = found.get_input_embeddings().weight
        embedding -= embedding.mean(1, keepdim=True)
    assert apart(outputs(found), wanted) > 1e-4


def test_the_residual_stream_and_the_values_are_turned_and_gains_are_one():
    found, before = turned(model("llama").double()), model("llama").double()
    e, b = found.get_input_embeddings().weight, before.get_input_embeddings().weight
    turn = torch.linalg.lstsq(b, e).solution
    assert torch.allclose(turn @ turn.T, torch.eye(32, dtype=torch.float64), atol=1e-8)
    assert torch.allclose(turn.abs(), torch.full_like(turn, 32**-0.5), atol=1e-8)
    values = [m.model.layers[1].self_attn.v_proj.weight for m in (found, before)]
    gain = before.model.layers[1].input_layernorm.weight
    assert not torch.allclose(values[0], values[1] * gain @ turn)  # and in the head, too
    assert torch.allclose(values[0].norm(), (values[1] * gain).norm())
    keys = [m.model.layers[1].self_attn.k_proj.weight for m in (found, before)]
    assert torch.allclose(keys[0], keys[1] * gain @ turn)
    assert (found.model.norm.weight == 1).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"tie_word_embeddings": True},
        {"attention_bias": True, "mlp_bias": True},
        {"num_key_value_heads": 2},
        {"hidden_size": 12, "head_dim": 4, "intermediate_size": 20},
        {"hidden_size": 22, "head_dim": 6},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["quarot", "quarot-online"])
def test_no_output_changes_for_other_shapes(changes, name):
    found = made(**changes)
    wanted = outputs(found)
    transform = Spec.parse(f"{name}:w4").transform
    notes = quantize(found, Spec(Kept(), Grid(4), transform), windows(4)).notes
    assert apart(outputs(found), wanted) < 1e-6
    assert any("22 channels have no known Hadamard" in note for note in notes) == (
        changes.get("hidden_size") == 22
    )
    shared = found.lm_head.weight is found.get_input_embeddings().weight
    assert not shared and not found.config.tie_word_embeddings


def test_only_what_no_weight_can_hold_is_not_exportable():
    assert Spec.parse("quarot:w4").exportable
    assert not Spec.parse("quarot-online:w4a4").exportable
    assert not quantize(model("llama"), "quarot-online:w4a4", windows(4)).exportable


@pytest.mark.parametrize(
    ("architecture", "text"),
    [
        ("bert", "from the embedding to the output projection of a language model, .*BertModel"),
        ("gpt2", "divide by the root mean square, and no more, but got 'LayerNorm'"),
    ],
)
def test_what_cannot_be_rotated_is_refused_unchanged(architecture, text):
    found = model(architecture)
    before = {name: value.clone() for name, value in found.state_dict().items()}
    with pytest.raises(InputError, match=text):
        quantize(found, "quarot:w4", windows(4))
    assert all(torch.equal(value, before[name]) for name, value in found.state_dict().items())


def test_an_output_that_changes_is_told():
    found = model("llama")
    found.model.layers[1].mlp.register_forward_hook(lambda module, args, output: output + 1)
    with pytest.raises(InputError, match="must leave the output of LlamaForCausalLM as it was"):
        quantize(found, "quarot:w4", windows(4))
