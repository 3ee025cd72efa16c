"""The masked-diffusion model: the contract, its size, its loss in forward, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    LlamaConfig,
    LlamaForCausalLM,
)

from parsimony.core import cost, generation, pretrained
from parsimony.core.errors import InputError
from parsimony.models.masked_diffusion import (
    MaskedDiffusionConfig,
    MaskedDiffusionLM,
    MaskedDiffusionModel,
    check_bidirectional,
    diffusion_loss,
    draw_masks,
)
from parsimony.testing.model_contract import ModelContract

MASK = 10
SHAPE: dict[str, Any] = {
    "vocab_size": 11,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
    "eos_token_id": 9,
}


def config(**changes: Any) -> MaskedDiffusionConfig:
    return MaskedDiffusionConfig(**{**SHAPE, "mask_token_id": MASK, **changes})


def model(**changes: Any) -> MaskedDiffusionLM:
    torch.manual_seed(0)
    return MaskedDiffusionLM(config(**changes)).eval()


class TestMaskedDiffusion(ModelContract):
    auto = AutoModelForMaskedLM
    config = config()


def test_the_tied_head_is_the_embedding_and_is_saved_once(tmp_path: Path) -> None:
    tied = model(tie_word_embeddings=True, pad_token_id=9)
    assert tied.lm_head.weight is tied.model.embed_tokens.weight
    assert cost.count(model())[0] - cost.count(tied)[0] == 11 * 32
    tied.save_pretrained(tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    loaded = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
    ids = torch.arange(9)[None]
    assert torch.equal(loaded(input_ids=ids).logits, tied(input_ids=ids).logits)


def test_it_is_no_causal_language_model() -> None:
    assert isinstance(AutoModel.from_config(config()), MaskedDiffusionModel)
    with pytest.raises(ValueError, match="Unrecognized configuration class"):
        AutoModelForCausalLM.from_config(config())
    with pytest.raises(InputError, match="no 'masked_diffusion' model for causal-lm"):
        pretrained.build(config(), "causal-lm")


def test_core_reads_its_config_from_a_folder(tmp_path: Path) -> None:
    config().save_pretrained(tmp_path)
    found = pretrained.read_config(pretrained.Pretrained("mine", tmp_path, ""))
    assert isinstance(found, MaskedDiffusionConfig) and found.mask_token_id == MASK


def test_the_defaults_are_of_llada_8b() -> None:
    large = cost.on_meta(lambda: MaskedDiffusionLM(MaskedDiffusionConfig()))
    assert cost.count(large)[0] == 8_015_581_184
    linears = [m for m in large.model.modules() if isinstance(m, torch.nn.Linear)]  # type: ignore[union-attr]
    assert sum(m.weight.numel() for m in linears) == 6_979_321_856
    assert len(linears) == 7 * 32 and all(m.bias is None for m in linears)


def test_the_stack_is_llamas_under_a_mask_of_zeros() -> None:
    """transformers' own causal model, its mask replaced by one that hides nothing."""
    ours = model(attn_implementation="eager")
    peer = LlamaForCausalLM(LlamaConfig(**SHAPE, rms_norm_eps=1e-5, attn_implementation="eager"))
    peer.load_state_dict(ours.state_dict())
    ids = torch.randint(0, 10, (3, 9))
    zeros = torch.zeros(3, 1, 9, 9)
    with torch.no_grad():
        expected = peer.eval()(input_ids=ids, attention_mask=zeros, use_cache=False).logits
        torch.testing.assert_close(ours(input_ids=ids).logits, expected)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("padded", [False, True])
def test_every_position_sees_every_other(attention: str, padded: bool) -> None:
    reader = model(attn_implementation=attention)
    ids = torch.randint(0, 9, (1, 8))
    mask = torch.tensor([[0] + [1] * 7]) if padded else None
    with torch.no_grad():
        before = reader(input_ids=ids, attention_mask=mask).logits
        for place in range(1, 8):
            changed = ids.clone()
            changed[0, place] = 9
            after = reader(input_ids=changed, attention_mask=mask).logits
            assert ((before - after)[0, int(padded) :].abs().amax(-1) > 1e-7).all()


