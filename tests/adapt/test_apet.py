"""APET against its definition: exact budgets, laws of selection, and what must not move."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from parsimony.adapt.methods.apet import ApetConfig, from_mask, places
from parsimony.adapt.methods.apet.tuner import SparseProduct
from parsimony.core.errors import InputError
from parsimony.core.quantized import quantized
from parsimony.testing.adapter_contract import AdapterContract
from parsimony.testing.layer_cases import Case


class TestTuner(AdapterContract):
    config = ApetConfig

    def settings_for(self, case: Case) -> dict[str, Any]:
        """Half of the scalars of the two layers; less where they are large."""
        return {"budget": min(1000, sum(p.numel() for p in case.make().parameters()))}

    def test_only_its_own_parameters_train_and_are_as_many_as_said(self) -> None:
        case = self.one()
        for budget in (1, 7, 300, 2 * (16 * 16 + 16)):
            model = peft.get_peft_model(case.net(), self.configured(case, budget=budget))
            trained = {n: p.numel() for n, p in model.named_parameters() if p.requires_grad}
            assert sum(trained.values()) == budget == places(model)["trained"].sum()
            assert all(".apet_" in name for name in trained)

    @pytest.mark.parametrize("bits", [8, 4])
    def test_it_sits_on_a_quantized_base(self, bits: int, tmp_path: Path) -> None:
        dense = self.linear()
        case = Case("Linear", lambda: quantized(dense.make(), bits), dense.sample)
        self.refused(case, "it holds codes")


class Many(nn.Module):
    """One layer of every kind, in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 6)
        self.norm = nn.LayerNorm(6)
        self.filter = nn.Conv1d(6, 8, 3, padding=1, groups=2)
        self.dense = nn.Linear(8, 5)
        self.turned = Conv1D(4, 5)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.filter(self.norm(self.words(ids)).transpose(1, 2)).transpose(1, 2)
        found: torch.Tensor = self.turned(torch.tanh(self.dense(x)))
        return found


LAYERS = ["words", "norm", "filter", "dense", "turned"]
SIZES = {name: p.numel() for name, p in Many().named_parameters()}
IDS = torch.arange(22).view(2, 11) % 11


def many(**settings: Any) -> tuple[Many, peft.PeftModel]:
    torch.manual_seed(0)
    net = Many()
    return net, peft.get_peft_model(net, ApetConfig(target_modules=LAYERS, **settings))


def chosen(model: peft.PeftModel) -> dict[str, set[int]]:
    """Positions by parameter."""
    found = {}
    for name, buffer in model.named_buffers():
        layer, _, rest = name.removeprefix("base_model.model.").partition(".apet_")
        if rest:
            found[f"{layer}.{rest.partition('_')[0]}"] = set(buffer.tolist())
    return found


@pytest.mark.parametrize("budget", [1, 60, 200, sum(SIZES.values())])
def test_the_update_is_that_of_the_changed_scalars_in_double_precision(budget: int) -> None:
    """Outputs and gradients are those of the dense model with the same scalars changed."""
    net, model = many(budget=budget, seed=3)
    model.double()
    values = {n: p for n, p in model.named_parameters() if p.requires_grad}
    for parameter in values.values():
        nn.init.normal_(parameter)
    output = model(IDS)
    output.square().sum().backward()
    dense = Many().double()
    base = {n.replace(".base_layer", ""): p for n, p in net.named_parameters() if ".apet" not in n}
    dense.load_state_dict({name: p.detach().clone() for name, p in base.items()})
    index = {n: b for n, b in model.named_buffers() if "_index" in n}
    twins = {}
    for name, value in values.items():
        path, _, part = name.removeprefix("base_model.model.").partition(".apet_")
        at = index[name.replace(".default", "_index.default")].long()
        twin = dense.get_parameter(f"{path}.{part.removesuffix('.default')}")
        twin.data.view(-1)[at] += value.detach()
        twins[name] = (twin, at)
    expected = dense(IDS)
    expected.square().sum().backward()
    torch.testing.assert_close(output, expected, rtol=1e-10, atol=1e-10)
    for name, (twin, at) in twins.items():
        assert twin.grad is not None
        torch.testing.assert_close(values[name].grad, twin.grad.view(-1)[at], rtol=1e-9, atol=1e-9)
    merged = model.merge_and_unload()
    for name, parameter in dense.named_parameters():
        torch.testing.assert_close(merged.get_parameter(name), parameter, rtol=0, atol=1e-15)


