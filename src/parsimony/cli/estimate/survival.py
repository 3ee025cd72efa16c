"""``parsimony estimate survival``: times to an event, with covariates on any parameter."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parsimony.cli import options
from parsimony.cli.tables import table as show

if TYPE_CHECKING:
    import pandas as pd

    from parsimony.estimate.survival import SurvivalRegressor

Data = Annotated[Path, typer.Argument(metavar="DATA", help="Table, one row each.")]
Formula = Annotated[
    list[str] | None,
    typer.Option(
        "--formula",
        help="Covariates of a parameter, 'gamma ~ age + C(sex)', or its value, 'lambda=1'. "
        "May be repeated; phi, lambda, gamma, kappa. By default there are no covariates.",
        show_default=False,
    ),
]


def command(
    data: Data,
    time: Annotated[str, typer.Option("--time", help="Column of times, or of lower ends.")],
    event: Annotated[
        str | None,
        typer.Option("--event", help="Column: 1 event, 0 censored.", show_default=False),
    ] = None,
    entry: Annotated[
        str | None,
        typer.Option("--entry", help="Column: watched from then on.", show_default=False),
    ] = None,
    upper: Annotated[
        str | None,
        typer.Option(
            "--upper",
            help="Column of upper ends of intervals; empty for censored.",
            show_default=False,
        ),
    ] = None,
    formula: Formula = None,
    family: Annotated[
        str, typer.Option("--family", help="A member of the family, or auto for the lowest BIC.")
    ] = "apgw",
    structure: Annotated[
        str, typer.Option("--structure", help="aft or ph: what a scale parameter carries.")
    ] = "aft",
    interval: Annotated[
        str, typer.Option("--interval", help="wald or profile (likelihood ratio).")
    ] = "wald",
    level: Annotated[float, typer.Option("--level", help="Of intervals and bands.")] = 0.95,
    unit: Annotated[str, typer.Option("--unit", help="Of the times, for the axes.")] = "",
    drop: Annotated[
        bool, typer.Option("--drop-missing", help="Leave out rows with an empty cell, and say so.")
    ] = False,
    out: options.Out = None,
    report: options.Report = None,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Fit times to an event: coefficients with intervals, hazards of any shape, a cured share."""
    from parsimony.cli.main import emit
    from parsimony.core.console import Console
    from parsimony.core.data.files import read_table, require_column
    from parsimony.core.errors import InputError
    from parsimony.estimate.survival import Outcome, SurvivalRegressor

    console = Console(quiet)
    if (event is None) == (upper is None):
        raise InputError("times need --event, or --upper for intervals; one of the two")
    formulas = _formulas(formula or [], structure)
    table = read_table(data)
    chosen = {"lower": time, "upper": upper} if upper else {"time": time, "event": event}
    names = {k: str(v) for k, v in {**chosen, "entry": entry}.items() if v is not None}
    for column in names.values():
        require_column(table, column, str(data))
    if upper:
        table[upper] = table[upper].where(table[upper].notna(), "inf")
    covariates = _covariates(table, formulas, set(names.values()))
    table = table[[*dict.fromkeys([*names.values(), *covariates])]]
    missing = table.isna().any(axis=1)
    if drop and missing.any():
        console.say(f"Left out: {int(missing.sum())} of {len(table)} rows with an empty cell")
        table = table[~missing]
    y = table[[*names.values()]].set_axis([*names], axis=1)
    # Checked here first, so that a message names the file, its rows and columns.
    Outcome.of(y, file=str(data), names=names, labels=table.index)
    covered = _typed(table[covariates], str(data))
    fit = SurvivalRegressor(
        family, structure, formulas, interval=interval, level=level, time_unit=unit,
        random_state=seed,
    ).fit(covered, y)  # fmt: skip
    for text in fit.diagnosis_:
        console.say(f"Note: {text}")
    if out is not None:
        from parsimony.core.artifacts import write_json

        write_json(out, _record(fit))
        console.say(f"Written to {out}")
    if report is not None:
        from parsimony.estimate.survival.page import page

        options.save_report(page(fit, file=data.name), report, console)
    if json:
        emit(_record(fit))
        return
    _print(fit)


