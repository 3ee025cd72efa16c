"""What a fit found: constants with intervals, its own errors, and predictions with bands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from parsimony.core import artifacts
from parsimony.core.errors import ArtifactError, InputError, nearest, require
from parsimony.core.fitting.columns import TABLE, positive, row_numbers
from parsimony.core.fitting.law import Array, Columns, Law
from parsimony.core.fitting.provenance import Provenance

if TYPE_CHECKING:
    import pandas as pd

KIND = "parsimony fit"
LEVEL = 0.95
SEPARABLE = 1e8
"""Largest condition number at which constants are shown."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A law with its constants.

    Attributes:
        law: which.
        theta: the parameters, [P].
        draws: those of the bootstrap, [bootstraps, P], spread a little where the runs are few.
        residuals: logarithm of predicted over observed, of the rows of the fit, [n].
        ranges: fitted (least, greatest) of each quantity of ``law.extents``.
        objective: the summed robust loss.
        held_out: mean relative error on the rows of the largest size, of a fit to the others;
            ``None`` with a note when the others are too few.
        held_out_interval: 95 % of ``held_out``, by resampling the runs that were held out; ``None``
            where there are no two.
        held_out_residuals: logarithm of predicted over observed of those rows, by that fit.
        condition: condition number of the Hessian, its diagonal scaled to 1.
        runs: how many independent runs were resampled.
        provenance: the setting the constants belong to.
        notes: what the reader must know.
    """

    law: Law
    theta: Array
    draws: Array
    residuals: Array
    ranges: Mapping[str, tuple[float, float]]
    objective: float
    held_out: float | None
    condition: float
    runs: int
    held_out_interval: tuple[float, float] | None = None
    held_out_residuals: Array = field(default_factory=lambda: np.empty(0))
    provenance: Provenance = field(default_factory=Provenance)
    notes: tuple[str, ...] = ()

    @property
    def separable(self) -> bool:
        """Whether the data tell the constants apart."""
        return self.condition < SEPARABLE

    @property
    def error(self) -> float:
        """Mean relative error on the rows of the fit."""
        return float(np.abs(np.expm1(self.residuals)).mean())

    @property
    def constants(self) -> dict[str, float]:
        """The law's constants by name."""
        return {name: float(v) for name, v in self.law.constants(self.theta).items()}

    def report(self, level: float = LEVEL) -> pd.DataFrame:
        """Constants by name: value, low, high, and the standard error of the bootstrap.

        Nothing but not-a-number where the data cannot tell the constants apart.
        """
        pd = require("pandas", "plan")
        shown = self.law.constants(self.draws)
        tails = [50 * (1 - level), 50 * (1 + level)]
        rows = {
            name: (value, *np.percentile(shown[name], tails), np.std(shown[name]))
            for name, value in self.constants.items()
        }
        table = pd.DataFrame.from_dict(
            rows, orient="index", columns=["value", "low", "high", "standard_error"]
        ).rename_axis("constant")
        return table if self.separable else table * math.nan

    def correlation(self) -> pd.DataFrame:
        """Of the parameters, as the search sees them, over the bootstrap."""
        pd = require("pandas", "plan")
        names = self.law.parameters
        with np.errstate(invalid="ignore"):  # a parameter that was held has no correlation
            return pd.DataFrame(np.corrcoef(self.draws.T), index=names, columns=names)

    def extrapolation(self, x: Columns) -> tuple[Array, Array]:
        """How far columns [n] are outside the fitted range, and how far beyond the law's reach.

        Returns:
            The factor of the quantity that is farthest outside, and the factor by which some
            quantity passes its reach, [n] each; 1 for none.
        """
        size = len(next(iter(x.values())))
        factor, excess = np.ones(size), np.ones(size)
        for name, values in self.law.extents(x).items():
            low, high = self.ranges[name]
            out = np.maximum(1.0, np.maximum(values / high, low / values))
            factor = np.maximum(factor, out)
            excess = np.maximum(excess, out / self.law.reach.get(name, math.inf))
        return factor, excess

    def predict(
        self,
        table: pd.DataFrame,
        *,
        provenance: Provenance | None = None,
        beyond: bool = False,
        level: float = LEVEL,
        file: str = TABLE,
    ) -> pd.DataFrame:
        """The figure for every row, and the band in which a new run's is expected.

        The band has the spread of the constants (the bootstrap) and that of single runs (the
        residuals of the fit). Beyond the law's reach it is widened by 1 + log10 of the excess.

        Args:
            table: with the law's columns.
            provenance: of the runs to predict.
            beyond: answer beyond the law's reach.
            level: share of new runs that the band should hold.
            file: name of the table, for errors.

        Returns:
            The law's columns with value, low, high and extrapolation, the factor by which the row
            is outside the fitted range; with the index of ``table``.

        Raises:
            DataError: a column is missing or a value not positive.
            InputError: a row beyond reach, or another setting than that of the constants.
        """
        pd = require("pandas", "plan")
        self.provenance.with_(provenance or Provenance())
        x = positive(table, self.law.columns, file)
        factor, excess = self.extrapolation(x)
        if excess.max() > 1 and not beyond:
            row = int(excess.argmax())
            raise InputError(
                f"{file}, row {row_numbers(table)[row]}: outside the domain of '{self.law.name}': "
                f"{self._farthest(x, row)}",
                hint="Fit larger runs, or ask for an answer beyond reach (--beyond), with a "
                "wider band",
            )
        value = self.law.evaluate(self.theta, x)[0]
        random = np.random.default_rng(0)
        # Residuals of a fit are smaller than those of new runs: it bent towards them.
        rows, constants = len(self.residuals), len(self.theta)
        swell = math.sqrt(rows / max(1, rows - constants))
        noise = swell * random.choice(self.residuals, (len(self.draws), 1))
        spread = self.law.evaluate(self.draws, x)[0] - noise - value
        tails = np.quantile(spread, [0.5 * (1 - level), 0.5 * (1 + level)], axis=0)
        low, high = tails * (1 + np.log10(excess))
        found = {**x, "value": value, "low": value + low, "high": value + high}
        for name in ("value", "low", "high"):
            found[name] = np.exp(found[name])
        return pd.DataFrame({**found, "extrapolation": factor}, index=table.index)

    def _farthest(self, x: Columns, row: int) -> str:
        def out(item: tuple[str, Array]) -> float:
            (low, high), value = self.ranges[item[0]], item[1][row]
            beyond = max(value / high, low / value)
            return float(beyond / self.law.reach.get(item[0], math.inf))

        name, values = max(self.law.extents(x).items(), key=out)
        low, high = self.ranges[name]
        factor = max(values[row] / high, low / values[row])
        return (
            f"{name} {values[row]:.4g} is {factor:.3g} times outside the fitted range of "
            f"{low:.4g} to {high:.4g}, and at most {self.law.reach[name]:g} times is answered"
        )

    def as_dict(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "kind": KIND,
            "law": self.law.name,
            "formula": self.law.formula,
            "parameters": dict(zip(self.law.parameters, self.theta.tolist(), strict=True)),
            "constants": self.constants if self.separable else {},
            "draws": self.draws.tolist(),
            "residuals": self.residuals.tolist(),
            "ranges": {name: list(bounds) for name, bounds in self.ranges.items()},
            "objective": self.objective,
            "error": self.error,
            "held_out": self.held_out,
            "held_out_interval": self.held_out_interval and list(self.held_out_interval),
            "held_out_residuals": self.held_out_residuals.tolist(),
            "condition": self.condition if math.isfinite(self.condition) else None,
            "runs": self.runs,
            "provenance": asdict(self.provenance),
            "notes": list(self.notes),
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fit) and self.as_dict() == other.as_dict()

    __hash__ = object.__hash__

    def save(self, path: Path) -> None:
        """Write it as JSON, whole or not at all."""
        artifacts.write_json(path, self.as_dict())

    @classmethod
    def load(cls, path: Path, laws: Mapping[str, type[Law]]) -> Self:
        """Read what ``save`` wrote.

        Args:
            path: the file.
            laws: those that are known, by name.

        Raises:
            ArtifactError: missing, no JSON, or not a fit.
            InputError: of a law that is not known here.
        """
        found = artifacts.read_json(path)
        if not isinstance(found, dict) or found.get("kind") != KIND:
            raise ArtifactError(
                f"the file {path} must be a saved fit",
                hint="Write one with: parsimony plan fit --law LAW DATA --out fit.json",
            )
        if found["law"] not in laws:
            raise InputError(f"unknown law '{found['law']}'", hint=nearest(found["law"], laws))
        law = laws[found["law"]]()
        try:
            return cls(
                law=law,
                theta=np.array([found["parameters"][name] for name in law.parameters]),
                draws=np.array(found["draws"]).reshape(-1, len(law.parameters)),
                residuals=np.array(found["residuals"], dtype=float),
                ranges={name: (low, high) for name, (low, high) in found["ranges"].items()},
                objective=found["objective"],
                held_out=found["held_out"],
                held_out_interval=found["held_out_interval"] and tuple(found["held_out_interval"]),
                held_out_residuals=np.array(found["held_out_residuals"], dtype=float),
                condition=math.inf if found["condition"] is None else found["condition"],
                runs=found["runs"],
                provenance=Provenance.of(found["provenance"]),
                notes=tuple(found["notes"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"the file {path} is not a whole fit ({type(error).__name__}: {error})",
                hint="Fit again",
            ) from error
