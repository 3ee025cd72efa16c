"""The database and the server's secret: where they may be, who may read them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from parsimony.core.errors import InputError
from parsimony.papers.live import tokens
from parsimony.papers.live.database import Database


def test_the_file_is_for_its_owner(tmp_path: Path) -> None:
    Database(str(tmp_path / "new" / "papers.db")).close()
    assert (tmp_path / "new" / "papers.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("nothing://x", "--db must be a file or an SQLAlchemy URL whose driver is installed"),
        ("sqlite:////proc/nowhere/papers.db", "the database must be readable and writable"),
    ],
)
def test_what_cannot_be_opened_says_so(place: str, text: str) -> None:
    with pytest.raises(InputError) as caught:
        Database(place)
    assert str(caught.value).startswith(text)


def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("no database, but long enough to look at" * 50)
    with pytest.raises(InputError, match="file is not a database"):
        Database(str(tmp_path / "x.db"))


def test_the_password_of_a_url_is_not_shown() -> None:
    with pytest.raises(InputError) as caught:
        Database("nothing://user:hidden@nowhere/papers")
    assert "hidden" not in str(caught.value)


def test_the_secret_is_made_once_and_for_its_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(tokens.VARIABLE, raising=False)
    first = tokens.server_secret(tmp_path)
    assert len(first) == 64 and tokens.server_secret(tmp_path) == first
    file = tmp_path / "papers.secret"
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    if os.name == "posix":
        with pytest.raises(InputError, match=r"readable by its owner alone\. Run: chmod 600"):
            tokens.server_secret(tmp_path)


def test_the_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(tokens.VARIABLE, "x" * 32)
    assert tokens.server_secret(None) == b"x" * 32
    monkeypatch.setenv(tokens.VARIABLE, "short")
    with pytest.raises(InputError, match="must have 32 or more characters") as caught:
        tokens.server_secret(None)
    assert "short" not in str(caught.value)
    monkeypatch.delenv(tokens.VARIABLE)
    with pytest.raises(InputError, match="needs the server's secret from the environment"):
        tokens.server_secret(None)
