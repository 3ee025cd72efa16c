# The functions carry the symbols of the model.
# ruff: noqa: N802
"""The single-particle model of a lithium-ion cell: constants, properties, kinetics.

Each electrode is one sphere of radius R_s. Lithium diffuses in it,

    dc/dt = (1/r^2) d/dr( r^2 D(c) dc/dr ),   dc/dr = 0 at r = 0,   D dc/dr = -j at r = R_s,

the flux j out of the sphere is the current's, and the kinetics turn the concentration at the
surface into potentials: phi_e of the electrolyte, and V of the cathode, which is the cell's
voltage because the anode's potential is zero.

Paper: Hassanaly et al. 2024, "PINN surrogate of Li-ion battery models for parameter inference.
Part I", arXiv 2312.17329, section 2; constants of its repository (NREL/PINNSTRIPES). What we do
differently: the potentials at t = 0 come from the kinetics that are asked for, linear or full
(theirs are the linear ones in both cases).

Units everywhere: kmol, m, s, V, A, J/kmol; k1 and k2 have none. Every function is written once for
numpy, torch and jax: it works in the library of its argument and keeps its shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Self

import numpy as np

from parsimony.core.errors import InputError, nearest

FARADAY = 96_485_332.1
"""C/kmol."""
GAS = 8_314.5
"""J/kmol/K."""
HORIZON = 1350.0
"""Seconds of the 2C discharge."""
REFERENCE = (0.5, 1.0)
"""(k1, k2) of the cell as its makers measured it."""


def namespace(array: Any) -> ModuleType:
    """The library whose functions work on ``array``: torch, jax.numpy, else numpy."""
    root = type(array).__module__.partition(".")[0]
    if root == "torch":
        import torch

        return torch
    if root in ("jax", "jaxlib"):
        import jax.numpy

        return jax.numpy
    return np


def horner(coefficients: tuple[float, ...], x: Any) -> Any:
    """The polynomial at x; the coefficient of the highest power comes first."""
    value = coefficients[0]
    for coefficient in coefficients[1:]:
        value = value * x + coefficient
    return value


# Powers 10 to 0 of the stoichiometry; ten to their value is D_c / (k2 2.25).
_D_C = (
    -250.9010843479270, 2391.026725259970, -4868.420267611360, -83.31104102921070,
    10576.36028329000, -12683.24548348120, 5016.272167775530, 982.4896659649480,
    -1502.439339070900, 472.3709304247700, -65.26092046397090,
)  # fmt: skip
_D_C_SLOPE = tuple((10 - i) * c for i, c in enumerate(_D_C[:-1]))
# Powers 5 to 0 of the stoichiometry.
_I0_C = (
    16.50452829641290, -75.23567141488800, 124.0524690073040, -94.16571081287610,
    32.49768821737960, -3.585290065824760,
)  # fmt: skip
# Powers 17 to 0 of the stoichiometry.
_U_A = (
    1878.6244900261463, -4981.580023016213, 516.2941996957871, 6452.38177755237,
    -436.0524457974526, 1264.0514576769442, -20918.656956191975, 12954.334261316431,
    28871.72866007402, -37943.83286204571, 34.11141793217983, 29363.16490602074,
    -25774.496334571464, 11073.868226559767, -2702.638445370805, 375.62895901410747,
    -28.064663950113868, 1.1265244540945243,
)  # fmt: skip
# Powers 28 to 0 of the stoichiometry.
_U_C = (
    -43309.69063512314, 122888.63938515769, -69735.99554716503, -59749.183217994185,
    25744.002733171154, 15730.398058573825, 54021.915506318735, -44566.03206954511,
    64.32177924593454, -7780.173422833786, 1117.4042221859695, 7387.492376558274,
    -7237.289515884936, -705.4465901574707, 17170.20236584321, -42.60228181558803,
    -23266.56994359366, 10810.92851132453, 2545.4065429021307, 1.6554268823619098,
    751.3515882152476, -4447.12851190078, 3727.268889820381, -1331.1791971457515,
    227.4712483170547, -17.646894926746256, 0.8568207255402533, -2.34505930698951,
    5.059010555584711,
)  # fmt: skip


@dataclass(frozen=True)
class Properties:
    """One set of property functions of the stoichiometry x = c / c_max, which is clipped to [0, 1].

    Args:
        D_a: diffusivity of the anode from x, m2/s.
        D_c: diffusivity of the cathode at k2 = 1 from x, m2/s.
        D_a_slope: dD_a/dx, m2/s.
        D_c_slope: dD_c/dx at k2 = 1, m2/s.
        i0_a: exchange current density of the anode at k1 = 1 from (x, c_max, c_e), A/m2.
        i0_c: exchange current density of the cathode from (x, c_e), A/m2.
        U_a: equilibrium potential of the anode from x, V.
        U_c: equilibrium potential of the cathode from x, V.
    """

    D_a: Callable[[Any], Any]
    D_c: Callable[[Any], Any]
    D_a_slope: Callable[[Any], Any]
    D_c_slope: Callable[[Any], Any]
    i0_a: Callable[[Any, float, float], Any]
    i0_c: Callable[[Any, float], Any]
    U_a: Callable[[Any], Any]
    U_c: Callable[[Any], Any]


def _exchange_a(x: Any, c_max: float, c_e: float) -> Any:
    return namespace(x).sqrt(x * (1 - x)) * (2.5 * 0.27 * math.sqrt(c_e) * c_max)


def _diffusivity_c(x: Any) -> Any:
    return namespace(x).exp(math.log(10) * horner(_D_C, x)) * 2.25


PROPERTIES = {
    "full": Properties(
        D_a=lambda x: 3e-14 + 0 * x,
        D_c=_diffusivity_c,
        D_a_slope=lambda x: 0 * x,
        D_c_slope=lambda x: _diffusivity_c(x) * math.log(10) * horner(_D_C_SLOPE, x),
        i0_a=_exchange_a,
        i0_c=lambda x, c_e: horner(_I0_C, x) * (9 * math.sqrt(c_e / 1.2)),
        U_a=lambda x: horner(_U_A, x),
        U_c=lambda x: horner(_U_C, x),
    ),
    "simple": Properties(
        D_a=lambda x: 3e-14 + 0 * x,
        D_c=lambda x: 3.5e-15 + 0 * x,
        D_a_slope=lambda x: 0 * x,
        D_c_slope=lambda x: 0 * x,
        i0_a=lambda x, c_max, c_e: 2.0 + 0 * x,
        i0_c=lambda x, c_e: 3.0 + 0 * x,
        U_a=lambda x: 0.2 - 0.2 * x,
        U_c=lambda x: 5.0 - 1.4 * x,
    ),
}
"""Property sets by name: the measured curves of the cell, and straight lines near them."""
KINETICS = ("linear", "full")
"""j = i0 eta / (R T), and j = (2 i0 / F) sinh(F eta / (2 R T))."""


@dataclass(frozen=True)
class Electrode:
    """One electrode as a sphere.

    Args:
        thickness: m.
        radius: R_s of the particles, m.
        solid: volume fraction of active material, in (0, 1).
        c_max: concentration when full, kmol/m3.
        c_0: concentration at t = 0, kmol/m3, in (0, c_max).

    Raises:
        InputError: a value that has another unit by its magnitude, or is out of range.
    """

    thickness: float
    radius: float
    solid: float
    c_max: float
    c_0: float

    def __post_init__(self) -> None:
        for name in ("thickness", "radius"):
            value = getattr(self, name)
            if not 1e-9 <= value <= 1e-2:
                micron = 0.01 < value <= 1000
                hint = f"That looks like microns: give {value * 1e-6:g}" if micron else ""
                raise InputError(f"{name} must be in metres, 1e-9 to 1e-2", got=value, hint=hint)
        if not 0 < self.solid < 1:
            raise InputError("solid must be a fraction between 0 and 1", got=self.solid)
        if not 0.1 <= self.c_max <= 200:
            mol = 1000 <= self.c_max <= 200_000
            hint = f"That looks like mol/m3: give {self.c_max / 1000:g}" if mol else ""
            rule = "c_max must be in kmol/m3, 0.1 to 200"
            raise InputError(rule, got=self.c_max, hint=hint)
        if not 0 < self.c_0 < self.c_max:
            mol = 0 < self.c_0 / 1000 < self.c_max
            hint = f"That looks like mol/m3: give {self.c_0 / 1000:g}" if mol else ""
            rule = f"c_0 must be in kmol/m3, between 0 and c_max = {self.c_max:g}"
            raise InputError(rule, got=self.c_0, hint=hint)

    def mean(self, flux: float, t: Any) -> Any:
        """Mean concentration after t seconds of a constant flux: c_0 - 3 j t / R_s, kmol/m3."""
        return self.c_0 - (3 * flux / self.radius) * t


ANODE = Electrode(44e-6, 4.0e-6, 0.5430727763, 30.53, 0.91 * 30.53)
CATHODE = Electrode(42e-6, 1.8e-6, 0.47662, 49.6, 0.39 * 49.6)


@dataclass(frozen=True)
class Cell:
    """The cell with its physics: what the equations need besides (k1, k2).

    Args:
        properties: a name of ``PROPERTIES``.
        kinetics: one of ``KINETICS``.
        current: A, negative in discharge; 2C by default.
        anode: its sphere.
        cathode: its sphere.
        area: of both electrodes, m2.
        electrolyte: its concentration c_e, which stays, kmol/m3.
        temperature: K; the measured curves are for 303.15.

    Raises:
        InputError: an unknown set or kinetics; a value of another unit or out of range.
    """

    properties: str = "full"
    kinetics: str = "linear"
    current: float = -0.0378
    anode: Electrode = ANODE
    cathode: Electrode = CATHODE
    area: float = 1.4e-3
    electrolyte: float = 1.2
    temperature: float = 303.15

    def __post_init__(self) -> None:
        if self.properties not in PROPERTIES:
            hint = nearest(str(self.properties), PROPERTIES)
            raise InputError("unknown property set", got=self.properties, hint=hint)
        if self.kinetics not in KINETICS:
            hint = nearest(str(self.kinetics), KINETICS)
            raise InputError("unknown kinetics", got=self.kinetics, hint=hint)
        if not math.isfinite(self.current) or self.current == 0:
            raise InputError("the current must be finite and not zero, in A", got=self.current)
        if not 0.01 <= self.electrolyte <= 50:
            mol = 100 <= self.electrolyte <= 50_000
            hint = f"That looks like mol/m3: give {self.electrolyte / 1000:g}" if mol else ""
            rule = "electrolyte must be in kmol/m3, 0.01 to 50"
            raise InputError(rule, got=self.electrolyte, hint=hint)
        if not 200 <= self.temperature <= 400:
            celsius = -60 <= self.temperature <= 120
            kelvin = self.temperature + 273.15
            hint = f"That looks like degrees Celsius: give {kelvin:g}" if celsius else ""
            raise InputError(
                "temperature must be in K, 200 to 400", got=self.temperature, hint=hint
            )
        if not 0 < self.area < math.inf:
            raise InputError("area must be positive, in m2", got=self.area)

    @property
    def _set(self) -> Properties:
        return PROPERTIES[self.properties]

    @property
    def j_a(self) -> float:
        """Flux out of the anode's particles: -(I/A) R_a / (3 eps_a F L_a), kmol/m2/s."""
        return -self._flux(self.anode)

    @property
    def j_c(self) -> float:
        """Flux out of the cathode's particles: (I/A) R_c / (3 eps_c F L_c), kmol/m2/s."""
        return self._flux(self.cathode)

    def _flux(self, of: Electrode) -> float:
        return self.current / self.area * of.radius / (3 * of.solid * FARADAY * of.thickness)

    def D_a(self, c: Any) -> Any:
        """Diffusivity in the anode at concentration c, m2/s."""
        return self._set.D_a(_share(c, self.anode))

    def D_c(self, c: Any, k2: Any) -> Any:
        """Diffusivity in the cathode at concentration c, m2/s; k2 is its factor."""
        return k2 * self._set.D_c(_share(c, self.cathode))

    def D_a_slope(self, c: Any) -> Any:
        """dD_a/dc at concentration c, m5/kmol/s."""
        return self._set.D_a_slope(_share(c, self.anode)) / self.anode.c_max

    def D_c_slope(self, c: Any, k2: Any) -> Any:
        """dD_c/dc at concentration c, m5/kmol/s."""
        return k2 * self._set.D_c_slope(_share(c, self.cathode)) / self.cathode.c_max

    def i0_a(self, c: Any, k1: Any) -> Any:
        """Exchange current density of the anode at surface concentration c, A/m2."""
        return k1 * self._set.i0_a(_share(c, self.anode), self.anode.c_max, self.electrolyte)

    def i0_c(self, c: Any) -> Any:
        """Exchange current density of the cathode at surface concentration c, A/m2."""
        return self._set.i0_c(_share(c, self.cathode), self.electrolyte)

    def U_a(self, c: Any) -> Any:
        """Equilibrium potential of the anode at surface concentration c, V."""
        return self._set.U_a(_share(c, self.anode))

    def U_c(self, c: Any) -> Any:
        """Equilibrium potential of the cathode at surface concentration c, V."""
        return self._set.U_c(_share(c, self.cathode))

    def flux(self, eta: Any, i0: Any) -> Any:
        """Flux at overpotential eta (V) and exchange current density i0 (A/m2), kmol/m2/s."""
        thermal = GAS * self.temperature
        if self.kinetics == "linear":
            return i0 * eta / thermal
        return 2 / FARADAY * i0 * namespace(eta).sinh(eta * (FARADAY / (2 * thermal)))

    def overpotential(self, j: float, i0: Any) -> Any:
        """The eta of ``flux`` that gives j, V."""
        thermal = GAS * self.temperature
        if self.kinetics == "linear":
            return j * thermal / i0
        return 2 * thermal / FARADAY * namespace(i0).arcsinh(j * FARADAY / 2 / i0)

    def electrolyte_potential(self, c_a: Any, k1: Any) -> Any:
        """phi_e = -eta_a - U_a at the anode's surface concentration c_a, V."""
        return -(self.overpotential(self.j_a, self.i0_a(c_a, k1)) + self.U_a(c_a))

    def voltage(self, c_a: Any, c_c: Any, k1: Any) -> Any:
        """V = eta_c + U_c + phi_e at the surface concentrations c_a and c_c, V."""
        eta = self.overpotential(self.j_c, self.i0_c(c_c))
        return self.electrolyte_potential(c_a, k1) + (eta + self.U_c(c_c))

    def start(self, k1: Any) -> tuple[Any, Any]:
        """(phi_e, V) at t = 0, where both spheres are at c_0, V."""
        k1 = k1 if hasattr(k1, "shape") else np.float64(k1)
        c_a, c_c = (k1 * 0 + electrode.c_0 for electrode in (self.anode, self.cathode))
        return self.electrolyte_potential(c_a, k1), self.voltage(c_a, c_c, k1)


