"""The network: four outputs N1..N4 of (t, r, k1, k2), one each for phi_e, V, c_a and c_c.

Merged: a trunk of one tanh layer on (t, k1, k2) and one more on (that, r); the potentials have a
head on the first, the concentrations on the second. A head is a block against gradient pathologies
(Wang et al. 2021): U, V, H = tanh(dense), then twice Z = tanh(dense(H)), H = (1 - Z) U + Z V, and a
linear layer to one number. Split: four separate stacks of seven tanh layers, plain or with residual
blocks that add and then activate.

Paper: arXiv 2312.17329, section 3.1 and its repository. Kernels and biases are He-normal; the last
biases of the two concentrations stay zero. All of it is plain functions of a dictionary of weights,
written once: they run on numpy, torch and jax arrays, and on ``jets.Jet``.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from parsimony.core.errors import InputError, nearest
from parsimony.estimate.battery.cell import namespace
from parsimony.estimate.battery.jets import Jet

NETWORKS = ("merged", "split", "split-residual")
"""The kinds that ``initial`` knows."""
WIDTH = 20
LAYERS = 7
"""Hidden layers of a split branch."""
STATES = ("phi_e", "V", "c_a", "c_c")
"""The four states in the order of N1..N4."""
FIXED = ("c_a.out.bias", "c_c.out.bias")
"""Weights that stay zero."""

Weights = dict[str, Any]
"""Array by name, such as ``c_a.first.kernel``."""


def shapes(kind: str) -> dict[str, tuple[int, ...]]:
    """Shape of every weight by name; a kernel is (inputs, outputs).

    Raises:
        InputError: an unknown kind.
    """
    if kind not in NETWORKS:
        raise InputError("unknown network", got=kind, hint=nearest(str(kind), NETWORKS))
    layers: dict[str, tuple[int, int]] = {}
    if kind == "merged":
        layers = {"t": (3, WIDTH), "tr": (WIDTH + 1, WIDTH)}
        for state in STATES:
            layers[f"{state}.first"] = (WIDTH, 3 * WIDTH)
            layers[f"{state}.gate1"] = layers[f"{state}.gate2"] = (WIDTH, WIDTH)
            layers[f"{state}.out"] = (WIDTH, 1)
    else:
        for state in STATES:
            layers[f"{state}.0"] = (3 if state in ("phi_e", "V") else 4, WIDTH)
            layers |= {f"{state}.{i}": (WIDTH, WIDTH) for i in range(1, LAYERS)}
            layers[f"{state}.out"] = (WIDTH, 1)
    found: dict[str, tuple[int, ...]] = {}
    for name, (inputs, outputs) in layers.items():
        found |= {f"{name}.kernel": (inputs, outputs), f"{name}.bias": (outputs,)}
    return found


def initial(kind: str, seed: int) -> dict[str, Tensor]:
    """He-normal weights, float64.

    Args:
        kind: one of ``NETWORKS``.
        seed: of the draw.
    """
    random = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes(kind).items():
        # The three first layers of a head are drawn as what they are: layers of WIDTH.
        fan = shape[0] if len(shape) == 2 else min(shape[0], WIDTH)
        draw = torch.randn(shape, generator=random, dtype=torch.float64)
        weights[name] = draw * (0.0 if name in FIXED else math.sqrt(2 / fan))
    return weights


def count(kind: str) -> tuple[int, int]:
    """(weights, those that are trained)."""
    total = sum(math.prod(shape) for shape in shapes(kind).values())
    return total, total - len(FIXED)


def output(kind: str, weights: Weights, state: str, tk: Any, r: Any = None) -> Any:
    """One of N1..N4, (n, 1).

    Args:
        kind: one of ``NETWORKS``.
        weights: of ``initial``, or of the same names and shapes in another library.
        state: one of ``STATES``.
        tk: (n, 3) scaled t, k1, k2.
        r: (n, 1) scaled radius, for c_a and c_c.
    """
    if kind == "merged":
        x = _tanh(_dense(weights, "t", tk))
        if r is not None:
            x = _tanh(_dense(weights, "tr", _beside(x, r)))
        return _head(weights, state, x)
    x = tk if r is None else _beside(tk, r)
    return _stack(weights, state, x, residual=kind == "split-residual")


def _head(weights: Weights, state: str, x: Any) -> Any:
    first = _tanh(_dense(weights, f"{state}.first", x))
    u, v, h = _thirds(first)
    for gate in ("gate1", "gate2"):
        z = _tanh(_dense(weights, f"{state}.{gate}", h))
        h = z.gate(u, v) if isinstance(z, Jet) else u + z * (v - u)
    return _dense(weights, f"{state}.out", h)


def _stack(weights: Weights, state: str, x: Any, residual: bool) -> Any:
    x = _tanh(_dense(weights, f"{state}.0", x))
    for i in range(1, LAYERS, 2):
        inner = _dense(weights, f"{state}.{i + 1}", _tanh(_dense(weights, f"{state}.{i}", x)))
        x = _tanh(x + inner if residual else inner)
    return _dense(weights, f"{state}.out", x)


def _dense(weights: Weights, name: str, x: Any) -> Any:
    kernel, bias = weights[f"{name}.kernel"], weights[f"{name}.bias"]
    return x.affine(kernel, bias) if isinstance(x, Jet) else x @ kernel + bias


def _tanh(x: Any) -> Any:
    return x.tanh() if isinstance(x, Jet) else namespace(x).tanh(x)


def _beside(a: Any, b: Any) -> Any:
    return a.beside(b) if isinstance(a, Jet) else namespace(a).concatenate((a, b), -1)


def _thirds(x: Any) -> Any:
    if isinstance(x, Jet):
        return x.split(WIDTH)
    return (x[..., i * WIDTH : (i + 1) * WIDTH] for i in range(3))
