import pytest
import torch
from compressed import ARCHITECTURES, model, windows

from parsimony.compress.statistics import Hessian, Norms
from parsimony.compress.walk import Walk, matrix
from parsimony.core.errors import InputError


def walked(found, ids, batch):
    walk = Walk(found, ids, batch)
    for index in range(len(walk.layers)):
        walk.advance(walk.block(index))
    return walk.hidden


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_walk_computes_what_the_model_does(architecture):
    found, ids = model(architecture), windows()
    seen = []
    last = Walk(found, ids, 4).layers[-1].module
    handle = last.register_forward_hook(
        lambda m, a, o: seen.append(o if isinstance(o, torch.Tensor) else o[0])
    )
    with torch.no_grad():
        found(input_ids=ids)
    handle.remove()
    # 10 windows, 4 at a time: the last batch has another size.
    torch.testing.assert_close(walked(found, ids, 4), seen[0], rtol=1e-5, atol=1e-5)


def test_layers_that_share_an_input_are_one_group_and_know_who_made_it():
    walk = Walk(model("llama"), windows(), 4)
    groups = walk.block(0).groups()
    short = [[name.split(".")[-1] for name in group.layers] for group in groups]
    assert short == [["q_proj", "k_proj", "v_proj"], ["o_proj"], ["gate_proj", "up_proj"],
                     ["down_proj"]]  # fmt: skip
    sources = [group.source and group.source.split(".")[-1] for group in groups]
    assert sources == ["input_layernorm", None, "post_attention_layernorm", None]
    conv = Walk(model("gpt2"), windows(), 4).block(1).groups()
    assert conv[0].source.endswith("ln_1")
    assert [next(iter(group.layers)).split(".")[-1] for group in conv] == [
        "c_attn", "c_proj", "c_fc", "c_proj",
    ]  # fmt: skip


def test_statistics_are_those_of_the_inputs_in_double_precision():
    found, ids = model("gpt2"), windows()
    walk = Walk(found, ids, 4)
    block = walk.block(0)
    group = block.groups()[0]
    inputs = []
    layer = next(iter(group.layers.values()))
    handle = layer.register_forward_pre_hook(lambda m, a: inputs.append(a[0].double()))
    block.outputs()
    handle.remove()
    x = torch.cat([part.reshape(-1, group.width) for part in inputs])
    norms, hessian = block.observe(group, Norms), block.observe(group, Hessian)
    assert norms.tokens == hessian.tokens == ids.numel()
    torch.testing.assert_close(norms.norms.double(), x.square().mean(0).sqrt())
    torch.testing.assert_close(hessian.matrix.double(), 2 * x.T @ x / len(x), rtol=1e-4, atol=1e-5)
    assert matrix(layer).shape == (96, 32)  # a Conv1D, seen as outputs x inputs


def test_what_is_done_to_a_block_is_seen_by_the_next():
    found, ids = model("llama"), windows()
    walk = Walk(found, ids, 4)
    block = walk.block(0)
    with torch.no_grad():
        matrix(found.get_submodule("model.layers.0.mlp.down_proj")).zero_()
    walk.advance(block)
    torch.testing.assert_close(walk.hidden, walk.block(1).inputs)
    with torch.no_grad():
        hidden = found(input_ids=ids, output_hidden_states=True).hidden_states[1]
    torch.testing.assert_close(walk.hidden, hidden, rtol=1e-5, atol=1e-5)


def test_an_encoder_decoder_is_refused():
    import transformers

    t5 = transformers.T5ForConditionalGeneration(
        transformers.T5Config(vocab_size=32, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2)
    )
    with pytest.raises(InputError, match="blocks that read nothing but each other, but got 'T5For"):
        Walk(t5, windows(), 4)
