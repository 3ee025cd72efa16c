"""Blocks brought back to what they made before pruning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from compressed import model, windows
from small_training import state

from parsimony.compress import masks as masking
from parsimony.compress.pruning import prune
from parsimony.compress.reconstruction import Reconstruction
from parsimony.compress.retrainer import retrainers
from parsimony.core.errors import InputError
from parsimony.core.training import DivergedError

WAYS = sorted(name for name, way in retrainers().items() if way.merges and name != "head")


def reconstructed(
    architecture: str, target: str, way: str, given: Reconstruction, **options: Any
) -> Any:
    found = model(architecture)
    return found, prune(found, target, way, windows(), batch=4, reconstruct=given, **options)


@pytest.mark.parametrize("way", ["magnitude", "wanda", "sparsegpt"])
@pytest.mark.parametrize("target", ["0.5", "2:4"])
@pytest.mark.parametrize("architecture", ["bert", "gpt2"])
def test_it_lowers_the_error_of_every_block_and_keeps_the_pattern(
    architecture: str, target: str, way: str
) -> None:
    method = "norms+masklora:r=4"
    found, pruned = reconstructed(architecture, target, way, Reconstruction(1e-2, 30, method))
    assert all(0 < block["reconstructed"] < block["error"] for block in pruned.blocks)
    assert masking.intact(found, pruned.masks)
    if target == "2:4":
        for mask in pruned.masks.values():
            rows = mask.T if architecture == "gpt2" else mask
            assert masking.follows(rows, 2, 4)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_retrain_reconstructs_and_leaves_a_plain_block(way: str) -> None:
    found, pruned = reconstructed("gpt2", "0.5", "magnitude", Reconstruction(1e-2, 20, way))
    assert all(block["reconstructed"] < block["error"] for block in pruned.blocks)
    plain = model("gpt2")
    assert [type(m) for m in found.modules()] == [type(m) for m in plain.modules()]
    assert all(p.requires_grad for p in found.parameters())
    assert masking.intact(found, pruned.masks)


def test_the_loop_is_adamw_on_batches_in_order() -> None:
    given = Reconstruction(1e-2, 7, "norms")
    found, _ = reconstructed("llama", "0.5", "magnitude", given)
    twin = model("llama")
    prune(twin, "0.5")
    dense, block = model("llama").model.layers[0], twin.model.layers[0]
    ids = windows()
    inputs = twin.model.embed_tokens(ids).detach()
    rotary = twin.model.rotary_emb(inputs, torch.arange(12)[None])
    with torch.no_grad():
        wanted = dense(inputs, position_embeddings=rotary)
    trained = [block.input_layernorm.weight, block.post_attention_layernorm.weight]
    stepper = torch.optim.AdamW(trained, weight_decay=0.0)
    for step in range(7):
        # 10 % of 7 steps is one step of warm-up, which is at the peak already.
        stepper.param_groups[0]["lr"] = 1e-2 if step == 0 else 1e-2 * (7 - step) / 6
        which = (slice(0, 4), slice(4, 8), slice(8, 10))[step % 3]
        output = block(inputs[which], position_embeddings=rotary)
        (output - wanted[which]).square().mean().backward()
        stepper.step()
        stepper.zero_grad()
    for name in ("input_layernorm", "post_attention_layernorm"):
        ours = found.get_parameter(f"model.layers.0.{name}.weight")
        torch.testing.assert_close(
            ours, block.get_parameter(f"{name}.weight"), atol=1e-5, rtol=1e-5
        )


def test_a_pass_that_was_stopped_ends_in_the_same_bytes(tmp_path: Path) -> None:
    given = Reconstruction(1e-2, 5, "norms+masklora:r=2")
    whole, first = reconstructed("llama", "2:4", "wanda", given)

    class Stop(Exception):
        pass

    done = []

    def progress(by: float) -> None:
        done.append(by)
        if len(done) == 2:
            raise Stop

    with pytest.raises(Stop):
        reconstructed("llama", "2:4", "wanda", given, journal=tmp_path, progress=progress)
    parts, second = reconstructed("llama", "2:4", "wanda", given, journal=tmp_path)
    assert all(torch.equal(value, state(parts)[name]) for name, value in state(whole).items())
    assert first.blocks == second.blocks


def test_a_16_bit_block_is_reconstructed_through_float32() -> None:
    found = model("gpt2").to(torch.bfloat16)
    given = Reconstruction(1e-2, 30, "biases+masklora:r=4")
    pruned = prune(found, "0.5", "magnitude", windows(), batch=4, reconstruct=given)
    assert all(block["reconstructed"] < block["error"] for block in pruned.blocks)
    assert {p.dtype for p in found.parameters()} == {torch.bfloat16}


def test_what_cannot_be_done_is_explained() -> None:
    with pytest.raises(InputError, match=r"in its own weights, but got 'lora, which.*masklora or"):
        Reconstruction(1e-3, 10, "lora")
    with pytest.raises(InputError, match="must be positive"):
        Reconstruction(1e-3, 0)
    with pytest.raises(InputError, match="A block has none: leave 'head' out"):
        reconstructed("gpt2", "0.5", "magnitude", Reconstruction(1e-3, 2, "head"))
    with pytest.raises(DivergedError, match=r"the error of model.layers.0 must stay.*Lower the"):
        reconstructed("llama", "0.5", "magnitude", Reconstruction(1e30, 5, "full"))
