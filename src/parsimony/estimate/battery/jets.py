"""Values with their derivatives by radius and time, carried through a network in one pass.

A jet is a stack of equal arrays: the value alone is (1, n, w); with d/dr it is (2, n, w); with
d/dr, d2/dr2 and d/dt it is (4, n, w). The chain rule of a layer is written out, so that the
residual of a diffusion equation costs one pass forward and one back, not three nested ones.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Jet:
    """A value and its derivatives.

    Args:
        parts: (m, n, w) float64, m one of 1, 2 and 4: value, d/dr, d2/dr2, d/dt.
    """

    def __init__(self, parts: Tensor) -> None:
        self.parts = parts

    @classmethod
    def of(cls, value: Tensor, r: float, t: float | Tensor, m: int) -> Jet:
        """The value (n, w) whose first derivatives by r and t are these; it has no second one."""
        parts = value.new_zeros((m, *value.shape))
        parts[0] = value
        if m > 1:
            parts[1] = r
        if m == 4:
            parts[3] = t
        return cls(parts)

    @property
    def value(self) -> Tensor:
        """(n, w)"""
        return self.parts[0]

    @property
    def r(self) -> Tensor:
        """(n, w) first derivative by radius."""
        return self.parts[1]

    @property
    def rr(self) -> Tensor:
        """(n, w) second derivative by radius."""
        return self.parts[2]

    @property
    def t(self) -> Tensor:
        """(n, w) first derivative by time."""
        return self.parts[3]

    def affine(self, kernel: Tensor, bias: Tensor) -> Jet:
        """x @ kernel + bias."""
        return Jet(_Affine.apply(self.parts, kernel, bias))

    def beside(self, other: Jet) -> Jet:
        """Both, along the last axis."""
        return Jet(torch.cat((self.parts, other.parts), dim=-1))

    def split(self, width: int) -> list[Jet]:
        """Pieces of this width along the last axis."""
        return [Jet(part) for part in self.parts.split(width, dim=-1)]

    def tanh(self) -> Jet:
        """Elementwise."""
        return Jet(_Tanh.apply(self.parts))

    def gate(self, u: Jet, v: Jet) -> Jet:
        """(1 - self) u + self v, elementwise."""
        return Jet(_Gate.apply(self.parts, u.parts, v.parts))

    def __add__(self, other: Any) -> Jet:
        if isinstance(other, Jet):
            return Jet(self.parts + other.parts)
        parts = self.parts.clone()
        parts[0] += other
        return Jet(parts)

    __radd__ = __add__

    def __neg__(self) -> Jet:
        return Jet(-self.parts)

    def __sub__(self, other: Any) -> Jet:
        return self + (-other)

    def __rsub__(self, other: Any) -> Jet:
        return -self + other

    def __mul__(self, other: Any) -> Jet:
        """By a jet, or by what depends on neither radius nor time."""
        if isinstance(other, Jet):
            return Jet(_Product.apply(self.parts, other.parts))
        return Jet(self.parts * other)

    __rmul__ = __mul__


class _Affine(torch.autograd.Function):
    """x @ kernel + bias; the derivatives of a constant are zero."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
        flat = x.reshape(-1, x.shape[-1])
        ctx.save_for_backward(flat, kernel)
        out = (flat @ kernel).view(*x.shape[:2], -1)
        out[0] += bias
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        flat, kernel = ctx.saved_tensors
        rows = g.reshape(-1, g.shape[-1])
        x = (rows @ kernel.T).view(*g.shape[:2], -1) if ctx.needs_input_grad[0] else None
        return x, flat.T @ rows, g[0].sum(0)


class _Gate(torch.autograd.Function):
    """(1 - z) u + z v by the product rule to second order."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, u: Tensor, v: Tensor) -> Tensor:
        d = v - u
        ctx.save_for_backward(z, d)
        out = u + z * d[0]
        if len(z) > 1:
            out[1:] += z[0] * d[1:]
        if len(z) == 4:
            out[2] += 2 * z[1] * d[1]
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z, d = ctx.saved_tensors
        to_d = _product_gradient(g, z)
        return _product_gradient(g, d), g - to_d, to_d


class _Tanh(torch.autograd.Function):
    """y = tanh x: y' = s x', y'' = s x'' - 2 y s x'^2 with s = 1 - y^2."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = torch.tanh(x[0])
        s = 1 - y * y
        out = torch.empty_like(x)
        out[0] = y
        torch.mul(x[1:], s, out=out[1:])
        if len(x) == 4:
            out[2] -= 2 * y * out[1] * x[1]
        ctx.save_for_backward(x, y, s)
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        x, y, s = ctx.saved_tensors
        out = g * s
        if len(x) > 1:
            inner = (g[1:] * x[1:]).sum(0) * y
            if len(x) == 4:
                bend = 2 * g[2] * x[1]
                inner += bend * x[1] * (0.5 - 1.5 * y * y)
                out[1] -= 2 * y * s * bend
            out[0] -= 2 * s * inner
        return out


class _Product(torch.autograd.Function):
    """The product rule to second order."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        out = a * b[0]
        if len(a) > 1:
            out[1:] += a[0] * b[1:]
        if len(a) == 4:
            out[2] += 2 * a[1] * b[1]
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor]:
        a, b = ctx.saved_tensors
        return _product_gradient(g, b), _product_gradient(g, a)


def _product_gradient(g: Tensor, other: Tensor) -> Tensor:
    """What reaches one factor of a product."""
    out = g * other[0]
    if len(g) > 1:
        out[0] += (g[1:] * other[1:]).sum(0)
    if len(g) == 4:
        out[1] += 2 * g[2] * other[1]
    return out
