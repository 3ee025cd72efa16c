"""A page as data: what a command found, in words, tables and figures, for ``report`` to draw.

A command that shows more than a table builds a ``Page``; a run folder keeps it as ``page.json``.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

FILE = "page.json"


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Axis(_Record):
    """One axis.

    Attributes:
        label: what it shows, without the unit.
        unit: of ``core.units.write``; ``""`` for a plain number.
        log: logarithmic.
    """

    label: str
    unit: str = ""
    log: bool = False


class Series(_Record):
    """Points, or a line, that share one colour and one name in the legend.

    Attributes:
        name: what they are.
        x, y: positions, as many of one as of the other.
        low, high: ends of the interval of each ``y``, a band where the style is a line; or empty.
        style: a line; a dashed one, without colour, to compare with; points that are filled, hollow
            (of a lesser kind) or in a ring (the ones that matter).
        labels: names written beside the points; or empty.
    """

    name: str
    x: list[float]
    y: list[float]
    low: list[float] = []
    high: list[float] = []
    style: Literal["line", "dashed", "points", "hollow", "ringed"] = "points"
    labels: list[str] = []

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        given = (self.y, *(v for v in (self.low, self.high, self.labels) if v))
        if any(len(values) != len(self.x) for values in given) or bool(self.low) != bool(self.high):
            raise ValueError(f"series '{self.name}' needs one value of each kind for every x")
        return self


class _Drawing(_Record):
    title: str
    note: str = ""


class Plot(_Drawing):
    """Points and lines."""

    kind: Literal["plot"] = "plot"
    x: Axis
    y: Axis
    series: list[Series] = Field(min_length=1)

    @model_validator(mode="after")
    def _logarithms_exist(self) -> Self:
        if not any(series.x for series in self.series):
            raise ValueError(f"the plot '{self.title}' needs a point")
        _positive(self.x, [value for series in self.series for value in series.x])
        _positive(self.y, [v for s in self.series for v in (*s.y, *s.low, *s.high)])
        return self


class Contours(_Drawing):
    """Lines of equal ``z`` over a grid, with the region where it is small.

    Attributes:
        xs, ys: of the grid, rising.
        z: what lies over it, [ys][xs].
        unit: of ``z``.
        levels: of the lines, rising.
        region: name of where ``z`` is at most ``within``, and that bound.
        series: points and lines on top.
    """

    kind: Literal["contours"] = "contours"
    x: Axis
    y: Axis
    xs: list[float] = Field(min_length=2)
    ys: list[float] = Field(min_length=2)
    z: list[list[float]]
    unit: str = ""
    levels: list[float] = Field(min_length=1)
    region: tuple[str, float] | None = None
    series: list[Series] = []

    @model_validator(mode="after")
    def _a_whole_grid(self) -> Self:
        if [len(row) for row in self.z] != [len(self.xs)] * len(self.ys):
            raise ValueError("z needs one row for every y, with one value for every x")
        _positive(self.x, self.xs)
        _positive(self.y, self.ys)
        return self


class Bars(_Drawing):
    """Horizontal bars, each stacked of parts.

    Attributes:
        x: what the length says.
        parts: their names, the same for each bar.
        rows: bars from the top: name, and the length of each part, none negative.
        limit: name and place of a line not to be passed.
    """

    kind: Literal["bars"] = "bars"
    x: Axis
    parts: list[str] = Field(min_length=1)
    rows: list[tuple[str, list[Annotated[float, Field(ge=0)]]]] = Field(min_length=1)
    limit: tuple[str, float] | None = None

    @model_validator(mode="after")
    def _every_part(self) -> Self:
        if any(len(lengths) != len(self.parts) for _, lengths in self.rows):
            raise ValueError("every bar needs one length for each part")
        return self


class Estimate(_Record):
    """A value with the ends of its interval, which ``None`` leaves out."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None


class Intervals(_Drawing):
    """Estimates one below the other, on one scale.

    Attributes:
        x: that scale.
        rows: from the top.
        reference: name and place of a line to compare with.
    """

    kind: Literal["intervals"] = "intervals"
    x: Axis
    rows: list[Estimate] = Field(min_length=1)
    reference: tuple[str, float] | None = None


Figure = Annotated[Plot | Contours | Bars | Intervals, Field(discriminator="kind")]


class Column(_Record):
    """One column of a table.

    Attributes:
        name: at its head.
        unit: of ``core.units.write``, where it holds numbers; ``None`` where it holds words.
    """

    name: str
    unit: str | None = None


class Table(_Record):
    """Rows of one cell for each column; ``None`` where there is nothing to say."""

    columns: list[Column] = Field(min_length=1)
    rows: list[list[str | float | None]]

    @model_validator(mode="after")
    def _a_cell_for_each_column(self) -> Self:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError("every row of a table needs one cell for each column")
            for column, cell in zip(self.columns, row, strict=True):
                if cell is not None and isinstance(cell, str) != (column.unit is None):
                    raise ValueError(f"column '{column.name}' holds words or numbers, not both")
        return self


class Section(_Record):
    """A part of a page: what it says, its figures, two beside each other, and its table."""

    title: str
    text: str = ""
    figures: list[Figure] = []
    table: Table | None = None


class Page(_Record):
    """A page.

    Attributes:
        command: that made it, such as ``"plan fit"``.
        title: what it is about.
        summary: the answer in a sentence.
        sections: in order.
        notes: what the reader must know.
    """

    command: str
    title: str
    summary: str
    sections: list[Section]
    notes: list[str] = []


def _positive(axis: Axis, values: list[float]) -> None:
    if axis.log and any(value <= 0 for value in values):
        raise ValueError(f"the logarithmic axis '{axis.label}' needs positive values")
