"""KronA: the Kronecker product, the choice of factors, diffusion models, files for others."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any, ClassVar

import peft
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from parsimony.adapt.methods.krona import (
    ATTENTION,
    KronaConfig,
    KronaLayer,
    export_lokr,
    export_lycoris,
    factors,
    load_official,
    summary,
    tuner,
)
from parsimony.core.errors import ArtifactError, InputError
from parsimony.testing.adapter_contract import AdapterContract, Case


class TestTuner(AdapterContract):
    config = KronaConfig
    settings: ClassVar = {"scale": 0.7}

    def count(self, case: Case, layer: nn.Module, config: Any) -> int:
        outputs, inputs = layer.shape
        product = math.prod(factors(outputs, inputs, a1=config.a1, a2=config.a2))
        return product + outputs * inputs // product


def adapted(layer: nn.Module, **given: Any) -> peft.PeftModel:
    """A dense layer under KronA whose factors are both drawn at random, in float64."""
    torch.manual_seed(0)
    model = peft.get_peft_model(nn.Sequential(layer), KronaConfig(target_modules=["0"], **given))
    krona(model).krona_B["default"].data.normal_()
    return model.double()


def krona(model: nn.Module) -> KronaLayer:
    return next(layer for layer in model.modules() if isinstance(layer, KronaLayer))


def by_entry(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """The paper's definition, entry by entry: [q b1 + p, i b2 + j] = A[q, i] B[p, j]."""
    (a1, a2), (b1, b2) = a.shape, b.shape
    found = torch.zeros(a1 * b1, a2 * b2, dtype=a.dtype)
    for q in range(a1):
        for p in range(b1):
            found[q * b1 + p] = torch.cat([a[q, i] * b[p] for i in range(a2)])
    return found


