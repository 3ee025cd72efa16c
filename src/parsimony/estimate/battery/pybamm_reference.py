"""The same cell in PyBaMM, to compare with: its single-particle model with our values and curves.

The parameter set 'Marquis2019' is copied and what the model of ``cell`` uses is overridden, in
PyBaMM's units (mol and metres; a discharge has a positive current). k1 and k2 are inputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from parsimony.core.errors import InputError, require
from parsimony.estimate.battery.cell import PROPERTIES, Cell
from parsimony.estimate.battery.solver import CELL

_KINETICS = {"linear": "linear", "full": "symmetric Butler-Volmer"}


class Reference:
    """PyBaMM's solution of the cell; the first call builds the model, the others only solve.

    Args:
        cell: constants, properties and kinetics.
        points: radial points of each sphere.
        tolerance: relative, of the steps in time; the absolute one is a hundredth of it.

    Raises:
        MissingExtraError: pybamm is not installed.
    """

    def __init__(self, cell: Cell = CELL, points: int = 100, tolerance: float = 1e-8) -> None:
        self._pybamm = require("pybamm", "peers")
        kinetics = {"thermal": "isothermal", "intercalation kinetics": _KINETICS[cell.kinetics]}
        pybamm = self._pybamm
        self._simulation = pybamm.Simulation(
            pybamm.lithium_ion.SPM(kinetics),
            parameter_values=self._values(cell),
            var_pts={"x_n": 5, "x_s": 5, "x_p": 5, "r_n": points, "r_p": points},
            solver=pybamm.IDAKLUSolver(
                rtol=tolerance, atol=tolerance / 100, output_variables=["Voltage [V]"]
            ),
        )

    def voltage(self, parameters: np.ndarray, times: np.ndarray) -> np.ndarray:
        """(b, n) V.

        Args:
            parameters: (b, 2) or (2,), k1 and k2.
            times: (n,) seconds, rising.

        Raises:
            InputError: PyBaMM stops before the last time.
        """
        k = np.atleast_2d(np.asarray(parameters, dtype=np.float64))
        t = np.asarray(times, dtype=np.float64)
        solutions = self._simulation.solve(
            [0.0, float(t[-1])], t_interp=t, inputs=[{"k1": a, "k2": b} for a, b in k.tolist()]
        )
        several = solutions if isinstance(solutions, list) else [solutions]
        # its solution has t = 0 too
        found = [np.asarray(one["Voltage [V]"].data)[np.isin(one.t, t)] for one in several]
        if any(len(one) != len(t) for one in found):
            raise InputError("PyBaMM stops before the last time", got=float(t[-1]))
        return np.stack(found)

    def _values(self, cell: Cell) -> Any:
        pybamm = self._pybamm
        curves = PROPERTIES[cell.properties]
        values = pybamm.ParameterValues("Marquis2019").copy()
        k1, k2 = pybamm.InputParameter("k1"), pybamm.InputParameter("k2")
        sides = {"Negative": cell.anode, "Positive": cell.cathode}
        changed: dict[str, Any] = {
            "Current function [A]": -cell.current,
            "Nominal cell capacity [A.h]": 1.89e-2,
            "Electrode height [m]": 1.0,
            "Electrode width [m]": cell.area,
            "Number of electrodes connected in parallel to make a cell": 1,
            "Initial concentration in electrolyte [mol.m-3]": 1000 * cell.electrolyte,
            "Initial temperature [K]": cell.temperature,
            "Ambient temperature [K]": cell.temperature,
            "Reference temperature [K]": cell.temperature,
            "Lower voltage cut-off [V]": 1.0,
            "Upper voltage cut-off [V]": 6.0,
            "Negative electrode exchange-current density [A.m-2]": lambda c_e, c, c_max, kelvin: (
                k1 * curves.i0_a(c / c_max, cell.anode.c_max, cell.electrolyte)
            ),
            "Positive electrode exchange-current density [A.m-2]": lambda c_e, c, c_max, kelvin: (
                curves.i0_c(c / c_max, cell.electrolyte)
            ),
            "Negative particle diffusivity [m2.s-1]": lambda x, kelvin: curves.D_a(x),
            "Positive particle diffusivity [m2.s-1]": lambda x, kelvin: k2 * curves.D_c(x),
            "Negative electrode OCP [V]": curves.U_a,
            "Positive electrode OCP [V]": curves.U_c,
        }
        for side, electrode in sides.items():
            low = side.lower()
            changed |= {
                f"{side} electrode thickness [m]": electrode.thickness,
                f"{side} particle radius [m]": electrode.radius,
                f"{side} electrode active material volume fraction": electrode.solid,
                f"Maximum concentration in {low} electrode [mol.m-3]": 1000 * electrode.c_max,
                f"Initial concentration in {low} electrode [mol.m-3]": 1000 * electrode.c_0,
                f"{side} electrode OCP entropic change [V.K-1]": 0.0,
            }
        values.update(changed, check_already_exists=False)
        return values
