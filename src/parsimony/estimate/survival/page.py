"""The report page of a fit: estimates, curves over Kaplan and Meier's, residuals, diagnosis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from parsimony.core.pages import Axis, Column, Estimate, Intervals, Page, Section, Table
from parsimony.core.units import format_number
from parsimony.estimate.survival import plots

if TYPE_CHECKING:
    from parsimony.estimate.survival.regression import SurvivalRegressor

_GROUPS = 4  # values of a column by which the curves are drawn


def page(fit: SurvivalRegressor, *, file: str = "the data") -> Page:
    """What ``estimate survival`` found.

    Args:
        fit: fitted.
        file: name of the table.
    """
    events = fit._fitted.model.events()
    title = fit._fitted.model.case.title
    by = _grouping(fit)
    curves = [plots.survival(fit, by), plots.hazard(fit, by)]
    checks = [] if fit._outcome.within.any() else [plots.residuals(fit)]
    checks.append(plots.profile(fit, *_least_sure(fit)))
    sections = [
        Section(title="Curves", figures=curves),
        Section(
            title="Coefficients",
            text=f"On the scale of the links: log phi, log lambda, log gamma, log(kappa + 1). "
            f"{100 * fit.level:g} % intervals, "
            + ("by profile; p by likelihood ratio." if fit.interval == "profile" else "Wald's."),
            figures=_slopes(fit),
            table=_table(fit.summary_),
        ),
        Section(
            title="Parameters",
            text="At the means of their covariates.",
            table=_table(fit.parameters_.rename_axis("parameter")),
        ),
        Section(title="Checks", figures=checks),
    ]
    if hasattr(fit, "selection_"):
        told = fit.selection_.rename_axis("family")
        sections.append(Section(title="Families compared", table=_table(told)))
    cured = ""
    if fit.cured_["estimate"] > 0:
        low, middle, high = (f"{100 * fit.cured_[n]:.3g} %" for n in ("low", "estimate", "high"))
        cured = f" {middle} ({low} to {high}) never have the event."
    return Page(
        command="estimate survival",
        title=f"{title}, {fit.model_}, fitted to {len(fit._outcome):,} rows of {file}",
        summary=f"{events:,.0f} events; log-likelihood {fit.log_likelihood_:.4f}, "
        f"AIC {fit.aic_:.1f}, BIC {fit.bic_:.1f}.{cured}",
        sections=sections,
        notes=list(fit.diagnosis_),
    )


def _grouping(fit: SurvivalRegressor) -> str | None:
    """The first column of X with few values that a formula uses."""
    used = [term for _, term in fit._fitted.model.names]
    for name in fit._X.columns:
        if fit._X[name].nunique() <= _GROUPS and any(str(name) in term for term in used):
            return str(name)
    return None


def _least_sure(fit: SurvivalRegressor) -> tuple[str, str]:
    """The coefficient with the largest standard error, whose profile says the most."""
    errors = fit.standard_errors_.dropna()
    found = errors.idxmax() if len(errors) else fit.coef_.index[0]
    return str(found[0]), str(found[1])


def _slopes(fit: SurvivalRegressor) -> list[Intervals]:
    rows = [
        Estimate(name=f"{p}: {term}", value=row["estimate"], low=row["low"], high=row["high"])
        for (p, term), row in fit.summary_.iterrows()
        if term != "Intercept" and np.isfinite(row[["estimate", "low", "high"]]).all()
    ]
    if not rows:
        return []
    return [Intervals(title="Slopes", x=Axis(label="slope"), rows=rows, reference=("none", 0.0))]


def _table(frame: pd.DataFrame) -> Table:
    """Words as they are, numbers that are not finite as words."""
    flat = frame.reset_index()
    columns = [
        Column(name=str(name), unit="" if flat[name].dtype.kind in "fiu" else None)
        for name in flat.columns
    ]
    endless = {
        c.name for c in columns if c.unit == "" and np.isinf(flat[c.name].astype(float)).any()
    }
    columns = [Column(name=c.name) if c.name in endless else c for c in columns]
    rows = [[_cell(row[c.name], c.unit is None) for c in columns] for _, row in flat.iterrows()]
    return Table(columns=columns, rows=rows)


def _cell(value: object, word: bool) -> str | float | None:
    if isinstance(value, float) and np.isnan(value):
        return None
    if not word:
        return float(value)  # type: ignore[arg-type]
    return value if isinstance(value, str) else format_number(float(value))  # type: ignore[arg-type]
