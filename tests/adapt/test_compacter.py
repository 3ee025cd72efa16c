"""Compacter: the contract for its variants, the arithmetic of PHM, what is shared, refusals."""

from __future__ import annotations

import math
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import peft
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from parsimony.adapt.methods.compacter import CompacterConfig, LowRateWarning, phm, phm_weight
from parsimony.core import pretrained
from parsimony.core.errors import InputError
from parsimony.core.peft_border import weight_shape
from parsimony.testing import tiny
from parsimony.testing.adapter_contract import AdapterContract, Case

SMALL = {"n": 2, "width": 4, "train_norms": False, "exact_identity": True}
VARIANTS = [
    {},
    {"shared_rule": False},
    {"factorized": False},
    {"shared_rule": False, "factorized": False},
    {"factorized_rule": True, "n": 4},
    {"factorized_rule": True, "n": 4, "shared_rule": False},
    {"shared_weights": True},
    {"shared_weights": True, "factorized": False, "adapter_bias": False},
    {"rank": 2},
    {"learn_rule": False},
    {"learn_rule": False, "shared_rule": False},
    {"n": 1, "learn_rule": False},
    {"adapter_bias": False},
    {"order": "parallel"},
]


class TestCompacter(AdapterContract):
    config = CompacterConfig
    settings = SMALL

    def count(self, case: Case, layer: nn.Module, config: CompacterConfig) -> int:
        d, k = weight_shape(layer.get_base_layer())[0], config.width
        return 2 * config.rank * (d + k) + d + k

    def shared_count(self, config: CompacterConfig) -> int:
        return config.n**3


class TestPhmAdapter(AdapterContract):
    config = CompacterConfig
    settings: ClassVar[dict[str, Any]] = {**SMALL, "shared_rule": False, "factorized": False}
    test_it_loads_in_a_fresh_process = None  # nothing about the file is its own

    def count(self, case: Case, layer: nn.Module, config: CompacterConfig) -> int:
        d, k, n = weight_shape(layer.get_base_layer())[0], config.width, config.n
        return 2 * d * k // n + 2 * n**3 + d + k


class TestLowRankAdapter(AdapterContract):
    config = CompacterConfig
    settings: ClassVar[dict[str, Any]] = {**SMALL, "n": 1, "learn_rule": False}
    test_it_loads_in_a_fresh_process = None

    def count(self, case: Case, layer: nn.Module, config: CompacterConfig) -> int:
        d, k = weight_shape(layer.get_base_layer())[0], config.width
        return 2 * config.rank * (d + k) + d + k

    def _frozen(self, key: str) -> bool:
        return "rule" in key  # the single rule, 1


@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(
    n=st.integers(1, 4), p=st.integers(1, 4), q=st.integers(1, 4), r=st.integers(1, 3),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_the_factored_product_is_the_sum_of_kronecker_products(
    n: int, p: int, q: int, r: int, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=random, dtype=torch.float64)

    rule, left, right, x = normal(n, n, n), normal(n, p, r), normal(n, r, q), normal(2, 3, n * p)
    explicit = sum(torch.kron(rule[i], left[i] @ right[i]) for i in range(n))
    assert torch.allclose(phm_weight(rule, left @ right), explicit, atol=1e-12)
    assert torch.allclose(phm(x, rule, left, right), x @ explicit, atol=1e-10)


def bert(hidden: int = 16) -> transformers.PreTrainedModel:
    torch.manual_seed(0)
    config = tiny.config("bert")
    config.hidden_size, config.intermediate_size, config.num_labels = hidden, 24, 2
    return pretrained.build(config, "text-classification").eval()


def adapted(config: CompacterConfig, model: nn.Module | None = None) -> peft.PeftModel:
    torch.manual_seed(1)
    return peft.get_peft_model(model or bert(), config).eval()


def settle(model: nn.Module, std: float = 0.3) -> None:
    torch.manual_seed(2)
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=std)


def layers(model: nn.Module) -> list[Any]:
    return [m for m in model.modules() if type(m).__name__ == "CompacterLayer"]


