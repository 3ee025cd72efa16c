"""The error tree: texts, exit codes, hints, optional packages."""

from __future__ import annotations

import sys

import pytest

from parsimony.core.errors import (
    ArtifactError,
    BudgetError,
    DataError,
    InputError,
    InterruptedRun,
    MissingExtraError,
    ParsimonyError,
    nearest,
    require,
)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ParsimonyError, 1), (InputError, 2), (DataError, 2), (ArtifactError, 2),
        (MissingExtraError, 2), (BudgetError, 3), (InterruptedRun, 130),
    ],
)  # fmt: skip
def test_the_class_decides_the_exit_code(error: type[ParsimonyError], code: int) -> None:
    assert error.exit_code == code
    assert issubclass(error, ParsimonyError)


def test_rule_value_and_next_step_make_one_line() -> None:
    error = InputError("a share is at most 100%", got="120%", hint="Lower\n   it")
    assert str(error) == "a share is at most 100%, but got '120%'. Lower it"


def test_a_value_of_none_is_shown_and_a_missing_one_is_not() -> None:
    assert str(InputError("rule", got=None)) == "rule, but got None"
    assert str(InputError("rule")) == "rule"


def test_bad_data_is_located() -> None:
    error = DataError("must be text", file="a.csv", row=7, column="body", got=3.5)
    assert str(error) == "a.csv, row 7, column 'body': must be text, but got 3.5"
    assert (error.file, error.row, error.column) == ("a.csv", 7, "body")
    assert str(DataError("must hold rows", file="a.csv")) == "a.csv: must hold rows"


def test_a_budget_error_carries_the_nearest_budget() -> None:
    error = BudgetError("no method fits", nearest="trainable=1%", got="trainable=0.1%")
    assert error.nearest == "trainable=1%"
    assert str(error).endswith('The nearest budget that can be met: "trainable=1%"')


def test_an_interruption_says_how_to_go_on() -> None:
    assert str(InterruptedRun("parsimony adapt --resume runs/a")) == (
        "interrupted. Continue with: parsimony adapt --resume runs/a"
    )


@pytest.mark.parametrize("kind", [ParsimonyError, InputError, DataError, BudgetError])
def test_an_error_can_be_rebuilt_from_its_text(kind: type[ParsimonyError]) -> None:
    error = kind.from_text("a text, with. all")
    assert type(error) is kind
    assert str(error) == "a text, with. all"


def test_the_nearest_name_keeps_its_spelling() -> None:
    assert nearest("minilmm", ["MiniLM", "other"]) == "Did you mean 'MiniLM'? Known: MiniLM, other"
    assert nearest("zzz", ["b", "a"]) == "Known: a, b"
    assert nearest("a", []) == "Known: none"


def test_a_missing_package_names_the_extra() -> None:
    with pytest.raises(MissingExtraError) as caught:
        require("no_such_package_at_all", "adapt")
    assert str(caught.value) == (
        "this needs the package 'no_such_package_at_all'. "
        "Install it with: pip install 'parsimony-ml[adapt]'"
    )
    assert require("json", "adapt") is sys.modules["json"]


def test_a_package_broken_inside_is_not_called_missing(tmp_path, monkeypatch) -> None:
    (tmp_path / "half_broken.py").write_text("import no_such_package_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_package_at_all"):
        require("half_broken", "adapt")
