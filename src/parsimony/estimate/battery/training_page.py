"""The page of a trained surrogate: how its loss fell, how far its voltage is from the solver's."""

from __future__ import annotations

from typing import Any

from parsimony.core.pages import Axis, Column, Page, Plot, Section, Series, Table


def page(result: dict[str, Any]) -> Page:
    """Build it from ``result.json``."""
    count = result["unseen_curves"]
    return Page(
        command="estimate battery train",
        title=f"A surrogate of the cell for {result['box']}",
        summary=f"On {count} curves that it has not seen, its voltage is "
        f"{result['mean_error_mV']:.2f} mV off in the mean, "
        f"{result['greatest_error_mV']:.2f} mV at most.",
        sections=[
            Section(
                title="Errors",
                text=f"Against the finite-volume solver, up to {result['horizon_s']:g} s.",
                table=Table(
                    columns=[Column(name="error of the voltage"), Column(name="mV", unit="")],
                    rows=[
                        [f"mean over {count} curves", result["mean_error_mV"]],
                        ["mean of the worst curve", result["worst_curve_mV"]],
                        ["greatest", result["greatest_error_mV"]],
                    ],
                ),
            ),
            Section(
                title="Training",
                figures=[_losses(level, i) for i, level in enumerate(result["levels"], 1)],
            ),
        ],
    )


def _losses(level: dict[str, Any], number: int) -> Plot:
    """The loss of each epoch of Adam, then of steps of L-BFGS that are equally far apart."""
    losses, adam = level["losses"], level["adam_epochs"]
    apart = level["lbfgs_iterations"] / max(1, len(losses) - adam)
    parts = {
        "Adam, epochs": ([float(i + 1) for i in range(adam)], losses[:adam]),
        "L-BFGS, iterations": (
            [adam + apart * (i + 1) for i in range(len(losses) - adam)], losses[adam:]
        ),
    }  # fmt: skip
    series = [Series(name=n, x=x, y=y, style="line") for n, (x, y) in parts.items() if x]
    return Plot(
        title=f"Loss of level {number}",
        x=Axis(label="epochs, then iterations"),
        y=Axis(label="loss", log=True),
        series=series,
    )
