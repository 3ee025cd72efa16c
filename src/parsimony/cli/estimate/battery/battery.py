"""``parsimony estimate battery``: two parameters of a lithium-ion cell from a discharge curve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parsimony.cli import options
from parsimony.cli.tables import table as show

if TYPE_CHECKING:
    from parsimony.estimate.battery.estimator import BatteryCalibrator
    from parsimony.estimate.battery.identifiability import Identifiability


def command(
    voltage: Annotated[
        Path,
        typer.Option(
            "--voltage",
            metavar="CSV",
            help="Measured 2C discharge: time in s, voltage in V, and current in A if there.",
        ),
    ],
    columns: Annotated[
        str,
        typer.Option("--columns", help="Where they are: time=t,voltage=U.", show_default=False),
    ] = "",
    surrogate: Annotated[
        Path | None,
        typer.Option(
            "--surrogate",
            help="Folder that 'estimate battery train' wrote; without it the solver is sampled.",
            show_default=False,
        ),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option(
            "--sampler",
            help="surrogate (NUTS), solver (ensemble), or both, the second as a check.",
            show_default=False,
        ),
    ] = None,
    noise: Annotated[
        str,
        typer.Option("--noise", help="Standard deviation such as 3mV, or auto for a bisection."),
    ] = "auto",
    kinetics: Annotated[
        str | None,
        typer.Option(
            "--kinetics", help="linear or full; the surrogate's, or linear.", show_default=False
        ),
    ] = None,
    correct: Annotated[
        bool,
        typer.Option(
            "--correct/--no-correct",
            help="Take off the surrogate's error, which the solver tells on 36 curves.",
        ),
    ] = True,
    chains: Annotated[int, typer.Option("--chains", min=2, help="Of NUTS.")] = 4,
    warmup: Annotated[
        int | None,
        typer.Option(
            "--warmup", min=1, help="Steps thrown away; the sampler's own.", show_default=False
        ),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(
            "--draws", min=4, help="Kept of each chain; the sampler's own.", show_default=False
        ),
    ] = None,
    out: options.Out = None,
    report: options.Report = None,
    dry_run: options.DryRun = False,
    seed: options.Seed = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Infer k1 (anode exchange current) and k2 (cathode diffusivity), with intervals.

    What the curve can tell is said before anything is sampled; --dry-run stops there. --out is a
    folder for the result, the draws and the band.
    """
    from parsimony.cli.main import emit
    from parsimony.core.console import Console
    from parsimony.core.errors import InputError
    from parsimony.estimate.battery import discharge, page
    from parsimony.estimate.battery.estimator import BatteryCalibrator
    from parsimony.estimate.battery.quantities import names, volts

    console = Console(quiet)
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError("--out needs a new or empty folder", got=str(out))
    estimator = BatteryCalibrator(
        surrogate=surrogate, sampler=sampler, noise=volts(noise), kinetics=kinetics,
        corrected=correct, chains=chains, warmup=warmup, draws=draws, random_state=seed,
    )  # fmt: skip
    data = discharge.read(voltage, estimator.physics(), **names(columns))
    X, y = data.times[:, None], data.voltage  # noqa: N806
    told = estimator.identify(X, y)
    if not json:
        _identifiability(told)
    for sentence in told.sentences() if dry_run or json else ():
        console.say(f"Note: {sentence}")
    if dry_run:
        if json:
            emit({"identifiability": told.as_dict()})
        return
    with console.phase("Sampling", 1) as phase:
        estimator.fit(X, y)
        phase.advance()
    if out is not None:
        estimator.write(out)
        console.say(f"Written to {out}")
    if report is not None:
        options.save_report(page.page(estimator, file=voltage.name), report, console)
    if json:
        emit(estimator.as_dict())
        return
    _result(estimator)
    for sentence in estimator.diagnosis_:
        print(f"Note: {sentence}")


def _identifiability(told: Identifiability) -> None:
    show(
        ["", "near", "moves V over the box by", "standard error", "of the prior's", "the curve"],
        [
            [name, f"{at:.3g}", f"{1e3 * swing:.1f} mV", f"{error:.3g}", f"{of:.2g}", verdict]
            for name, at, _, swing, error, of, verdict in told.table().itertuples()
        ],
        title=f"What the curve can tell, at noise of {1e3 * told.sigma:.1f} mV",
        numbers=range(1, 5),
    )
    print(f"Correlation of k1 and k2: {told.correlation:.2f}")


def _result(estimator: BatteryCalibrator) -> None:
    print()
    percent = f"{100 * estimator.level:g} %"
    posterior = estimator.posterior_
    show(
        ["", "mean", "sd", "low", "high", "r-hat", "ess"],
        [
            [name, *(f"{v:.4g}" for v in row[:4]), f"{row[4]:.3f}", f"{row[5]:.0f}"]
            for name, *row in estimator.summary_.itertuples()
        ],
        title=f"Posterior, {percent} intervals: {posterior.sampler}, noise "
        f"{1e3 * estimator.sigma_:.2f} mV, {posterior.seconds:.0f} s",
        numbers=range(1, 7),
    )
    if estimator.check_ is not None:
        gaps = estimator.agreement()
        print(
            f"Means differ from those of the {estimator.check_.sampler} by {gaps[0]:.2f} (k1) and "
            f"{gaps[1]:.2f} (k2) of its standard deviation"
        )
    if estimator.surrogate_error_ is not None:
        error = abs(estimator.surrogate_error_)
        print(
            f"The surrogate is off the solver by {1e3 * error.mean():.2f} mV in the mean, "
            f"{1e3 * error.max():.2f} mV at most, at the posterior mean"
        )
    if estimator.error_left_ is not None:
        print(f"The curves that were sampled are {1e3 * estimator.error_left_:.3f} mV off")
