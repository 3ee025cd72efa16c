"""Subspaces: projections against closed forms, any module, the tuner, files, refusals."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import peft
import pytest
import scipy.linalg
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional

from parsimony.adapt.methods.subspace import (
    PROJECTIONS,
    Subspace,
    SubspaceConfig,
    projection,
    walsh_hadamard,
)
from parsimony.core.errors import ArtifactError, InputError
from parsimony.testing.adapter_contract import AdapterContract

KINDS = sorted(PROJECTIONS)


class TestTuner(AdapterContract):
    config = SubspaceConfig
    settings: ClassVar = {"d": 6}

    def shared_count(self, config: SubspaceConfig) -> int:
        return config.d

    def count(self, case: Any, layer: nn.Module, config: Any) -> int:
        return 0


@pytest.mark.parametrize("n", [1, 2, 64, 128, 4096])
def test_the_transform_is_the_product_with_hadamards_matrix(n: int) -> None:
    x = torch.randn(n, dtype=torch.float64)
    expected = scipy.linalg.hadamard(n).astype(float) @ x.numpy()
    assert np.allclose(walsh_hadamard(x).numpy(), expected, atol=1e-9)


def test_the_transform_of_eight() -> None:
    found = walsh_hadamard(torch.tensor([1.0, 0, 1, 0, 0, 1, 1, 0]))
    assert found.tolist() == [4, 2, 0, -2, 0, 2, 0, 2]


def test_fastfood_is_the_formula_with_both_transforms_whole() -> None:
    made = projection("fastfood", [100, 37], 5, seed=3).double()
    v = torch.randn(5, dtype=torch.float64)
    found = made(v)
    H = torch.from_numpy(scipy.linalg.hadamard(256).astype(float))
    b = torch.ones(256, dtype=torch.float64)
    b[:8] = made.signs
    inner = H @ (b * functional.pad(v, (0, 251)))
    assert torch.equal(inner[:8].repeat(32), inner), "what the short transform rests on"
    g = made.normal  # divided by sqrt(N sum(g^2)) sqrt(D / N) already
    length = g.norm() * 256**0.5 * (137 / 256) ** 0.5
    assert length == pytest.approx(1, abs=1e-6)
    assert torch.bincount(made.places.long()).tolist() == [32] * 8, "a permutation modulo eight"
    assert torch.allclose(found, (H @ (g * inner[made.places.long()]))[:137], atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_have_length_one_and_look_alike_in_every_tensor(kind: str) -> None:
    sizes = [900, 30, 1, 400]
    P = projection(kind, sizes, 40, seed=1).matrix()
    lengths = P.norm(dim=0)
    exact = 1e-5 if kind != "fastfood" else 0.15
    assert (lengths - 1).abs().max() <= exact and (lengths.mean() - 1).abs() <= 0.02
    squares = [part.square().sum().item() / 40 for part in P.split(sizes)]
    expected = [size / sum(sizes) for size in sizes]
    assert squares == pytest.approx(expected, abs=0.02)
    assert (P.T @ P - torch.eye(40)).abs().max() <= (1e-5 if kind == "orthonormal" else 0.3)


def test_a_sparse_column_has_the_root_of_a_tensors_size_in_entries() -> None:
    P = projection("sparse", [900, 30, 1, 400], 40, seed=1).matrix()
    for part, count in zip(P.split([900, 30, 1, 400]), (30, 5, 1, 20), strict=True):
        assert ((part != 0).sum(0) == count).all()
        assert part[part != 0].abs().unique().numel() == 1


def test_columns_of_fastfood_at_the_size_of_the_small_digits_network() -> None:
    made = projection("fastfood", [6310], 300)
    lengths = torch.stack([made(row).norm() for row in torch.eye(300)[:20]])
    assert lengths.mean() == pytest.approx(1, abs=0.01) and lengths.std() < 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides(kind: str) -> None:
    v = torch.randn(10)
    first, same, other = (projection(kind, [300], 10, seed)(v) for seed in (0, 0, 1))
    assert torch.equal(first, same) and not torch.equal(first, other)
    assert not torch.equal(first, projection(kind, [300], 10, 0, part="layer")(v))


def test_what_stands_for_fastfood_does_not_grow_with_d() -> None:
    sizes = {d: projection("fastfood", [10**6], d).stored_bytes() for d in (16, 10**5)}
    assert sizes[16] == 8 * 2**20 + 4 * 16 and sizes[10**5] == 8 * 2**20 + 4 * 2**17
    assert projection("dense", [199_210], 750).stored_bytes() == 597_630_000


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Dropout(0.1), nn.ReLU(), nn.Linear(16, 3)
    )


def trained(kind: str = "sparse", d: int = 20) -> Subspace:
    model = Subspace(network(), d, kind, seed=5)
    torch.manual_seed(1)
    x, y = torch.randn(64, 6), torch.randint(3, (64,))
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.1)
    losses = []
    for _ in range(15):
        loss = functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    return model.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_any_module_trains_on_v_alone_and_is_exported_and_restored_to_the_bit(
    kind: str, tmp_path: Path
) -> None:
    start = {name: p.clone() for name, p in network().named_parameters()}
    model = trained(kind)
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["v"]
    assert all(torch.equal(p, start[name]) for name, p in model.module.named_parameters())
    delta = torch.cat([(p - start[name]).flatten() for name, p in model.theta().items()])
    assert torch.allclose(delta, model.projection.matrix() @ model.v, atol=1e-6)
    x = torch.randn(9, 6)
    plain = model.export()
    assert torch.equal(plain(x), model(x)) and list(plain.state_dict()) == list(
        network().state_dict()
    )
    assert all(p.is_leaf and p.requires_grad for p in plain.parameters())
    model.save(folder := tmp_path / "new" / "folder")
    twin = Subspace.restore(network(), folder).eval()
    assert all(torch.equal(twin.theta()[name], value) for name, value in model.theta().items())
    assert torch.equal(twin(x), model(x))
    stored = load_file(folder / "subspace.safetensors")
    assert stored["v"].numel() == 20 and not [key for key in stored if "weight" in key]
    again = Subspace(network(), 20, kind, seed=5).eval()
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(x), model(x)) and torch.equal(copy.deepcopy(model)(x), model(x))
    assert not [key for key in model.state_dict() if key.startswith("projection")]


def test_the_first_use_may_be_in_inference_mode() -> None:
    model = Subspace(network(), 8)
    with torch.inference_mode():
        model(torch.randn(4, 6))
    model(torch.randn(4, 6)).sum().backward()
    assert model.v.grad is not None and model.v.grad.any()


def test_a_frozen_tensor_and_a_tied_one_are_counted_as_they_should() -> None:
    net = nn.ModuleDict({"a": nn.Linear(5, 5), "b": nn.Linear(5, 5)})
    net["b"].weight = net["a"].weight
    net["a"].bias.requires_grad_(False)
    model = Subspace(net, 3)
    assert model.D == 25 + 5 and model.names == ("a.weight", "b.bias")
    half = Subspace(nn.Linear(4, 4).to(torch.bfloat16), 3)
    assert half.v.dtype == torch.float32
    assert {t.dtype for t in half.theta().values()} == {torch.bfloat16}


@pytest.mark.parametrize("kind", KINDS)
def test_the_tuners_whole_p_is_one_projection(kind: str) -> None:
    net = nn.ModuleDict({"a": nn.Linear(12, 10), "b": nn.Linear(20, 30)})
    config = SubspaceConfig(d=8, projection=kind, target_modules=["a", "b"])
    tuner = peft.get_peft_model(net, config)
    v = tuner.base_model.subspace_v["default"]
    columns = []
    for row in torch.eye(8):
        v.data.copy_(row)
        layers = [tuner.base_model.model[name] for name in "ab"]
        columns.append(torch.cat([layer.get_delta_weight("default").flatten() for layer in layers]))
    P = torch.stack(columns, 1)
    expected = 1e-5 if kind != "fastfood" else 0.25
    assert (P.norm(dim=0) - 1).abs().max() <= expected
    if kind == "orthonormal":
        assert torch.allclose(P.T @ P, torch.eye(8), atol=1e-5)


def test_only_v_is_saved_and_another_models_layers_are_refused(tmp_path: Path) -> None:
    def net(width: int = 12) -> nn.ModuleDict:
        torch.manual_seed(0)
        return nn.ModuleDict({"a": nn.Linear(width, 10), "b": nn.Linear(20, 30)})

    tuner = peft.get_peft_model(net(), SubspaceConfig(d=8, target_modules=["a", "b"]))
    tuner.save_pretrained(str(tmp_path))
    stored = load_file(tmp_path / "adapter_model.safetensors")
    assert {key: value.shape for key, value in stored.items()} == {"base_model.subspace_v": (8,)}
    with pytest.raises(InputError, match=r"moves D = 720 weights of 2 layers.*has D = 730 in 2"):
        peft.PeftModel.from_pretrained(net(13), str(tmp_path))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"d": 0}, r"d must be 1 to D = 720, the number of values it moves, but got 0"),
        ({"d": 721}, r"d must be 1 to D = 720"),
        ({"projection": "sparce"}, r"unknown projection, but got 'sparce'.*sparse"),
        (
            {"d": 200, "projection": "orthonormal"},
            r"d must be at most 120, the weights of a, for orthonormal columns in every layer",
        ),
    ],
)
def test_what_the_tuner_refuses(given: dict[str, Any], message: str) -> None:
    net = nn.ModuleDict({"a": nn.Linear(12, 10), "b": nn.Linear(20, 30)})
    with pytest.raises(InputError, match=message):
        peft.get_peft_model(net, SubspaceConfig(target_modules=["a", "b"], **given))


def test_what_a_module_is_refused_or_warned_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"d must be 1 to D = 195, .* but got 196"):
        Subspace(network(), 196)
    with pytest.raises(InputError, match="needs a module with parameters that require gradients"):
        Subspace(nn.ReLU(), 1)
    with pytest.raises(InputError, match="unknown projection, but got 'orthogonal'"):
        Subspace(network(), 3, "orthogonal")
    with pytest.warns(UserWarning, match="d=100 is above half of D=195: training the module"):
        Subspace(network(), 100, "dense")
    zero = nn.Linear(3, 3)
    nn.init.zeros_(zero.weight)
    nn.init.zeros_(zero.bias)
    with pytest.warns(UserWarning, match="theta_0 is all zeros"):
        Subspace(zero, 2)
    Subspace(network(), 30).save(tmp_path)
    with pytest.raises(ArtifactError, match=r"saved with D = 195 in 6 tensors.*has D = 20 in 2"):
        Subspace.restore(nn.Linear(4, 4), tmp_path)
    other = network()
    other[0].weight.data[0, 0] += 1
    with pytest.raises(ArtifactError, match="hold the values that training started from"):
        Subspace.restore(other, tmp_path)