IDS = torch.tensor([[1, 5, 9, 2], [1, 7, 3, 2]])


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_variant_computes_the_adapter_of_its_explicit_weights(
    variant: dict[str, Any], tmp_path: Path
) -> None:
    """output + s W2 gelu(W1 h + b1) + b2, with W built by torch.kron; and it loads as saved."""
    given = {"width": 4, "n": 2, "train_norms": False, "target_modules": ["0", "1"], **variant}
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8)).double()
    config = CompacterConfig(**given)
    wrapped = adapted(config, model).double()
    rule = 2 * config.n**2 if config.factorized_rule else config.n**3
    weight = 2 * config.rank * (8 + 4) if config.factorized else 2 * 8 * 4 // config.n
    expected = sum((
        config.learn_rule * rule * (1 if config.shared_rule else 2 * 2),
        weight * (1 if config.shared_weights else 2),
        config.adapter_bias * (8 + 4) * 2,
    ))  # fmt: skip
    assert sum(p.numel() for p in wrapped.parameters() if p.requires_grad) == expected
    settle(wrapped)
    layer, x = layers(wrapped)[0], torch.randn(3, 5, 8, dtype=torch.float64)
    with torch.no_grad():
        output = layer.get_base_layer()(x)
        h = x if given.get("order") == "parallel" else output
        for side in ("down", "up"):
            parts = layer._parts(side, "default", torch.float64)
            rule, weight, left, right, bias = parts
            weight = left @ right if weight is None else weight
            dense = sum(torch.kron(a, b) for a, b in zip(rule, weight, strict=True))
            h = h @ dense + (0 if bias is None else bias)
            if side == "down":
                h = functional.gelu(h, approximate="tanh")
        assert torch.allclose(layer(x), output + h, atol=1e-10)
        assert h.abs().max() > 1e-3
        expected = wrapped.float()(x.float())
        wrapped.save_pretrained(str(tmp_path))
        twin = peft.PeftModel.from_pretrained(
            nn.Sequential(*(m.get_base_layer() for m in layers(wrapped))), str(tmp_path)
        )
        assert torch.equal(twin(x.float()), expected)


def test_the_rules_are_one_tensor_whose_gradient_sums_over_all_places() -> None:
    """The same model with a copy of A in every projection: its gradients add up to A's."""
    same = {"n": 2, "width": 4, "train_norms": False}
    shared = adapted(CompacterConfig(**same)).double()
    own = adapted(CompacterConfig(**same, shared_rule=False)).double()
    settle(shared)
    rule = shared.base_model.compacter_rule["default"]
    for one, other in zip(layers(shared), layers(own), strict=True):
        for name in one.adapter_layer_names:
            store = getattr(other, name)
            if "default" in store:
                value = rule if name.endswith("_rule") else getattr(one, name)["default"]
                store["default"].data = value.detach().clone()
    for model in (shared, own):
        model(input_ids=IDS, labels=torch.tensor([0, 1])).loss.backward()
    places = [
        getattr(layer, f"compacter_{side}_rule")["default"].grad
        for layer in layers(own)
        for side in ("down", "up")
    ]
    assert len(places) == 8, "two adapters in each of two blocks, two projections each"
    assert torch.allclose(sum(places), rule.grad, rtol=1e-9, atol=0)
    assert rule.grad.all() and not torch.allclose(places[0], rule.grad, rtol=1e-3, atol=0)


def test_the_file_holds_the_rules_once(tmp_path: Path) -> None:
    model = adapted(CompacterConfig(n=2, width=4))
    model.save_pretrained(str(tmp_path))
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert [key for key in saved if "rule" in key] == ["base_model.compacter_rule"]


def test_one_full_rule_is_a_dense_bottleneck_scaled_by_it() -> None:
    """n = 1: H = A B with A a number and B any matrix of rank up to k."""
    settings_ = {"n": 1, "width": 4, "rank": 4, "train_norms": False, "target_modules": ["0"]}
    model = adapted(CompacterConfig(**settings_), nn.Sequential(nn.Linear(8, 8))).double()
    settle(model)
    layer = layers(model)[0]
    a = model.base_model.compacter_rule["default"].item()
    down, up = (layer.matrix(side, "default") / a for side in ("down", "up"))
    assert torch.linalg.matrix_rank(down) == 4
    h = layer.get_base_layer()(x := torch.randn(5, 8, dtype=torch.float64))
    inner = functional.gelu(a * h @ down + layer.compacter_down_bias["default"], approximate="tanh")
    expected = h + a * inner @ up + layer.compacter_up_bias["default"]
    assert torch.allclose(layer(x), expected, atol=1e-10)


