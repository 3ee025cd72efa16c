"""Job-SDF's tasks, as a change of the training loss of the learned forecasters.

``standard``: mean squared error of the scaled values. ``fair``: plus the variance over groups of
their mean absolute error. ``low``: rare series alone. ``break``: month t weighs by a time kernel of
its age u = (T - 1 - t) / (T - 1), so that what was before a break counts less:

    bartlett       1 - u
    parzen         1 - 6 u^2 + 6 u^3 to u = 0.5, then 2 (1 - u)^3
    tukey-hanning  (1 + cos(pi u)) / 2
    exponential    exp(-u / 0.3)
    rayleigh       (v / s^2) exp(-v^2 / (2 s^2)), v = 1 - u, s = 0.5, over its largest value

The official repository names these tasks but lacks their code, so these definitions are ours. A
statistical forecaster has no training loss: it is the same under every task.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from parsimony.core.errors import InputError, nearest

NAMES = ("standard", "fair", "low", "break")
_MODE = 0.5  # of the Rayleigh kernel


def _parzen(u: np.ndarray) -> np.ndarray:
    return np.where(u <= 0.5, 1 - 6 * u**2 + 6 * u**3, 2 * (1 - u) ** 3)


def _rayleigh(u: np.ndarray) -> np.ndarray:
    v = 1 - u
    return v / _MODE * np.exp((1 - (v / _MODE) ** 2) / 2)  # 1 at its mode


KERNELS = {
    "bartlett": lambda u: 1 - u,
    "parzen": _parzen,
    "tukey-hanning": lambda u: (1 + np.cos(np.pi * u)) / 2,
    "exponential": lambda u: np.exp(-u / 0.3),
    "rayleigh": _rayleigh,
}


def kernel(name: str, months: int) -> np.ndarray:
    """Weight of each of ``months`` training months, oldest first, each in [0, 1]."""
    if name not in KERNELS:
        raise InputError(f"unknown kernel '{name}'", hint=nearest(name, KERNELS))
    return KERNELS[name](np.arange(months)[::-1] / (months - 1))


@dataclass(frozen=True)
class Task:
    """What the learned forecasters are trained for.

    Attributes:
        name: of ``NAMES``.
        kernel: of ``KERNELS``, for ``break``; else ''.
    """

    name: str = "standard"
    kernel: str = ""

    @classmethod
    def parse(cls, text: str) -> Task:
        """``standard``, ``fair``, ``low``, ``break`` or ``break:KERNEL``.

        Raises:
            InputError: anything else.
        """
        name, _, given = text.partition(":")
        if name not in NAMES:
            raise InputError(f"unknown task '{name}'", hint=nearest(name, NAMES))
        if given and name != "break":
            raise InputError("only the task 'break' has a kernel", got=text)
        chosen = given or ("bartlett" if name == "break" else "")
        if chosen and chosen not in KERNELS:
            raise InputError(f"unknown kernel '{chosen}'", hint=nearest(chosen, KERNELS))
        return cls(name, chosen)

    def weights(self, months: int) -> np.ndarray:
        """Of the training months, shape (months,)."""
        return kernel(self.kernel, months) if self.kernel else np.ones(months)