def _formulas(given: list[str], structure: str) -> dict[str, str | float]:
    """``["gamma ~ x", "lambda=1"]`` by parameter; the scale is a constant unless it is named."""
    from parsimony.core.errors import InputError

    found: dict[str, str | float] = {}
    for text in given:
        signs = [sign for sign in ("~", "=") if sign in text]
        name, _, right = text.partition(signs[0]) if signs else (text, "", "")
        if not name.strip() or not right.strip():
            raise InputError("--formula takes 'gamma ~ age + C(sex)' or 'lambda=1'", got=text)
        if name.strip() in found:
            raise InputError("a parameter has one --formula", got=text)
        try:  # after ~ a number is a formula: the intercept alone
            found[name.strip()] = right.strip() if signs[0] == "~" else float(right)
        except ValueError:
            found[name.strip()] = right.strip()
    found.setdefault("lambda" if structure == "ph" else "phi", "1")
    return found


def _covariates(
    table: pd.DataFrame, formulas: dict[str, str | float], taken: set[str]
) -> list[str]:
    """Columns whose names stand in a formula."""
    import re

    texts = [text for text in formulas.values() if isinstance(text, str)]
    words = {word for text in texts for word in re.findall(r"`([^`]+)`|(\w+)", text)}
    named = {quoted or plain for quoted, plain in words}
    return [str(name) for name in table.columns if name in named and name not in taken]


def _typed(table: pd.DataFrame, file: str) -> pd.DataFrame:
    """Columns of numbers as numbers; others stay words, an empty cell refused."""
    import pandas as pd

    from parsimony.estimate.survival.outcome import Column

    found = {}
    for name, column in table.items():
        Column(file, str(name), table.index).refuse(
            column.isna(), column, "a covariate is missing",
            "Fill it in, or leave such rows out with --drop-missing",
        )  # fmt: skip
        numbers = pd.to_numeric(column, errors="coerce")
        words = numbers.isna().any()
        found[name] = column.astype(str) if words else numbers.astype(float)
    return pd.DataFrame(found, index=table.index)


def _record(fit: SurvivalRegressor) -> dict[str, Any]:
    """The fit as JSON; what is not finite is null."""
    import math

    def plain(value: Any) -> Any:
        if isinstance(value, str):
            return value
        return float(value) if math.isfinite(value) else None

    record: dict[str, Any] = {
        "family": fit.family_, "model": fit.model_, "log_likelihood": fit.log_likelihood_,
        "aic": fit.aic_, "bic": fit.bic_, "rows": fit.n_rows_,
        "coefficients": [
            {"parameter": p, "term": t, **{k: plain(v) for k, v in row.items()}}
            for (p, t), row in fit.summary_.iterrows()
        ],
        "parameters": {
            str(p): {k: plain(v) for k, v in row.items()} for p, row in fit.parameters_.iterrows()
        },
        "cured": {k: plain(v) for k, v in fit.cured_.items()},
        "converged": fit.converged_, "diagnosis": fit.diagnosis_,
    }  # fmt: skip
    if hasattr(fit, "selection_"):
        record["selection"] = [
            {"family": str(name), **{k: plain(v) for k, v in row.items()}}
            for name, row in fit.selection_.iterrows()
        ]
    return record


def _print(fit: SurvivalRegressor) -> None:
    if hasattr(fit, "selection_"):
        show(
            ["family", "coefficients", "log-likelihood", "AIC", "BIC", "refused"],
            [
                [str(name), f"{row.coefficients:g}", f"{row.log_likelihood:.4f}", f"{row.aic:.2f}",
                 f"{row.bic:.2f}", row.refusal]
                for name, row in fit.selection_.iterrows()
            ],
            title="Families, the chosen first", numbers=range(1, 5),
        )  # fmt: skip
    kind = "by profile" if fit.interval == "profile" else "Wald"
    show(
        ["parameter", "term", *fit.summary_.columns],
        [[p, t, *(f"{v:.4g}" for v in row)] for (p, t), row in fit.summary_.iterrows()],
        title=f"{fit.family_}, {fit.model_}; links log, of kappa log(kappa + 1); "
        f"{100 * fit.level:g} % intervals, {kind}",
        numbers=range(2, 8),
    )  # fmt: skip
    show(
        ["parameter", *fit.parameters_.columns],
        [[str(p), *(f"{v:.5g}" for v in row)] for p, row in fit.parameters_.iterrows()],
        title="At the means of the covariates", numbers=range(1, 4),
    )  # fmt: skip
    if fit.cured_["estimate"] > 0:
        share, low, high = (f"{100 * fit.cured_[n]:.4g} %" for n in ("estimate", "low", "high"))
        print(f"Never have the event: {share} ({low} to {high})")
    print(f"Log-likelihood {fit.log_likelihood_:.4f}, AIC {fit.aic_:.2f}, BIC {fit.bic_:.2f}")
