"""Retraining what is left of a pruned model: what changes, what stays, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
import transformers
from compressed import model, windows
from small_training import Rows, collate, settings, state

from parsimony.compress import masks as masking
from parsimony.compress import retrainer, retraining
from parsimony.compress.pruning import prune
from parsimony.compress.retrainer import Attached, parse, retrainers
from parsimony.compress.retraining import retrain
from parsimony.core import cost
from parsimony.core.errors import ArtifactError, BudgetError, InputError
from parsimony.core.events import read_events

MERGING = sorted(name for name, way in retrainers().items() if way.merges)


def pruned(architecture: str, target: str = "2:4") -> tuple[Any, dict[str, torch.Tensor]]:
    found = model(architecture)
    return found, prune(found, target).masks


def loss(found: Any) -> float:
    """On what they are trained on."""
    batch = collate([Rows()[i] for i in range(len(Rows()))])
    with torch.no_grad():
        return float(found.eval()(**batch).loss)


def retrained(folder: Path, method: str, architecture: str = "gpt2", **options: Any) -> Any:
    found, masks = pruned(architecture)
    steps = options.pop("settings", settings())
    options = {"keep": False, **options}
    result = retrain(found, masks, Rows(), collate, method, steps, folder, **options)
    return found, masks, result


@pytest.mark.parametrize("method", [*MERGING, "head+biases+norms+masklora:r=4,alpha=8"])
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_every_way_lowers_the_loss_and_keeps_the_pattern(
    method: str, architecture: str, tmp_path: Path
) -> None:
    if "biases" in method and architecture == "llama":
        pytest.skip("it has none")
    before, _ = pruned(architecture)
    found, masks, result = retrained(tmp_path, method, architecture, settings=settings(12))
    assert loss(found) < loss(before)
    assert [type(m) for m in found.modules()] == [type(m) for m in before.modules()]
    assert masking.intact(found, masks) and result.report["zeros"] == 0.5
    for name, mask in masks.items():
        rows = mask if architecture == "llama" else mask.T
        assert masking.follows(rows, 2, 4)
        weight = found.get_parameter(name).detach()
        kept = weight if architecture == "llama" else weight.T
        assert ((kept.reshape(-1, 4) != 0).sum(1) <= 2).all()
    assert result.report["trainable"] == result.report["share"] * result.report["parameters"]
    assert result.adapter is None and not hasattr(found, "peft_config")
    assert all(p.requires_grad for p in found.parameters())


def changed(before: dict[str, torch.Tensor], found: torch.nn.Module) -> set[str]:
    now = found.state_dict()
    return {name for name, value in before.items() if not torch.equal(value, now[name])}


def test_what_changes_is_what_was_chosen(tmp_path: Path) -> None:
    first, _ = pruned("gpt2")
    before = state(first)
    names = set(before)
    blocks = set(pruned("gpt2")[1])
    norms = {n for n in names if ".ln_" in n}
    wanted = {
        "biases": {n for n in names if n.endswith(".bias")},
        "norms": norms,
        "biases+norms": norms | {n for n in names if n.endswith(".bias")},
        "masklora": blocks,
        "full": blocks,
        "head": {"lm_head.weight"},
    }
    for method, expected in wanted.items():
        found, _, _ = retrained(tmp_path / method, method)
        assert changed(before, found) == expected, method


def test_a_tied_head_gets_a_weight_of_its_own(tmp_path: Path) -> None:
    found, _, _ = retrained(tmp_path, "head")
    assert torch.equal(found.transformer.wte.weight, pruned("gpt2")[0].transformer.wte.weight)
    assert found.config.tie_word_embeddings is False
    found.save_pretrained(tmp_path / "model")
    again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    ids = windows()
    torch.testing.assert_close(again(ids).logits, found.eval()(ids).logits, rtol=0, atol=0)


@pytest.mark.parametrize("method", [n for n in MERGING if retrainers()[n].changes_weights])
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_merged_is_unmerged(method: str, architecture: str) -> None:
    found, masks = pruned(architecture, "0.5")
    zeros = {name: found.get_parameter(name) == 0 for name in masks}
    attached = Attached(found, parse(method), masks)
    found.eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in attached.parameters.values():
        if method != "full":
            parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    ids = windows()
    with torch.no_grad():
        unmerged = found(ids).logits
        attached.merge()
        torch.testing.assert_close(found(ids).logits, unmerged, rtol=1e-5, atol=1e-5)
    for name, removed in zeros.items():
        assert torch.equal(found.get_parameter(name) == 0, removed)


def test_lora_stays_beside_the_model_and_its_merge_is_refused_with_the_density(
    tmp_path: Path,
) -> None:
    found, masks, result = retrained(tmp_path, "lora:r=4+biases")
    assert isinstance(result.adapter, peft.PeftModel)
    result.adapter.save_pretrained(str(tmp_path / "adapter"))
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
    with pytest.raises(InputError, match=r"zeros from 50.0% to 0.0%'. Retrain with masklora or"):
        retrainer.merge(result.adapter, masks)
    assert any("lora_A" in name for name, _ in found.named_parameters())


def test_the_standard_forward_pass_comes_first_and_then_the_mask(tmp_path: Path) -> None:
    def losses(method: str) -> list[float]:
        retrained(tmp_path / method, method, "llama")
        return [e["loss"] for e in read_events(tmp_path / method / "events.jsonl")]

    plain, masked = losses("lora-prune"), losses("masklora")
    assert losses("masklora-std:standard=0") == masked != plain
    assert losses("masklora-std:standard=1") == plain
    half = losses("masklora-std:standard=0.5")
    assert half[:3] == plain[:3] and half[3:] != plain[3:]


def test_a_kept_zero_can_come_back_and_decay_revives_nothing(tmp_path: Path) -> None:
    for method in ("full", "masklora"):
        found, masks = pruned("llama")
        name = list(masks)[-1]
        found.get_parameter(name).data[:, :4] = 0
        steps = settings(weight_decay=0.1)
        retrain(found, masks, Rows(), collate, method, steps, tmp_path / method, keep=False)
        weight = found.get_parameter(name).detach()
        assert not weight[~masks[name]].any() and weight[masks[name]].all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_what_trains_of_a_16_bit_model_is_in_float32(
    dtype: torch.dtype, architecture: str, tmp_path: Path
) -> None:
    found = model(architecture).to(dtype)
    masks = prune(found, "0.5").masks
    before = loss(found)
    method = "biases+masklora:r=4" if architecture == "gpt2" else "norms+masklora:r=4"
    attached = Attached(found, parse(method), masks)
    assert {p.dtype for p in attached.parameters.values()} == {torch.float32}
    attached.merge()
    retrain(found, masks, Rows(), collate, method, settings(), tmp_path, keep=False)
    assert {p.dtype for p in found.parameters()} == {dtype}
    assert masking.intact(found, masks)
    assert loss(found) < before


def test_a_run_that_was_stopped_ends_in_the_same_bytes(tmp_path: Path) -> None:
    method = "biases+norms+masklora-std:r=4"
    whole, _, _ = retrained(tmp_path / "whole", method)
    retrained(tmp_path / "parts", method, stop_after=2, keep=True)
    parts, _, result = retrained(tmp_path / "parts", method, keep=True)
    assert not changed(state(whole), parts)
    again, _, _ = retrained(tmp_path / "parts", method, keep=True)  # all done: loads and merges
    assert not changed(state(whole), again)
    saved = tmp_path / "parts" / "checkpoints" / "checkpoint-6" / "model.safetensors"
    from safetensors.torch import load_file

    assert sum(v.numel() for v in load_file(saved).values()) == result.report["trainable"]
    with pytest.raises(ArtifactError, match="holds a retraining with biases"):
        retrained(tmp_path / "parts", "biases")


def test_checkpointing_changes_no_bit(tmp_path: Path) -> None:
    plain, _, _ = retrained(tmp_path / "plain", "masklora", "llama")
    thrifty, _, _ = retrained(
        tmp_path / "thrifty", "masklora", "llama", settings=settings(checkpointing=True)
    )
    assert not changed(state(plain), thrifty)


SHAPES = {"125m": (768, 12, 12, 3072), "1.3b": (2048, 24, 32, 8192), "2.7b": (2560, 32, 32, 10240)}


def opt(shape: str) -> torch.nn.Module:
    width, layers, heads, inner = SHAPES[shape]
    config = transformers.OPTConfig(
        hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads, ffn_dim=inner,
        word_embed_proj_dim=width, vocab_size=50272, max_position_embeddings=2048,
    )  # fmt: skip
    return cost.on_meta(lambda: transformers.OPTForCausalLM(config))


@pytest.mark.parametrize(
    ("shape", "total", "counts"),
    [
        ("125m", 125_239_296, (102_144, 38_400, 121_344, 2_654_208, 3_592_192)),
        ("1.3b", 1_315_758_080, (542_720, 200_704, 643_072, 14_155_776, 15_635_968)),
        ("2.7b", 2_651_596_800, (903_680, 332_800, 1_070_080, 23_592_960, 25_508_352)),
    ],
)
def test_counts_are_the_papers(shape: str, total: int, counts: tuple[int, ...]) -> None:
    methods = ("biases", "norms", "biases+norms", "masklora", "biases+norms+masklora+head")
    assert [retrainer.count(opt(shape), m) for m in methods] == [(n, total) for n in counts]
    assert retrainer.count(opt(shape), "lora") == retrainer.count(opt(shape), "scalelora")


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("bias", "unknown way to retrain, but got 'bias'. Did you mean 'biases'"),
        ("masklora:rank=4", "masklora has the options"),
        ("masklora:r=four", "r of masklora is a whole number, but got 'four'"),
        ("norms+head+masklora:r=0", "a rank must be a whole number of at least 1"),
        ("norms+norms", "names each way to retrain once"),
        ("masklora+full", r"one way at most may train the pruned weights.*Leave out full"),
        ("masklora-std:standard=2", "'standard' is a share of the steps, 0 to 1"),
        ("biases", "needs a model that has some, but got 'LlamaForCausalLM'. Retrain 'norms'"),
    ],
)
def test_bad_combinations_are_explained(method: str, text: str, tmp_path: Path) -> None:
    found, masks = pruned("llama")
    with pytest.raises(InputError, match=text):
        retrain(found, masks, Rows(), collate, method, settings(), tmp_path)
    untouched(found, tmp_path)


def untouched(found: Any, folder: Path) -> None:
    """As pruning left it, and nothing written."""
    plain, _ = pruned("llama")
    assert not changed(state(plain), found) and len(state(plain)) == len(state(found))
    assert all(p.requires_grad for p in found.parameters())
    assert not list(folder.iterdir())


def test_masks_of_another_model_are_refused(tmp_path: Path) -> None:
    found, _ = pruned("llama")
    _, masks = pruned("gpt2")
    with pytest.raises(InputError, match="stored with this model"):
        retrain(found, masks, Rows(), collate, "norms", settings(), tmp_path)


def test_a_pruned_head_is_refused_by_head(tmp_path: Path) -> None:
    found, masks = pruned("llama")
    masks["lm_head.weight"] = torch.ones_like(found.lm_head.weight, dtype=torch.bool)
    with pytest.raises(InputError, match="an output projection that is not pruned"):
        retrain(found, masks, Rows(), collate, "head", settings(), tmp_path)


def test_more_than_is_allowed_is_refused_with_what_would_do(tmp_path: Path) -> None:
    found, masks = pruned("llama")
    with pytest.raises(BudgetError, match=r"at most 0.5000%.*\"trainable=0.5360%\""):
        retrain(found, masks, Rows(), collate, "norms", settings(), tmp_path, allowed=0.005)
    for method in ("scalelora:r=3", "lora", "full"):
        with pytest.raises(BudgetError, match="may train"):
            retrain(found, masks, Rows(), collate, method, settings(), tmp_path, allowed=0.005)
    untouched(found, tmp_path)


def test_the_recipe_is_the_papers() -> None:
    recipe = retraining.settings(1000)
    assert (recipe.learning_rate, recipe.warmup, recipe.weight_decay) == (5e-4, 0.1, 0.0)
    assert recipe.schedule == "linear"
    assert str(parse("masklora:r=8")[0]) == "masklora:r=8,alpha=32"
    assert "+".join(map(str, parse("biases + head"))) == "biases+head:r=16,alpha=32"