def test_it_starts_near_the_base_model_and_exactly_there_when_asked() -> None:
    base = bert()(input_ids=IDS).logits
    near = (adapted(CompacterConfig(n=4, width=4))(input_ids=IDS).logits - base).abs().max()
    assert 0 < near < 1e-6
    exact = adapted(CompacterConfig(n=4, width=4, exact_identity=True))(input_ids=IDS).logits
    assert torch.equal(exact, base)


def test_the_initial_values_follow_the_published_laws() -> None:
    torch.manual_seed(0)
    deviations = {
        CompacterConfig(n=16, width=16).draw_rule()["rule"]: 1e-4,
        CompacterConfig(n=16, width=16, shared_rule=False).draw_rule()["rule"]: 1e-2,
        CompacterConfig(n=16, width=16, learn_rule=False).draw_rule()["rule"]: 0.25,
        CompacterConfig(n=16, width=16, rule_std=0.5).draw_rule()["rule"]: 0.5,
    }
    for value, std in deviations.items():
        assert value.std().item() == pytest.approx(std, rel=0.05)
    assert CompacterConfig(n=1, width=16, learn_rule=False).draw_rule()["rule"].item() == 1
    factors = CompacterConfig(n=16, width=16, factorized_rule=True).draw_rule()
    product = factors["rule_left"] @ factors["rule_right"]
    assert product.std().item() == pytest.approx(1e-4, rel=0.3)
    drawn = CompacterConfig(n=4, width=24).draw_weight(768, 24, zero=False)
    for rows, columns, value in ((192, 1, drawn["left"]), (1, 6, drawn["right"])):
        assert value.shape == (4, rows, columns)
        bound = math.sqrt(2) * math.sqrt(6 / (rows + columns))
        assert value.abs().max() <= bound
    assert drawn["left"].std().item() == pytest.approx(math.sqrt(2 * 2 / 193), rel=0.05)


def test_what_trains_is_the_adapter_and_every_norm() -> None:
    model = adapted(CompacterConfig(n=2, width=4))
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    norms = {n for n in trained if "LayerNorm" in n}
    assert len(norms) == 2 * 5  # embeddings, and two in each of two blocks
    assert all(".modules_to_save." in n for n in norms)
    assert all("compacter_" in n for n in trained - norms)
    assert model.peft_config["default"].modules_to_save == ["LayerNorm"]


def test_a_second_adapter_brings_norms_and_rules_of_its_own() -> None:
    model = adapted(CompacterConfig(n=2, width=4, task_type="SEQ_CLS"))
    settle(model)
    first = model(input_ids=IDS).logits
    model.add_adapter("other", CompacterConfig(n=4, width=8, task_type="SEQ_CLS"))
    assert torch.equal(model(input_ids=IDS).logits, first)
    model.set_adapter("other")
    assert not torch.equal(model(input_ids=IDS).logits, first)
    shapes = {k: tuple(v.shape) for k, v in model.base_model.compacter_rule.items()}
    assert shapes == {"default": (2, 2, 2), "other": (4, 4, 4)}
    model.set_adapter("default")
    assert torch.equal(model(input_ids=IDS).logits, first)


def test_rules_that_do_not_learn_stay_and_are_saved(tmp_path: Path) -> None:
    model = adapted(CompacterConfig(n=2, width=4, learn_rule=False, train_norms=False))
    rule = model.base_model.compacter_rule["default"]
    assert not rule.requires_grad
    for act in (
        lambda: model.set_adapter("default"),
        lambda: model.base_model.set_requires_grad("default", True),
        lambda: model.add_adapter("other", CompacterConfig(n=2, width=4, train_norms=False)),
        lambda: model.delete_adapter("other"),
    ):
        act()
        assert not rule.requires_grad
    model.save_pretrained(str(tmp_path))
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert torch.equal(saved["base_model.compacter_rule"], rule)


