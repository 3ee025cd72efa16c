"""The network: its counts, its derivatives beside autograd, torch beside jax and numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from parsimony.core.errors import InputError
from parsimony.estimate.battery import network
from parsimony.estimate.battery.jets import Jet

N = 30


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    tk = torch.rand((N, 3), generator=random, dtype=torch.float64)
    return tk, torch.rand((N, 1), generator=random, dtype=torch.float64)


def test_counts_of_parameters() -> None:
    assert network.count("merged") == (9004, 9002)
    weights = network.initial("merged", 0)
    assert sum(w.numel() for w in weights.values()) == 9004
    # Four stacks: 7 layers of 20 and one output; concentrations see r too.
    assert network.count("split")[0] == 2 * (80 + 6 * 420 + 21) + 2 * (100 + 6 * 420 + 21)


def test_he_normal_weights_and_fixed_biases() -> None:
    weights = network.initial("split", 0)
    kernels = torch.cat([weights[f"V.{i}.kernel"].reshape(-1) for i in range(1, 7)])
    assert kernels.std().item() == pytest.approx((2 / 20) ** 0.5, rel=0.05)
    assert all(weights[name].abs().sum() == 0 for name in network.FIXED)
    assert not torch.equal(weights["V.0.kernel"], network.initial("split", 1)["V.0.kernel"])


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(InputError) as error:
        network.initial("merge", 0)
    assert str(error.value) == (
        "unknown network, but got 'merge'. Did you mean 'merged'? Known: merged, split, "
        "split-residual"
    )


@pytest.mark.parametrize("kind", network.NETWORKS)
@pytest.mark.parametrize("state", ["V", "c_c"])
def test_numpy_torch_and_jax_agree(kind: str, state: str) -> None:
    jax = pytest.importorskip("jax")
    weights = network.initial(kind, 3)
    tk, r = inputs()
    radius = None if state == "V" else r
    want = network.output(kind, weights, state, tk, radius).numpy()
    arrays = {name: w.numpy() for name, w in weights.items()}
    plain = network.output(
        kind, arrays, state, tk.numpy(), None if radius is None else radius.numpy()
    )
    assert plain == pytest.approx(want, rel=1e-12)
    with jax.enable_x64(True):
        r_jax = None if radius is None else jax.numpy.asarray(r.numpy())
        found = network.output(kind, arrays, state, jax.numpy.asarray(tk.numpy()), r_jax)
    assert np.asarray(found) == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("kind", network.NETWORKS)
@pytest.mark.parametrize("parts", [1, 2, 4])
def test_jets_carry_the_derivatives_of_autograd(kind: str, parts: int) -> None:
    weights = {n: w.requires_grad_() for n, w in network.initial(kind, 3).items()}
    tk, r = inputs()
    jet = network.output(
        kind, weights, "c_c",
        Jet.of(tk, 0.0, torch.tensor([1.0, 0, 0], dtype=torch.float64), parts),
        Jet.of(r, 1.0, 0.0, parts),
    )  # fmt: skip
    tk, r = tk.requires_grad_(), r.requires_grad_()
    value = network.output(kind, weights, "c_c", tk, r)
    by_t, by_r = torch.autograd.grad(value.sum(), (tk, r), create_graph=True)
    (by_rr,) = torch.autograd.grad(by_r.sum(), r, create_graph=True)
    want = torch.stack([value, by_r, by_rr, by_t[:, :1]])[:parts]
    assert torch.allclose(jet.parts, want, rtol=1e-11, atol=1e-12)
    # And the way back to the weights.
    used = [n for n in weights if n.startswith(("t.", "tr.", "c_c."))]
    factors = torch.linspace(1, 2, want.numel(), dtype=torch.float64).view_as(want)
    mine = torch.autograd.grad((jet.parts.sin() * factors).sum(), [weights[n] for n in used])
    theirs = torch.autograd.grad((want.sin() * factors).sum(), [weights[n] for n in used])
    for a, b in zip(mine, theirs, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-10)


def test_arithmetic_of_jets() -> None:
    _, r = inputs()
    x = Jet.of(r, 1.0, 0.5, 4)
    square = (1.0 - x) * (2.0 * x) + 3.0
    assert torch.allclose(square.value, (1 - r) * 2 * r + 3)
    assert torch.allclose(square.r, 2 - 4 * r)
    assert torch.allclose(square.rr, torch.full_like(r, -4))
    assert torch.allclose(square.t, (2 - 4 * r) * 0.5)
    assert torch.allclose((x - x).parts, torch.zeros(4, N, 1, dtype=torch.float64))
