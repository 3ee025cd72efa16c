"""Both layouts read and written alike; what is wrong is refused where it stands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from parsimony.core.errors import DataError, InputError
from parsimony.estimate.demand import table
from parsimony.estimate.demand.generate import generate

MONTHS = [f"2021-{m:02d}" for m in range(1, 13)]


def wide(**change: object) -> pd.DataFrame:
    frame = pd.DataFrame({"region_id": ["a", "b"], "skill_id": ["NA", "NA"]})
    for place, name in enumerate(MONTHS):
        frame[name] = [float(place), 1.0]
    return frame.assign(**change)


def long() -> pd.DataFrame:
    return table.from_frame(wide()).to_long()


@pytest.mark.parametrize("layout", ["wide", "long"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_comes_back_as_it_was_written(layout: str, suffix: str, tmp_path: Path) -> None:
    drawn = generate(20, 3, 14).table
    file = tmp_path / f"table{suffix}"
    table.write(drawn, file, layout)
    again = table.read(file)
    assert (again.values == drawn.values).all()
    assert again.months == drawn.months and (again.ids == drawn.ids).all()
    assert (again.groups == drawn.groups).all() and (again.skills == drawn.skills).all()


def test_the_skill_is_the_last_key_and_no_text_means_missing() -> None:
    frame = wide()[["skill_id", "region_id", *MONTHS]]
    found = table.from_frame(frame)
    assert list(found.keys) == ["region_id", "skill_id"]
    assert found.ids.tolist() == ["a/NA", "b/NA"]
    assert found.following(2) == ("2022-01", "2022-02")


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (wide().drop(columns="2021-04"), "t: the month 2021-04 is missing, between 2021-03 and "
         "2021-05. Add it; nothing is filled in silently"),
        (wide()[["region_id", "skill_id", "2021-02", "2021-01"]], "t, column '2021-01': months "
         "must rise, but 2021-01 comes after 2021-02. Sort the columns"),
        (wide().rename(columns={"2021-02": "2021-01"}), "t, column '2021-01': every month must be "
         "there once. Remove one of the two"),
        (wide().rename(columns={"2021-02": "2021-13"}), "t, column '2021-13': a column is a key "
         "that ends in _id or a month YYYY-MM. Rename or drop it"),
        (wide(**{"2021-03": [1.0, -2.0]}), "t, row 2, column '2021-03': demand cannot be negative, "
         "but got -2.0. Correct the value"),
        (wide(**{"2021-03": [np.nan, 1.0]}), "t, row 1, column '2021-03': a value is missing or "
         "infinite, but got nan. Write 0 where there was no demand"),
        (wide(**{"2021-03": ["1", "many"]}), "t, row 2, column '2021-03': a value must be a "
         "number, but got 'many'. Write 0 where there was no demand"),
        (wide(**{"2021-03": ["", "1"]}), "t, row 1, column '2021-03': a value is missing. Write 0 "
         "where there was no demand"),
        (wide(region_id=["a", "a"]), "t, row 2: the keys must differ, but 1 come again: a/NA. Sum "
         "or drop the repeated rows"),
        (wide(skill_id=["x", "y"]), "t: every group needs every skill, but 2 are absent: a/y, b/x. "
         "Add them as rows of zeros"),
        (wide(skill_id=["x", None]), "t, row 2, column 'skill_id': a key must not be empty"),
        (wide().head(0), "t: a table of demand needs rows"),
        (pd.DataFrame({"month": [1]}), "t: a table needs key columns that end in _id and months "
         "YYYY-MM, or unique_id, ds, y, but got ['month']"),
        (long().assign(price=1), "t: a long table has the columns unique_id, ds and y, and no "
         "others, but got ['unique_id', 'ds', 'y', 'price']"),
        (long().drop(index=[15]), "t: b/NA lacks the month 2021-04. Add it; nothing is filled in "
         "silently"),
        (pd.concat([long(), long().tail(1)]), "t, row 25, column 'ds': b/NA has the month 2021-12 "
         "twice"),
        (long().assign(ds="soon"), "t, row 1, column 'ds': ds must be a month YYYY-MM or a day in "
         "it, but got 'soon'"),
        (long().assign(y=-1.0), "t, row 1, column 'y': demand cannot be negative, but got -1.0. "
         "Correct the value"),
    ],
)  # fmt: skip
def test_bad_tables_are_refused_by_place(frame: pd.DataFrame, message: str) -> None:
    with pytest.raises(DataError) as caught:
        table.from_frame(frame, source="t")
    assert str(caught.value) == message


def test_shares_are_at_most_one() -> None:
    with pytest.raises(DataError) as caught:
        table.from_frame(wide(), kind="proportion", source="t")
    assert str(caught.value) == (
        "t, row 1, column '2021-03': a share of a month's ads cannot be above 1, but got 2.0. "
        "Give counts as demand"
    )


def test_a_repeated_month_is_seen_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("skill_id,2021-01,2021-01\na,1,2\n")
    with pytest.raises(DataError, match="column '2021-01': every month must be there once"):
        table.read(tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"a table of demand is \.csv or \.parquet"):
        (tmp_path / "t.xlsx").write_text("")
        table.read(tmp_path / "t.xlsx")
    with pytest.raises(InputError, match="the table must be a file"):
        table.read(tmp_path / "none.csv")


def test_a_long_list_of_faults_shows_five() -> None:
    drawn = generate(20, 3, 12).table.to_wide()
    with pytest.raises(DataError, match=r"10 are absent: (\d/s\d{4}, ){4}\d/s\d{4}\. Add"):
        table.from_frame(drawn.drop(index=range(0, 30, 3)))
