"""Headlines: an interval or a reason, written and read."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from parsimony.core import artifacts, headlines
from parsimony.core.errors import ArtifactError
from parsimony.core.headlines import Headline


def test_what_is_written_is_read(tmp_path: Path) -> None:
    numbers = [
        Headline.of("accuracy", {"estimate": 0.7, "low": 0.6, "high": 0.8}, "share"),
        Headline(name="stored", value=12, unit="bytes", reason=headlines.COUNTED),
    ]
    headlines.write(tmp_path, "adapt", "minilm", numbers)
    found = headlines.read(tmp_path)
    assert found is not None
    assert (found.command, found.subject, found.numbers) == ("adapt", "minilm", numbers)
    assert headlines.read(tmp_path / "none") is None


@pytest.mark.parametrize(
    "ends", [{}, {"low": 1}, {"high": 1}, {"low": 1, "high": 2, "reason": "why"}]
)
def test_an_interval_or_a_reason(ends: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="needs both ends of an interval, or why it has none"):
        Headline(name="a", value=1.5, **ends)


def test_no_name_stands_twice(tmp_path: Path) -> None:
    number = Headline(name="a", value=1, reason="counted")
    with pytest.raises(ValidationError, match="a name of its own"):
        headlines.write(tmp_path, "adapt", "x", [number, number])


def test_a_bad_file_is_named(tmp_path: Path) -> None:
    artifacts.write_json(tmp_path / headlines.FILE, {"command": "a", "subject": "b", "numbers": 3})
    with pytest.raises(
        ArtifactError, match=r"headlines\.json: numbers: Input should be a valid list"
    ):
        headlines.read(tmp_path)