def _share(c: Any, of: Electrode) -> Any:
    """Stoichiometry, clipped to [0, 1]."""
    x = c / of.c_max
    return namespace(x).clip(x, 0.0, 1.0)


@dataclass(frozen=True)
class Box:
    """The parameters that a surrogate speaks of: every (k1, k2) of a rectangle.

    Args:
        k1: least and greatest factor of the anode's exchange current density.
        k2: least and greatest factor of the cathode's diffusivity.

    Raises:
        InputError: ends that are not 0 < least <= greatest.
    """

    k1: tuple[float, float] = (0.5, 4.0)
    k2: tuple[float, float] = (1.0, 10.0)

    def __post_init__(self) -> None:
        for name in ("k1", "k2"):
            least, greatest = getattr(self, name)
            if not 0 < least <= greatest < math.inf:
                rule = f"the box needs 0 < least <= greatest for {name}"
                raise InputError(rule, got=(least, greatest))

    def __str__(self) -> str:
        (a, b), (c, d) = self.k1, self.k2
        return f"k1 in [{a:g}, {b:g}], k2 in [{c:g}, {d:g}]"

    @property
    def low(self) -> np.ndarray:
        """(2,) least k1 and k2."""
        return np.array([self.k1[0], self.k2[0]])

    @property
    def high(self) -> np.ndarray:
        """(2,) greatest k1 and k2."""
        return np.array([self.k1[1], self.k2[1]])

    def shrunk(self, share: float) -> Self:
        """The box drawn towards ``REFERENCE``: share 1 is all of it, 0 the reference alone."""
        if not 0 <= share <= 1:
            raise InputError("the share of the box must be between 0 and 1", got=share)
        ends = (
            tuple(at + share * (end - at) for end in (*side,))
            for at, side in zip(REFERENCE, (self.k1, self.k2), strict=True)
        )
        return type(self)(*ends)

    def check(self, parameters: Any) -> np.ndarray:
        """(n, 2) float64 of parameters inside the box.

        Args:
            parameters: (n, 2) or (2,), k1 and k2.

        Raises:
            InputError: another shape, no finite number, or a value outside; names the row.
        """
        values = np.asarray(parameters, dtype=np.float64)
        values = values[None] if values.ndim == 1 else values
        if values.ndim != 2 or values.shape[1] != 2:
            raise InputError("parameters must be of shape (n, 2): k1, k2", got=values.shape)
        outside = ~((values >= self.low) & (values <= self.high)).all(axis=1)
        if outside.any():
            row = int(outside.argmax())
            raise InputError(
                f"parameters must lie in the box {self}; row {row + 1} does not",
                got=tuple(values[row].tolist()),
                hint="Choose values inside, or train a surrogate on a larger box",
            )
        return values