def test_a_causal_mask_is_seen() -> None:
    check_bidirectional(model())
    check_bidirectional(model(attn_implementation="eager").train())
    causal = LlamaForCausalLM(LlamaConfig(**SHAPE)).train()
    with pytest.raises(
        InputError,
        match=r"must read in both directions, but a change of the last token changes no logits "
        r"before it: a causal mask was left on, but got 'LlamaForCausalLM'\. Load the weights into",
    ):
        check_bidirectional(causal)
    assert causal.training


def test_the_loss_in_forward_is_that_of_the_masks_drawn() -> None:
    learner = model()
    ids = torch.randint(0, 10, (4, 12))
    labels = ids.clone()
    labels[:, :3] = -100
    mask = torch.ones_like(ids)
    mask[0, 9:], labels[0, 9:] = 0, -100
    masked, rates = draw_masks(labels, 1e-3, torch.Generator().manual_seed(5))
    assert not masked[:, :3].any() and not masked[0, 9:].any()
    found = learner(input_ids=ids, labels=labels, attention_mask=mask,
                    generator=torch.Generator().manual_seed(5))  # fmt: skip
    logits = learner(input_ids=ids.masked_fill(masked, MASK), attention_mask=mask).logits
    torch.testing.assert_close(found.logits, logits)
    torch.testing.assert_close(found.loss, diffusion_loss(logits, labels, masked, rates))
    torch.manual_seed(5)  # without a generator, torch's own stream
    again = learner(input_ids=ids, labels=labels, attention_mask=mask).loss
    assert torch.equal(again, found.loss)
    assert not torch.equal(learner(input_ids=ids, labels=labels).loss, found.loss)


def test_some_training_batches_are_cut_short() -> None:
    learner, ids = model(short_batches=0.3), torch.randint(0, 10, (2, 8))
    torch.manual_seed(0)
    assert {learner(input_ids=ids, labels=ids).logits.shape[1] for _ in range(50)} == {8}
    learner.train()
    widths = [
        learner(input_ids=ids, labels=ids, attention_mask=torch.ones_like(ids)).logits.shape[1]
        for _ in range(400)
    ]
    cut = [width for width in widths if width < 8]
    assert 0.17 < len(cut) / 400 < 0.36  # 0.3 * 7/8 with a deviation of 0.022
    assert set(cut) == set(range(1, 8))
    assert learner(input_ids=ids).logits.shape[1] == 8


def test_padding_may_be_learned() -> None:
    """Answers end in a padding that carries labels, so its embedding must train."""
    learner = model(pad_token_id=9)
    ids = torch.full((2, 6), 9)
    learner(input_ids=ids, labels=ids, generator=torch.Generator().manual_seed(0)).loss.backward()
    assert learner.model.embed_tokens.weight.grad[9].any()


def test_hidden_states_and_embeddings_pass() -> None:
    reader, ids = model(), torch.arange(6)[None]
    found = reader(input_ids=ids, output_hidden_states=True)
    assert len(found.hidden_states) == 3
    embedded = reader(inputs_embeds=reader.get_input_embeddings()(ids))
    torch.testing.assert_close(embedded.logits, found.logits)
    with pytest.raises(InputError, match="labels need input_ids, since tokens are what is masked"):
        reader(inputs_embeds=reader.get_input_embeddings()(ids), labels=ids)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"mask_token_id": 11}, "must be in the vocabulary, 0 to 10, but got 11. Add the mask"),
        ({"mask_token_id": -1}, "mask_token_id must be in the vocabulary, 0 to 10, but got -1"),
        ({"pad_token_id": MASK}, "mask_token_id must not be pad_token_id: padding would be filled "
         "like a mask, but got 10. Give the mask a token of its own"),
        ({"noise_floor": 0.0}, r"noise_floor must be in \(0, 1\], but got 0.0"),
        ({"short_batches": 1.5}, r"short_batches must be in \[0, 1\], but got 1.5"),
        ({"is_causal": True}, "is_causal must be False, but got True. For a causal model use"),
    ],
)  # fmt: skip
def test_a_bad_config_is_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text):
        config(**changes)


def test_writing_from_left_to_right_is_refused() -> None:
    text = (
        r"does not write from left to right, so generate\(\) is refused. "
        r"Use parsimony.models.masked_diffusion.sample\(model, prompts, Sampling"
    )
    with pytest.raises(InputError, match=text):
        model().generate(torch.zeros(1, 1, dtype=torch.long), max_new_tokens=3)
    with pytest.raises(InputError, match=text):
        generation.answers(model(), [[1, 2]], tokens=2, stops=())