def test_adapterhub_names_are_taken() -> None:
    config = CompacterConfig(
        phm_dim=8, phm_rank=2, shared_phm_rule=False, factorized_phm_W=False, learn_phm=False,
        factorized_phm_rule=True, shared_W_phm=True, phm_bias=False, phm_init_range=0.1,
        phm_c_init="normal", phm_layer=True, reduction_factor=16, non_linearity="relu",
        mh_adapter=False, output_adapter=True,
    )  # fmt: skip
    ours = CompacterConfig(
        n=8, rank=2, shared_rule=False, factorized=False, learn_rule=False, factorized_rule=True,
        shared_weights=True, adapter_bias=False, rule_std=0.1, reduction=16, activation="relu",
        placement="ffn",
    )  # fmt: skip
    assert config == ours
    assert CompacterConfig(mh_adapter=True, output_adapter=True).placement == "attention+ffn"
    with pytest.raises(InputError, match="'phm_c_init' must be 'normal' here"):
        CompacterConfig(phm_c_init="uniform")
    with pytest.raises(InputError, match="'phm_dim' is 'n' here, and one of them is enough"):
        CompacterConfig(phm_dim=8, n=4)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"n": 5, "width": 4},
            r"model width 16 at .*, but got 5. Choose n among \[1, 2, 4,",
        ),
        (
            {"n": 4, "reduction": 8},
            r"n must divide the bottleneck width 2 .*but got 4. Reductions that fit: \[1, 2, 4\]",
        ),
        ({"n": 4, "width": 6}, "n must divide the bottleneck width 6"),
        ({"n": 2, "reduction": 32}, "must be 1 to 16 wide, but got 0. Lower reduction"),
        ({"n": 4, "width": 4, "rank": 2}, "rank must be at most 1 at .*but got 2"),
        ({"n": 0}, "n must be at least 1, but got 0"),
        ({"rank": 0}, "rank must be at least 1, but got 0"),
        ({"rule_std": -1.0}, "rule_std must be positive and finite, but got -1.0"),
        ({"width": 4, "target_modules": ["intermediate.dense"]}, "16 wide, but got 24"),
    ],
)
def test_what_cannot_be_built_is_refused(given: dict[str, Any], text: str) -> None:
    model = bert()
    before = [name for name, _ in model.named_modules()]
    with pytest.raises(InputError, match=text) as caught:
        peft.get_peft_model(model, CompacterConfig(**given))
    assert "\n" not in str(caught.value)
    assert [name for name, _ in model.named_modules()] == before


def test_shared_weights_of_unequal_layers_are_refused() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 16))
    config = CompacterConfig(**SMALL, shared_weights=True, target_modules=["0", "1"])
    with pytest.raises(InputError, match="shared_weights needs sub-layers of one width"):
        peft.get_peft_model(model, config)


def test_norms_that_are_not_found_are_said() -> None:
    config = CompacterConfig(n=2, width=4, target_modules=["0"])
    with pytest.raises(InputError, match="0 of the model's modules match; its classes: Linear"):
        peft.get_peft_model(nn.Sequential(nn.Linear(8, 8)), config)


def test_rules_that_outgrow_the_rest_are_warned_of() -> None:
    with pytest.warns(UserWarning, match="n=8: the rules have 512 parameters, all the rest"):
        adapted(CompacterConfig(n=8, width=8, placement="ffn"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        adapted(CompacterConfig(n=2, width=4))


def test_a_dense_adapters_learning_rate_is_warned_of() -> None:
    model = adapted(CompacterConfig(n=2, width=4))
    trained = [p for p in model.parameters() if p.requires_grad]
    for rate, low in ((3e-4, True), (3e-3, False)):
        optimizer = torch.optim.AdamW(trained, lr=rate)
        torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.01)  # warming up
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            LowRateWarning().on_train_begin(
                SimpleNamespace(), None, None, model=model, optimizer=optimizer
            )
        assert any("published: 3e-3" in str(w.message) for w in caught) == low