@pytest.mark.parametrize("shape", [(24,), (5, 24), (2, 5, 24), (2, 3, 5, 24), (0, 24)])
@pytest.mark.parametrize(("a1", "a2"), [(4, 4), (2, 12), (20, 2), (1, 24), (20, 24), (1, 1)])
@pytest.mark.filterwarnings("ignore:KronA on 0 trains as many values")
def test_the_forward_is_the_product_with_the_paper_s_matrix(
    shape: tuple[int, ...], a1: int, a2: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = adapted(nn.Linear(24, 20), a1=a1, a2=a2, scale=0.5)
    layer, x = krona(model), torch.randn(*shape, dtype=torch.float64)
    a, b = layer.krona_A["default"], layer.krona_B["default"]
    expected = layer.base_layer(x) + x @ (0.5 * by_entry(a, b)).T
    for costs in ((0, 1), (1, 0)):  # A first, B first
        monkeypatch.setattr(tuner, "_costs", lambda *_, costs=costs: costs)
        assert torch.allclose(model(x), expected, rtol=1e-12, atol=1e-12)


def test_the_cheaper_order_is_taken() -> None:
    assert tuner._costs(1280, 1280, (4, 64)) == (30_720, 491_520)
    assert tuner._costs(1280, 1280, (64, 4)) == (491_520, 30_720)
    for a1, a2 in ((4, 64), (64, 4)):
        layer = krona(adapted(nn.Linear(1280, 1280), a1=a1, a2=a2))
        with FlopCounterMode(display=False) as counter:
            layer.update("default", torch.zeros(3, 1280, dtype=torch.float64))
        assert counter.get_total_flops() == 2 * 3 * 30_720


def test_the_order_of_the_authors_layer() -> None:
    model = adapted(nn.Linear(24, 20, bias=False), a1=4, a2=6, shuffled=True)
    layer, x = krona(model), torch.randn(3, 24, dtype=torch.float64)
    a, b = layer.krona_A["default"], layer.krona_B["default"]
    delta = layer.get_delta_weight("default")
    for p, q, i, j in ((0, 1, 2, 3), (4, 3, 5, 1), (2, 0, 1, 0)):
        assert delta[p * 4 + q, i * 4 + j] == b[p, j] * a[q, i]
    assert torch.allclose(model(x), x @ (layer.base_layer.weight + delta).T, rtol=1e-12)


def test_it_starts_as_published() -> None:
    torch.manual_seed(0)
    config = KronaConfig(target_modules=["0"], a1=8, a2=640)
    layer = krona(peft.get_peft_model(nn.Sequential(nn.Linear(640, 64)), config))
    assert not layer.krona_B["default"].any()
    assert layer.krona_A["default"].std().item() == pytest.approx(1 / 8, rel=0.03)


def test_merging_is_exact_to_a_millionth() -> None:
    model = adapted(nn.Linear(768, 320), a1=4, a2=64).float()
    x = torch.randn(8, 768)
    expected = model(x)
    merged = model.merge_and_unload()(x)
    assert (merged - expected).abs().max() <= 1e-6 * expected.abs().max()


@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_the_rank_is_the_product_of_the_ranks(data: st.DataObject) -> None:
    outputs, inputs = (data.draw(st.sampled_from([8, 12, 18])) for _ in range(2))
    a1, a2 = (data.draw(st.sampled_from(tuner._divisors(n))) for n in (outputs, inputs))
    a, b = torch.randn(a1, a2).double(), torch.randn(outputs // a1, inputs // a2).double()
    expected = min(a.shape) * min(b.shape)
    assert torch.linalg.matrix_rank(torch.kron(a, b)) == expected


@settings(max_examples=40, deadline=None, derandomize=True, database=None)
@given(
    outputs=st.integers(1, 40),
    inputs=st.integers(1, 40),
    spare=st.one_of(st.none(), st.floats(1, 3)),
)
def test_factors_are_the_best_of_all_within_the_budget(
    outputs: int, inputs: int, spare: float | None
) -> None:
    every = [(a, b) for a in tuner._divisors(outputs) for b in tuner._divisors(inputs)]

    def count(pair: tuple[int, int]) -> int:
        return math.prod(pair) + (outputs // pair[0]) * (inputs // pair[1])

    least = min(map(count, every))
    budget = 1.25 * least if spare is None else int(spare * least)
    a1, a2 = factors(outputs, inputs, None if spare is None else int(budget))
    allowed = [pair for pair in every if count(pair) <= budget]

    def rank(pair: tuple[int, int]) -> int:
        return min(pair) * min(outputs // pair[0], inputs // pair[1])

    assert (a1, a2) in allowed and rank((a1, a2)) == max(map(rank, allowed))
    assert count((a1, a2)) == max(count(p) for p in allowed if rank(p) == rank((a1, a2)))
    assert least >= 2 * math.sqrt(outputs * inputs) - 1e-9


def test_factors_of_a_square_weight_give_full_rank() -> None:
    a1, a2 = factors(768, 768)
    assert min(a1, a2) * min(768 // a1, 768 // a2) == 768


def test_a_budget_too_small_is_refused_with_the_least() -> None:
    with pytest.raises(InputError, match="on 768 x 768 takes at least 1536 parameters, but got 9"):
        factors(768, 768, 9)
    with pytest.raises(InputError, match=r"a1 must divide the 768 outputs .*got \(5, None\)"):
        factors(768, 768, a1=5)


# -- diffusion models ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unet() -> nn.Module:
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        layers_per_block=1,
        block_out_channels=(16, 32),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=24,
        attention_head_dim=8,
        norm_num_groups=8,
    ).eval()


def moved(model: nn.Module) -> nn.Module:
    """Every trainable parameter away from its start."""
    torch.manual_seed(3)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def test_a_unet_trains_saves_loads_and_merges(unet: nn.Module, tmp_path: Path) -> None:
    def out(model: nn.Module) -> torch.Tensor:
        with torch.no_grad():
            return model(x, 7, words).sample

    torch.manual_seed(1)
    x, words = torch.randn(2, 4, 8, 8), torch.randn(2, 3, 24)
    base = out(unet)
    model = peft.get_peft_model(copy.deepcopy(unet), KronaConfig(target_modules=ATTENTION))
    assert (out(model) - base).abs().max() <= 1e-6
    layers = [layer.path for layer in model.modules() if isinstance(layer, KronaLayer)]
    maps = [n for n, m in unet.named_modules() if ".attn" in n and isinstance(m, nn.Linear)]
    assert sorted(layers) == sorted(maps) and len(maps) == 4 * 2 * 4
    model(x, 7, words).sample.square().mean().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    moved(model)
    expected = out(model)
    assert not torch.equal(expected, base)
    model.save_pretrained(str(tmp_path))
    twin = peft.PeftModel.from_pretrained(copy.deepcopy(unet), str(tmp_path)).eval()
    assert torch.equal(out(twin), expected)
    assert (out(model.merge_and_unload()) - expected).abs().max() <= 1e-5


def test_a_diffusion_transformer_trains_and_merges() -> None:
    diffusers = pytest.importorskip("diffusers")
    torch.manual_seed(0)
    base = diffusers.DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=2,
        sample_size=8,
        norm_num_groups=4,
        num_embeds_ada_norm=10,
    ).eval()

    def out(model: nn.Module) -> torch.Tensor:
        return model(torch.ones(1, 4, 8, 8), torch.tensor([3]), torch.tensor([1])).sample

    model = peft.get_peft_model(base, KronaConfig(target_modules=ATTENTION, a1=4, a2=8))
    assert sum(isinstance(layer, KronaLayer) for layer in model.modules()) == 2 * 4
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 8 * (32 + 8)
    moved(model)
    expected = out(model)
    expected.sum().backward()
    assert (out(model.merge_and_unload()) - expected).abs().max() <= 1e-5


def test_each_projection_may_have_factors_of_its_own(unet: nn.Module) -> None:
    config = KronaConfig(
        target_modules=ATTENTION,
        a1=2,
        a2=8,
        factor_pattern={"to_k": (4, 4), r"attn2\.to_v": (8, 12)},
    )
    model = peft.get_peft_model(copy.deepcopy(unet), config)
    for layer in model.modules():
        if isinstance(layer, KronaLayer):
            ends = {"attn2.to_v": (8, 12), "to_k": (4, 4)}
            expected = next((p for e, p in ends.items() if layer.path.endswith(e)), (2, 8))
            assert tuple(layer.krona_A["default"].shape) == expected


def test_all_that_do_not_divide_are_named_and_nothing_changes(unet: nn.Module) -> None:
    model = copy.deepcopy(unet)
    before = [type(m) for m in model.modules()]
    with pytest.raises(InputError) as caught:
        peft.get_peft_model(model, KronaConfig(target_modules=ATTENTION, a1=3, a2=16))
    text = str(caught.value)
    assert text.count("a1=3, a2=16)") == 4 * 2 * 4 and "\n" not in text
    assert "attn2.to_k (16 x 24, a1=3, a2=16)" in text
    assert "a1 can be one of [1, 2, 4, 8, 16] and a2 one of [1, 2, 4, 8]" in text
    assert "sizes of A, not a rank and an alpha" in text
    assert [type(m) for m in model.modules()] == before


def test_a_factor_of_one_number_is_warned_of() -> None:
    for a1, a2 in ((1, 1), (20, 24)):
        with pytest.warns(UserWarning, match="KronA on 0 trains as many values as the weight has"):
            adapted(nn.Linear(24, 20), a1=a1, a2=a2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"a1": 0}, "a1 must be a whole number of at least 1, but got 0"),
        ({"a2": 2.5}, r"a2 must be a whole number of at least 1, but got 2\.5"),
        ({"factor_pattern": {"q": (4,)}}, r"a pair \(a1, a2\), but got"),
        ({"factor_pattern": {"q": (4, -1)}}, "a2 of 'q' must be a whole number"),
    ],
)
def test_what_it_refuses(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        KronaConfig(target_modules=["0"], **given)


def test_the_summary_counts_what_trains_and_what_is_saved(unet: nn.Module, tmp_path: Path) -> None:
    model = peft.get_peft_model(
        copy.deepcopy(unet), KronaConfig(target_modules=ATTENTION, a1=4, a2=4)
    )
    table = summary(model)
    assert table.maps.sum() == 4 * 2 * 4
    assert table.parameters.sum() == sum(p.numel() for p in model.parameters() if p.requires_grad)
    lora = peft.get_peft_model(copy.deepcopy(unet), peft.LoraConfig(r=4, target_modules=ATTENTION))
    assert table.lora_4.sum() == sum(p.numel() for p in lora.parameters() if p.requires_grad)
    model.save_pretrained(str(tmp_path))
    saved = load_file(tmp_path / "adapter_model.safetensors").values()
    assert table.bytes.sum() == sum(t.numel() * t.element_size() for t in saved)


# -- files -----------------------------------------------------------------------------------------


class Pair(nn.Module):
    """Two maps of different shapes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.q, self.v = nn.Linear(24, 16), nn.Linear(16, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.v(self.q(x))


def trained_pair(**given: Any) -> peft.PeftModel:
    config = KronaConfig(target_modules=["q", "v"], **{"a1": 8, "a2": 8, **given})
    return moved(peft.get_peft_model(Pair(), config))


def test_peft_reads_the_export_as_lokr_with_the_same_update(tmp_path: Path) -> None:
    model, x = trained_pair(scale=0.7), torch.randn(5, 24)
    export_lokr(model, folder := tmp_path / "new" / "folder")
    found = peft.PeftModel.from_pretrained(Pair(), str(folder))
    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}, "transformers asks for it"
    assert found.peft_config["default"].peft_type == "LOKR"
    for name in "qv":
        ours, theirs = (getattr(m.base_model.model, name) for m in (model, found))
        expected = ours.get_delta_weight("default")
        assert torch.allclose(theirs.get_delta_weight("default"), expected, atol=1e-7)
    assert torch.allclose(found(x), model(x), atol=1e-6)


def test_the_export_has_the_keys_of_lycoris(tmp_path: Path) -> None:
    model = trained_pair(a2=4, scale=0.7)
    export_lycoris(model, tmp_path / "krona.safetensors", prefix="lora_te")
    saved = load_file(tmp_path / "krona.safetensors")
    ends = ("alpha", "lokr_w1", "lokr_w2")
    assert set(saved) == {f"lora_te_{name}.{end}" for name in "qv" for end in ends}
    for name in "qv":
        w1, w2 = (saved[f"lora_te_{name}.lokr_w{n}"] for n in (1, 2))
        expected = getattr(model.base_model.model, name).get_delta_weight("default")
        assert torch.allclose(torch.kron(w1, w2), expected, atol=1e-7)


def test_what_is_no_lokr_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"one size .* of every A, but got \[4, 8\]"):
        export_lokr(trained_pair(a2=4), tmp_path)
    for export in (export_lokr, export_lycoris):
        with pytest.raises(InputError, match="must be a Kronecker product to be LoKr"):
            export(trained_pair(shuffled=True), tmp_path / "x")
        with pytest.raises(InputError, match="no KronA adapter of that name, but got 'other'"):
            export(trained_pair(), tmp_path / "x", adapter="other")
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_the_authors_is_read_in_their_order(tmp_path: Path) -> None:
    processor = pytest.importorskip("diffusers.models.attention_processor")
    attention = processor.Attention(24, heads=2, dim_head=8)
    model = nn.ModuleDict({"attn1": attention})
    torch.manual_seed(0)
    tensors = {}
    for name in ("q", "k", "v", "out"):
        inputs, outputs = (16, 24) if name == "out" else (24, 16)
        key = f"unet.attn1.processor.to_{name}_lora"
        tensors[f"{key}.down.weight"] = torch.randn(8, 4)
        tensors[f"{key}.up.weight"] = torch.randn(outputs // 4, inputs // 8)
    other = {"text_encoder.of_another_part": torch.zeros(1)}
    save_file(tensors | other, tmp_path / "official.safetensors")
    adapted = load_official(model, tmp_path / "official.safetensors")
    for name, path in (("q", "to_q"), ("out", "to_out.0")):
        layer = adapted.base_model.model["attn1"].get_submodule(path)
        down, up = (
            tensors[f"unet.attn1.processor.to_{name}_lora.{d}.weight"] for d in ("down", "up")
        )
        # What their layer does: x read as (a2, b2), a product at either side, (p, q) flattened.
        expected = torch.einsum("pj,iq->pqij", up, down).reshape(layer.shape)
        assert torch.allclose(layer.get_delta_weight("default"), expected, atol=1e-6)

    def refused(kind: type[Exception], match: str, changed: dict[str, torch.Tensor]) -> None:
        save_file(changed, tmp_path / "broken.safetensors")
        with pytest.raises(kind, match=match):
            load_official(nn.ModuleDict({"attn1": attention}), tmp_path / "broken.safetensors")

    first = next(iter(tensors))
    refused(ArtifactError, "'down' and 'up' of every map", {first: tensors[first]})
    refused(ArtifactError, "must hold KronA weights", {"unet.strange": tensors[first]})
    refused(InputError, "a layer attn2.to_[qkv] with 16 outputs and 24 inputs",
            {k.replace("attn1", "attn2"): v for k, v in tensors.items()})  # fmt: skip