@pytest.mark.parametrize("few", [8, 40, 400])  # gathered, a sparse matrix, a dense one
@pytest.mark.parametrize("ascending", [True, False])
def test_the_product_is_that_of_the_dense_matrix(few: int, ascending: bool) -> None:
    torch.manual_seed(0)
    chosen = torch.randperm(24 * 32)[:few]
    chosen = chosen.sort().values if ascending else chosen
    rows, columns = (chosen // 32).int(), (chosen % 32).int()
    x = torch.randn(2, 5, 32, dtype=torch.float64, requires_grad=True)
    values = torch.randn(few, dtype=torch.float64, requires_grad=True)
    dense = torch.zeros(24, 32, dtype=torch.float64).index_put(
        (rows.long(), columns.long()), values
    )
    weights = torch.randn(2, 5, 24, dtype=torch.float64)
    found = SparseProduct.apply(x, values, rows, columns, (24, 32))
    torch.testing.assert_close(found, x @ dense.T)
    wanted = torch.autograd.grad((x @ dense.T * weights).sum(), (x, values))
    torch.testing.assert_close(torch.autograd.grad((found * weights).sum(), (x, values)), wanted)


def test_nothing_else_moves_under_weight_decay_and_merging_touches_nothing_else() -> None:
    net, model = many(budget=40, seed=1)
    start = {n: p.detach().clone() for n, p in net.named_parameters() if ".apet_" not in n}
    trained = [p for p in model.parameters() if p.requires_grad]
    stepper = torch.optim.AdamW(trained, lr=1e-2, weight_decay=0.5)
    for _ in range(50):
        model(IDS).square().mean().backward()
        stepper.step()
        stepper.zero_grad()
    now = dict(net.named_parameters())
    assert all(torch.equal(now[name], value) for name, value in start.items())
    picked = chosen(model)
    merged = dict(model.merge_and_unload().named_parameters())
    for name, value in start.items():
        plain = name.replace(".base_layer", "")
        moved = (merged[plain] != value).flatten().nonzero().flatten().tolist()
        assert set(moved) == picked.get(plain, set())


def test_the_same_seed_chooses_the_same_and_another_overlaps_by_chance() -> None:
    def places_of(seed: int) -> set[tuple[str, int]]:
        net = nn.Sequential(nn.Linear(100, 100), nn.Linear(100, 50))
        model = peft.get_peft_model(net, ApetConfig(budget=3000, seed=seed))
        return {(name, i) for name, positions in chosen(model).items() for i in positions}

    first = places_of(0)
    assert first == places_of(0)
    assert len(first) == 3000
    total = 100 * 100 + 100 + 100 * 50 + 50
    overlaps = [len(first & places_of(seed)) for seed in range(1, 9)]
    expected = 3000 * 3000 / total
    assert abs(np.mean(overlaps) - expected) < 4 * np.sqrt(expected / 8)


def test_shares_follow_the_law() -> None:
    counts = {law: places(many(budget=90, law=law)[1]) for law in ("tensors", "layers", "types")}
    found = {law: dict(zip(c["tensor"], c["trained"], strict=True)) for law, c in counts.items()}
    # Nine tensors, of which four are smaller than an even share and give the rest to the others.
    assert found["tensors"]["norm.weight"] == found["tensors"]["norm.bias"] == 6
    assert found["tensors"]["turned.bias"] == 4
    large = [found["tensors"][f"{name}.weight"] for name in ("words", "filter", "dense")]
    assert max(large) - min(large) <= 1
    layers = dict.fromkeys(LAYERS, 0)
    for name, number in found["layers"].items():
        layers[name.partition(".")[0]] += number
    assert layers["norm"] == 12
    assert max(layers.values()) - sorted(layers.values())[1] <= 1
    assert sum(found["types"].values()) == 90


def test_magnitude_takes_the_largest() -> None:
    net, model = many(budget=25, law="magnitude")
    sizes = {
        (n.replace(".base_layer", ""), i): abs(v)
        for n, p in net.named_parameters()
        if ".apet_" not in n
        for i, v in enumerate(p.flatten().tolist())
    }
    largest = sorted(sizes, key=lambda place: sizes[place])[-25:]
    taken = {sizes[(n, i)] for n, places_ in chosen(model).items() for i in places_}
    assert taken == {sizes[place] for place in largest}


def test_whole_tensors_are_taken_if_they_fit() -> None:
    _, model = many(budget=100, unit="tensor", seed=5)
    table = places(model)
    assert table["trained"].sum() == 100
    assert (table["trained"] == table["size"]).any()
    with pytest.warns(UserWarning, match=r"whole tensors give \d+ of the 99 scalars"):
        _, model = many(budget=99, unit="tensor", exact=False)
    table = places(model)
    assert (table["trained"] == table["size"]).all()
    assert table["trained"].sum() < 99
    untaken = set(SIZES) - set(table["tensor"])
    assert all(SIZES[name] > 99 - table["trained"].sum() for name in untaken)


def test_a_mask_chooses_its_true_places() -> None:
    mask = {"dense.weight": torch.zeros(5, 8, dtype=torch.bool)}
    mask["dense.weight"][2, 3] = mask["dense.weight"][4, 0] = True
    _, model = many(indices=from_mask(mask))
    assert chosen(model) == {"dense.weight": {2 * 8 + 3, 4 * 8}}
    assert model.peft_config["default"].budget == 2


def test_the_file_is_as_large_as_positions_and_values(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(400, 400), nn.Linear(400, 400))
    model = peft.get_peft_model(net, ApetConfig(budget=1000))
    model.save_pretrained(str(tmp_path))
    file = tmp_path / "adapter_model.safetensors"
    assert sum(t.numel() * t.element_size() for t in load_file(file).values()) == 1000 * (4 + 4)
    assert file.stat().st_size < 1000 * 8 + 1000


def test_training_keeps_nothing_of_a_weight_s_size() -> None:
    """What backward keeps is the input, the values and their places."""
    kept = 0

    def count(tensor: torch.Tensor) -> torch.Tensor:
        nonlocal kept
        kept += tensor.numel()
        return tensor

    model = peft.get_peft_model(nn.Sequential(nn.Linear(500, 500)), ApetConfig(budget=2000))
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        loss = functional.mse_loss(model(torch.ones(2, 500)), torch.zeros(2, 500))
    loss.backward()
    assert kept < 500 * 500 / 10


def test_tied_tensors_are_counted_once() -> None:
    net = nn.Sequential(nn.Embedding(7, 5), nn.Linear(5, 7, bias=False))
    net[1].weight = net[0].weight
    with pytest.warns(UserWarning, match=r"1\.weight is 0\.weight: counted once"):
        model = peft.get_peft_model(net, ApetConfig(target_modules=["0", "1"], budget=35))
    assert list(places(model)["tensor"]) == ["0.weight"]
    plain = nn.Sequential(nn.Embedding(7, 5), nn.Linear(5, 7, bias=False))
    plain[1].weight = plain[0].weight
    with pytest.raises(InputError, match="at most 35"):
        peft.get_peft_model(plain, ApetConfig(target_modules=["0", "1"], budget=36))


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"budget": 0}, "at least 1 scalar"),
        ({"budget": sum(SIZES.values()) + 1}, f"The nearest is {sum(SIZES.values())}"),
        ({"budget": 3, "unit": "tensor", "exact": False}, "nearest budget of whole tensors is 4"),
        ({"law": "scalar"}, "Did you mean"),
        ({"unit": "tensor", "law": "layers"}, "drawn uniformly"),
        ({"dropout": 0.1}, "no dropout"),
        ({"indices": {"dense.wait": [1]}}, "dense.weight"),
        ({"indices": {"dense.weight": [1, 1]}}, "distinct and from 0 to 39"),
        ({"indices": {"dense.weight": [40]}}, "distinct and from 0 to 39"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError, match=text) as caught:
        many(**settings)
    assert "\n" not in str(caught.value)
