"""Bottleneck adapters: the contract for every block, their formulas, places and refusals."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, ClassVar

import peft
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from parsimony.adapt.methods.bottleneck import BottleneckConfig, blocks
from parsimony.adapt.methods.bottleneck.placement import PLACES
from parsimony.core import pretrained
from parsimony.core.errors import InputError
from parsimony.core.peft_border import load_adapter, weight_shape
from parsimony.testing import tiny
from parsimony.testing.adapter_contract import AdapterContract, Case

K = 2


class TestDense(AdapterContract):
    config = BottleneckConfig
    settings: ClassVar[dict[str, Any]] = {"width": K}

    def count(self, case: Case, layer: nn.Module, config: BottleneckConfig) -> int:
        d = weight_shape(layer.get_base_layer())[0]
        return 2 * d * K + d + K


class Variant(AdapterContract):
    """A variant differs by its arithmetic alone; a fresh process is the same for all."""

    config = BottleneckConfig
    test_it_loads_in_a_fresh_process = None


class TestParallel(Variant):
    count = TestDense.count
    settings: ClassVar[dict[str, Any]] = {"width": K, "order": "parallel", "scaling": 4.0}
    square = True


class TestAdapterPlus(Variant):
    settings: ClassVar[dict[str, Any]] = {"width": K, "init": "houlsby", "channel_scale": True}
    changes_at_start = True

    def count(self, case: Case, layer: nn.Module, config: BottleneckConfig) -> int:
        d = weight_shape(layer.get_base_layer())[0]
        return 2 * d * K + d + K + d


class TestConvpass(Variant):
    settings: ClassVar[dict[str, Any]] = {"width": K, "block": "convpass"}

    def count(self, case: Case, layer: nn.Module, config: BottleneckConfig) -> int:
        d = weight_shape(layer.get_base_layer())[0]
        return 2 * d * K + d + K + 3 * K * K + K


class TestConformer(Variant):
    settings: ClassVar[dict[str, Any]] = {
        "width": K,
        "block": "conformer",
        "kernel": 2,
        "norm": "group",
    }

    def count(self, case: Case, layer: nn.Module, config: BottleneckConfig) -> int:
        d = weight_shape(layer.get_base_layer())[0]
        return 2 * d + 2 * (d * K + K) + K * config.kernel + K + 2 * K + K * d + d


# -- the formulas -------------------------------------------------------------------------------


def drawn(block: nn.Module) -> nn.Module:
    """The block in float64 with every parameter random."""
    torch.manual_seed(0)
    for parameter in block.double().parameters():
        nn.init.normal_(parameter)
    return block.eval()


def test_the_dense_block_is_its_formula() -> None:
    block, h = drawn(blocks.Dense(6, 2, "gelu")), torch.randn(3, 4, 6, dtype=torch.float64)
    down, up = block.down, block.up
    inner = functional.gelu(h @ down.weight.T + down.bias)
    assert torch.allclose(block(h), inner @ up.weight.T + up.bias, atol=1e-12)
    scaled = blocks.Scaled(block, 6)
    assert torch.equal(scaled(h), block(h))
    nn.init.constant_(scaled.channel, 2.0)
    assert torch.equal(scaled(h), 2 * block(h))


@hypothesis_settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(
    tokens=st.integers(8, 12), kernel=st.integers(1, 8), norm=st.sampled_from(["batch", "group"])
)
def test_the_conformer_block_is_its_formula(tokens: int, kernel: int, norm: str) -> None:
    """Token by token: y_t = sum_j w_j x_(t + j - (kernel - 1) // 2), zero outside."""
    d, k = 6, 3
    block = drawn(blocks.Conformer(d, k, "silu", kernel, norm))
    if norm == "batch":
        block.norm_mid.running_mean.normal_()
        block.norm_mid.running_var.uniform_(0.5, 2.0)
    h = torch.randn(2, tokens, d, dtype=torch.float64)
    x = functional.layer_norm(h, (d,), block.norm_in.weight, block.norm_in.bias)
    first, gate = (x @ block.down.weight.T + block.down.bias).split(k, dim=-1)
    x = first * gate.sigmoid()
    mixed = torch.zeros_like(x)
    for t in range(tokens):
        mixed[:, t] = block.conv.bias
        for j in range(kernel):
            source = t + j - (kernel - 1) // 2
            if 0 <= source < tokens:
                mixed[:, t] += block.conv.weight[:, 0, j] * x[:, source]
    inner = block.norm_mid
    if norm == "batch":
        mixed = (mixed - inner.running_mean) / (inner.running_var + inner.eps).sqrt()
    else:
        centred = mixed - mixed.mean((1, 2), keepdim=True)
        mixed = centred / (centred.square().mean((1, 2), keepdim=True) + inner.eps).sqrt()
    mixed = functional.silu(mixed * inner.weight + inner.bias)
    assert torch.allclose(block(h), mixed @ block.up.weight.T + block.up.bias, atol=1e-10)
    assert torch.allclose(block(h[0]), block(h)[0], atol=1e-10), "a lone sequence is a batch of one"


def test_the_convpass_block_is_its_formula() -> None:
    block = drawn(blocks.Convpass(6, 3, "quick_gelu"))
    h = torch.randn(2, 5, 6, dtype=torch.float64)

    def quick(x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(1.702 * x)

    x = quick(h @ block.down.weight.T + block.down.bias)
    padded = functional.pad(x, (0, 0, 1, 1))
    mixed = sum(padded[:, j : j + 5] @ block.conv.weight[:, :, j].T for j in range(3))
    expected = quick(mixed + block.conv.bias) @ block.up.weight.T + block.up.bias
    assert torch.allclose(block(h), expected, atol=1e-10)


def test_the_initial_projections_follow_the_published_laws() -> None:
    torch.manual_seed(0)
    block = blocks.Dense(256, 64, "gelu")
    blocks.start(block, "zero-up")
    assert not block.up.weight.any() and not block.up.bias.any() and not block.down.bias.any()
    bound = (6 / (256 + 64)) ** 0.5
    assert 0.99 * bound < block.down.weight.abs().max() <= bound
    blocks.start(block, "houlsby")
    for weight in (block.down.weight, block.up.weight):
        assert weight.abs().max() <= 0.02
        # A normal cut at two deviations keeps 0.8796 of its deviation.
        assert weight.std().item() == pytest.approx(0.01 * 0.8796, rel=0.05)


def test_two_zero_projections_would_never_learn() -> None:
    """What the zero start of one projection avoids: with both at zero only a bias moves."""
    torch.manual_seed(0)
    target, x = torch.randn(32, 6), torch.randn(32, 6)
    moved = {}
    for both in (True, False):
        block = blocks.Dense(6, 2, "gelu")
        blocks.start(block, "zero-up")
        if both:
            nn.init.zeros_(block.down.weight)
        before = {name: p.detach().clone() for name, p in block.named_parameters()}
        optimizer = torch.optim.AdamW(block.parameters(), lr=1e-2)
        for _ in range(50):
            functional.mse_loss(block(x), target).backward()
            optimizer.step()
            optimizer.zero_grad()
        moved[both] = {n for n, p in block.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {True: {"up.bias"}, False: set(before)}


def test_a_batch_of_one_leaves_the_running_statistics_alone_and_says_so() -> None:
    block = blocks.Conformer(6, 3, "silu", 2, "batch").train()
    h = torch.randn(3, 5, 6)
    with pytest.warns(UserWarning, match="a batch of one: the conformer adapter normalises with"):
        block(h[:1])
    assert block.norm_mid.num_batches_tracked == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        block(h)
        block.norm_mid = nn.GroupNorm(1, 3)
        block(h[:1])
    with pytest.raises(InputError, match=r"must not span more tokens.*'kernel': 2, 'tokens': 1"):
        block(h[:, :1])


def test_running_statistics_are_kept_saved_and_loaded_in_full_precision(tmp_path: Path) -> None:
    config = {"width": 2, "block": "conformer", "kernel": 2, "target_modules": ["0"]}

    def base() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 6)).bfloat16()

    model = peft.get_peft_model(base(), BottleneckConfig(**config)).train()
    x = torch.randn(4, 5, 6, dtype=torch.bfloat16)
    for _ in range(3):
        model(x)
    model.eval().save_pretrained(str(tmp_path))
    saved = load_file(tmp_path / "adapter_model.safetensors")
    mean = saved["base_model.model.0.bottleneck_block.norm_mid.running_mean"]
    assert mean.dtype == torch.float32 and mean.any()
    assert torch.equal(load_adapter(base(), tmp_path)(x), model(x))


# -- places -------------------------------------------------------------------------------------

_DECODER = {"num_key_value_heads": 2, "head_dim": 4}
SIZES: dict[str, dict[str, Any]] = {
    "t5": {"d_model": 8, "d_kv": 4, "d_ff": 12, "num_layers": 2, "num_heads": 2},
    "bart": {
        "d_model": 8, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 12,
        "decoder_ffn_dim": 12, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    },
    "gpt2": {"n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 32},
    "distilbert": {"dim": 8, "hidden_dim": 12, "n_layers": 2, "n_heads": 2},
    "opt": {"ffn_dim": 12, "word_embed_proj_dim": 8},
    "wav2vec2": {"num_conv_pos_embedding_groups": 2, "conv_dim": [4] * 7},
}  # fmt: skip
ALIKE = {
    "mt5": "t5", "umt5": "t5", "mbart": "bart", "marian": "bart", "pegasus": "bart",
    "whisper": "bart", "m2m_100": "bart", "gpt_bigcode": "gpt2", "hubert": "wav2vec2",
}  # fmt: skip


def small(model_type: str) -> nn.Module:
    """Two blocks (a stack) of an architecture, without weights."""
    given = {
        "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 2,
        "num_attention_heads": 2, "vocab_size": 40, "pad_token_id": 0,
        **SIZES.get(ALIKE.get(model_type, model_type), {}),
    }  # fmt: skip
    config_class = transformers.CONFIG_MAPPING[model_type]
    known = set(config_class().to_dict()) | set(config_class.attribute_map)
    config = config_class(**{key: value for key, value in given.items() if key in known})
    with torch.device("meta"):
        return transformers.AutoModel.from_config(config)


def places(model: nn.Module) -> list[str]:
    return [n for n, m in model.named_modules() if type(m).__name__ == "BottleneckLayer"]


@pytest.mark.parametrize("model_type", sorted(PLACES))
def test_every_known_architecture_gets_an_adapter_after_each_sublayer(model_type: str) -> None:
    stacks = 2 if getattr(small(model_type).config, "is_encoder_decoder", False) else 1
    counts = {"attention+ffn": 4 * stacks, "attention": 2 * stacks, "ffn": 2 * stacks,
              "block": 2 * stacks}  # fmt: skip
    for placement, expected in counts.items():
        with torch.device("meta"):
            config = BottleneckConfig(placement=placement, width=2)
            model = peft.get_peft_model(small(model_type), config)
        assert len(places(model)) == expected, (placement, places(model))
        cross = ("EncDecAttention", "encoder_attn", "crossattention")
        assert not [p for p in places(model) if any(name in p for name in cross)]
    beside = PLACES[model_type].pattern("attention+ffn", "parallel")
    config = BottleneckConfig(width=2, order="parallel")
    if beside is None:
        with pytest.raises(InputError, match=r"must have a module for placement.*choose order="):
            peft.get_peft_model(small(model_type), config)
    else:
        with torch.device("meta"):
            assert len(places(peft.get_peft_model(small(model_type), config))) == 4 * stacks


IDS = torch.tensor([[1, 5, 9, 2], [1, 7, 3, 2]])


def language(architecture: str) -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    return pretrained.build(tiny.config(architecture), "causal-lm").eval()


def settled(model: nn.Module, **config: Any) -> peft.PeftModel:
    torch.manual_seed(1)
    wrapped = peft.get_peft_model(model, BottleneckConfig(width=2, **config)).eval()
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.2)
    return wrapped


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
@pytest.mark.parametrize(
    ("order", "placement"),
    [("serial", "attention+ffn"), ("parallel", "attention+ffn"), ("serial", "block")],
)
def test_the_adapter_adds_to_what_the_sublayer_returns(
    architecture: str, order: str, placement: str
) -> None:
    """Seen by hooks in a whole model: sub-layers called by keyword and returning tuples too."""
    model = language(architecture)
    base = model(input_ids=IDS).logits
    wrapped = settled(model, order=order, placement=placement, scaling=0.5)
    seen: list[str] = []

    def watch(layer: Any, args: Any, kwargs: Any, found: Any) -> None:
        def first(value: Any) -> torch.Tensor:
            return value if isinstance(value, torch.Tensor) else value[0]

        x = args[0] if args else kwargs["hidden_states"]
        output = first(layer.base_layer(*args, **kwargs))
        h = x if order == "parallel" else output
        expected = output + 0.5 * layer.bottleneck_block["default"](h)
        assert torch.allclose(first(found), expected, atol=1e-6)
        seen.append(layer.path)

    hooks = [
        wrapped.get_submodule(path).register_forward_hook(watch, with_kwargs=True)
        for path in places(wrapped)
    ]
    with torch.no_grad():
        assert not torch.allclose(wrapped(input_ids=IDS).logits, base, atol=1e-4)
    blocks = wrapped.get_base_model().config.num_hidden_layers
    assert len(seen) == (blocks if placement == "block" else 2 * blocks)
    for hook in hooks:
        hook.remove()
    with wrapped.disable_adapter():
        assert torch.equal(wrapped(input_ids=IDS).logits, base)
    assert torch.equal(wrapped.unload()(input_ids=IDS).logits, base)


@pytest.mark.parametrize("order", ["serial", "parallel"])
def test_an_adapter_on_whole_sublayers_loads_and_trains_checkpointed(
    order: str, tmp_path: Path
) -> None:
    placement = "block" if order == "serial" else "attention+ffn"
    wrapped = settled(language("llama"), order=order, placement=placement)
    expected = wrapped(input_ids=IDS).logits
    wrapped.save_pretrained(str(tmp_path))
    assert torch.equal(
        load_adapter(language("llama"), tmp_path).eval()(input_ids=IDS).logits, expected
    )

    def gradients(model: nn.Module) -> list[torch.Tensor]:
        model.train()
        model(input_ids=IDS, labels=IDS).loss.backward()
        found = [p.grad.clone() for p in model.parameters() if p.requires_grad]
        model.zero_grad()
        return found

    plain = gradients(wrapped)
    wrapped.gradient_checkpointing_enable({"use_reentrant": False})
    for one, other in zip(plain, gradients(wrapped), strict=True):
        assert torch.allclose(one, other, atol=1e-6) and one.any()


def test_papers_names_of_placements_and_adapterhubs_are_taken() -> None:
    assert BottleneckConfig(placement="houlsby").placement == "attention+ffn"
    assert BottleneckConfig(placement="pfeiffer").placement == "ffn"
    theirs = BottleneckConfig(
        mh_adapter=True, output_adapter=False, reduction_factor=8, is_parallel=True,
        non_linearity="relu",
    )  # fmt: skip
    ours = BottleneckConfig(placement="attention", reduction=8, order="parallel", activation="relu")
    assert theirs == ours


def test_dropped_blocks_get_no_adapter(tmp_path: Path) -> None:
    for upper in ({"adapter_drop": 1}, {"layers_to_transform": [1]}):
        with torch.device("meta"):
            model = peft.get_peft_model(small("t5"), BottleneckConfig(width=2, **upper))
        found = places(model)
        assert len(found) == 4 and all(".block.1." in path for path in found)
    base = language("gpt2")
    chosen = settled(base, layers_to_transform=[1], placement="ffn")
    assert [p.split(".h.")[1] for p in places(chosen)] == ["1.mlp.c_proj"]
    expected = chosen(input_ids=IDS).logits
    chosen.save_pretrained(str(tmp_path))
    assert torch.equal(
        load_adapter(language("gpt2"), tmp_path).eval()(input_ids=IDS).logits, expected
    )
    whole = settled(language("gpt2"), placement="ffn").peft_config["default"]
    assert whole.target_modules == PLACES["gpt2"].pattern("ffn", "serial")
    named = settled(language("gpt2"), target_modules=["mlp.c_proj"], adapter_drop=1)
    assert [p.split(".h.")[1] for p in places(named)] == ["1.mlp.c_proj"]


@pytest.mark.parametrize(
    ("shape", "adapters", "with_norms"),
    [
        ({"reduction": 64}, 230_544, 248_976),
        ({"block": "conformer", "reduction": 96, "kernel": 31}, 252_288, 270_720),
        ({"block": "conformer", "reduction": 96, "kernel": 8}, 250_080, 268_512),
    ],
)
@pytest.mark.parametrize("order", ["serial", "parallel"])
def test_the_spectrogram_transformer_has_the_published_counts(
    shape: dict[str, Any], adapters: int, with_norms: int, order: str
) -> None:
    """Cappellazzo et al. 2024: 12 blocks of width 768, one adapter each."""
    for norms, expected in ((None, adapters), (["layernorm_after"], with_norms)):
        config = BottleneckConfig(placement="ffn", order=order, modules_to_save=norms, **shape)
        with torch.device("meta"):
            model = transformers.ASTModel(transformers.ASTConfig())
            model = peft.get_peft_model(model, config)
        assert sum(p.numel() for p in model.parameters() if p.requires_grad) == expected


# -- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"placement": "everywhere"}, "placement must be a known one, but got 'everywhere'"),
        ({"order": "paralel"}, "order must be a known one.*Did you mean 'parallel'"),
        ({"block": "dens"}, "block must be a known one.*Did you mean 'dense'"),
        ({"init": "zeros"}, "init must be a known one"),
        ({"norm": "layer"}, "norm must be a known one"),
        ({"activation": "geluu"}, "activation must be one that transformers knows.*'gelu'"),
        ({"reduction": 0}, "reduction must be at least 1, but got 0"),
        ({"width": 0}, "width must be at least 1, but got 0"),
        ({"kernel": 0}, "kernel must be at least 1, but got 0"),
        ({"adapter_drop": -1}, "adapter_drop must be at least 0, but got -1"),
        ({"adapter_drop": 4}, "must leave a block with adapters.*The last block is 3"),
        ({"width": 33}, "must be 1 to 32 wide, but got 33. Lower reduction to at most 32"),
        ({"target_modules": ["gate_proj"]}, "writes to the residual stream, 32 wide, but got 64"),
        ({"target_modules": ["gate_proj"], "order": "parallel"}, r"as wide at its input.*\(32, 64"),
        ({"target_modules": ["act_fn"]}, "which has no linear layer inside.*Fused sub-layers"),
        ({"target_modules": ["layers.0"], "order": "parallel"}, "must be one sub-layer, without"),
        ({"target_modules": ["embed_tokens"]}, "bottleneck adapts Linear, Conv1D"),
    ],
)
def test_what_cannot_be_built_is_refused(given: dict[str, Any], text: str) -> None:
    model = language("llama")
    before = [name for name, _ in model.named_modules()]
    with pytest.raises(InputError, match=text) as caught:
        peft.get_peft_model(model, BottleneckConfig(**{"width": 2, **given}))
    assert "\n" not in str(caught.value)
    assert [name for name, _ in model.named_modules()] == before


