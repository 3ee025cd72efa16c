"""The page of a cluster plan: what layouts cost, and where memory and time of the best go."""

from __future__ import annotations

import pandas as pd

from parsimony.core import units
from parsimony.core.pages import Axis, Bars, Column, Page, Plot, Section, Series, Table
from parsimony.plan.cluster import layouts, memory, time
from parsimony.plan.cluster.hardware import Cluster
from parsimony.plan.cluster.model_shape import ModelShape
from parsimony.plan.cluster.training import Training

_DRAWN = 250
"""Most layouts of a kind in a figure: the fastest."""


def page(
    found: pd.DataFrame,
    shape: ModelShape,
    cluster: Cluster,
    training: Training,
    doubts: list[str],
    top: int = 5,
) -> Page:
    """What ``plan cluster`` found.

    Args:
        found: the table of ``layouts.plan``, in which a layout works.
        shape, cluster, training: what it was made for.
        doubts: about the fastest.
        top: layouts to name.
    """
    works = found[found["reason"] == ""]
    best = works.iloc[0]
    parts = units.format_count(shape.parameters)
    return Page(
        command="plan cluster",
        title=f"{parts} parameters on {cluster}",
        summary=f"Tensor {best['tensor']}, pipeline {best['pipeline']}, data {best['data']} trains "
        f"fastest: {units.format_seconds(best['seconds'])} a step, "
        f"{units.format_share(best['hardware_share'])} of the peak, in "
        f"{units.format_bytes(best['memory'])} of each device.",
        sections=[
            _trade_off(found, works, cluster),
            Section(
                title="Memory by part",
                text="Layouts are named by their degrees, tensor·pipeline·data.",
                figures=[
                    _memory([(_name(r), r) for _, r in works.head(top).iterrows()], cluster,
                            "The fastest layouts, heaviest stage"),
                    _memory(_stages(works.head(1), shape, training), cluster,
                            "The fastest layout, by stage"),
                ],
            ),
            Section(title="Time by cause", figures=[_time(works.head(top))]),
            Section(title="The fastest layouts", table=_table(works.head(top))),
        ],
        notes=[
            f"{len(works):,} of {len(found):,} layouts fit",
            *(f"{_name(row)}: {row['reason']}"
              for _, row in layouts.near_misses(found, top).iterrows()),
            *(f"Doubtful: {doubt}" for doubt in doubts),
        ],
    )  # fmt: skip


def _name(layout: pd.Series) -> str:
    """Short enough to stand over a bar; without the knobs that change nothing."""
    more = [f"ZeRO {layout['zero']}"] if layout["data"] > 1 else []
    more += [f"{layout['chunks']} chunks"] if layout["chunks"] > 1 else []
    more += [f"micro-batch {layout['micro_batch']}", f"recompute {layout['recompute']}"]
    return f"{layout['tensor']}·{layout['pipeline']}·{layout['data']}, {', '.join(more)}"


def _trade_off(found: pd.DataFrame, works: pd.DataFrame, cluster: Cluster) -> Section:
    short = found[found["reason"].str.startswith("a device of")].sort_values("seconds")
    figures = [
        Plot(
            title=title,
            x=Axis(label="memory of the heaviest stage", unit="bytes", log=True),
            y=y,
            series=_layouts(works, short, cluster, column),
        )
        for title, y, column in (
            ("Time of a step against memory", Axis(label="time of a step", unit="seconds",
                                                   log=True), "seconds"),
            ("Share of the peak against memory", Axis(label="of the peak, recompute included",
                                                      unit="share"), "hardware_share"),
        )
    ]  # fmt: skip
    left_out = max(len(works), len(short)) > _DRAWN
    text = "Every layout that keeps to the rules, whether a device has the memory or not."
    return Section(
        title="Memory against speed",
        text=f"{text} The fastest {_DRAWN} of each kind are drawn." if left_out else text,
        figures=figures,
    )


def _layouts(
    works: pd.DataFrame, short: pd.DataFrame, cluster: Cluster, column: str
) -> list[Series]:
    best, kinds = works.head(1), (works.iloc[1:_DRAWN], short.head(_DRAWN))
    heights = [float(v) for kind in (best, *kinds) for v in kind[column]]
    usable = float(cluster.usable)
    given = [
        ("fastest that fits", best, "ringed", ["fastest"]),
        ("fits", kinds[0], "points", []),
        ("does not fit", kinds[1], "hollow", []),
    ]
    series = [
        Series(name=name, x=rows["memory"].tolist(), y=rows[column].tolist(), style=style,
               labels=labels)
        for name, rows, style, labels in given
        if len(rows)
    ]  # fmt: skip
    line = Series(name=f"memory for training, {units.format_bytes(usable)}", x=[usable] * 2,
                  y=[min(heights), max(heights)], style="dashed")  # fmt: skip
    return [*series, line]


def _stages(best: pd.DataFrame, shape: ModelShape, training: Training) -> list:
    first, last = (end.iloc[0] for end in memory.ends(best, shape, training))
    if best["pipeline"].iloc[0] == 1:
        return [("the only stage", first)]
    return [("first stage", first), ("last stage", last)]


def _memory(rows: list[tuple[str, pd.Series]], cluster: Cluster, title: str) -> Bars:
    return Bars(
        title=title,
        x=Axis(label="memory of a device", unit="bytes"),
        parts=list(memory.CAUSES),
        rows=[(name, [float(row[cause]) for cause in memory.CAUSES]) for name, row in rows],
        limit=("what training can have", float(cluster.usable)),
    )


def _time(rows: pd.DataFrame) -> Bars:
    return Bars(
        title="The fastest layouts",
        note="Communication that hides behind computation takes no time here.",
        x=Axis(label="time of a step", unit="seconds"),
        parts=[cause.replace("_", " ") for cause in time.SPENT_ON],
        rows=[
            (_name(row), [float(row[cause]) for cause in time.SPENT_ON])
            for _, row in rows.iterrows()
        ],
    )


def _table(rows: pd.DataFrame) -> Table:
    shown = {"memory": "bytes", "seconds": "seconds", "samples_per_second": "", "tflops": "",
             "hardware_share": "share", "model_share": "share"}  # fmt: skip
    return Table(
        columns=[
            Column(name="layout"),
            *(Column(name=name.replace("_", " "), unit=unit) for name, unit in shown.items()),
        ],
        rows=[[_name(row), *(float(row[name]) for name in shown)] for _, row in rows.iterrows()],
    )