def test_an_unknown_architecture_is_refused_with_candidates(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = language("llama")
    monkeypatch.setattr(type(model.config), "model_type", "nameless")
    with pytest.raises(InputError, match=r"got 'nameless'. Name modules in target_modules; "
                       r"candidates: \['mlp.down_proj', 'self_attn.o_proj'"):  # fmt: skip
        peft.get_peft_model(model, BottleneckConfig(width=2))
    with pytest.raises(InputError, match=r"candidates: \['0.mlp', '0.self_attn'"):
        peft.get_peft_model(model, BottleneckConfig(width=2, order="parallel"))


def test_post_norm_attention_is_not_one_sublayer() -> None:
    torch.manual_seed(0)
    model = pretrained.build(tiny.config("bert"), "text-classification")
    config = BottleneckConfig(width=2, order="parallel", target_modules=["attention"])
    with pytest.raises(InputError, match="Choose order='serial' for post-norm models"):
        peft.get_peft_model(model, config)


def test_a_sublayer_without_hidden_states_is_named() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(4, 4)

        def forward(self, *, states: torch.Tensor) -> torch.Tensor:
            return self.inner(states)

    model = nn.ModuleDict({"odd": Odd()})
    wrapped = peft.get_peft_model(model, BottleneckConfig(width=2, target_modules=["odd"]))
    with pytest.raises(InputError, match="an adapter at odd needs hidden states in"):
        wrapped.base_model.model["odd"](states=torch.ones(1, 4))


def test_a_norms_name_that_ends_anothers_is_refused() -> None:
    class Renorm(nn.Linear):
        pass

    model = nn.Sequential()
    model.norm, model.renorm = nn.LayerNorm(4), nn.Linear(4, 4)
    config = BottleneckConfig(width=2, target_modules=["renorm"], train_norms=True)
    with pytest.raises(InputError, match=r"matches 1 normalisation layers by \['norm'\].*'renorm'"):
        peft.get_peft_model(model, config)
