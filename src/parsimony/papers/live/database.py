"""What the live catalogue keeps of its readers: tables, and a session to work on them.

SQLite in one file by default, any SQLAlchemy URL for more. Times are whole seconds since 1970,
UTC. Nobody's network address is kept, only a keyed hash of it; no token is kept, only its hash.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from parsimony.core.errors import InputError

_HASH, _SLUG = String(64), String(120)


class Base(DeclarativeBase):
    """Parent of the tables."""


class Vote(Base):
    """One reader's vote for one paper; there is at most one."""

    __tablename__ = "votes"
    slug: Mapped[str] = mapped_column(_SLUG, primary_key=True)
    reader: Mapped[str] = mapped_column(_HASH, primary_key=True)
    at: Mapped[int] = mapped_column(index=True)


class Subscriber(Base):
    """A mail address; it gets mail only once ``confirmed`` is set."""

    __tablename__ = "subscribers"
    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(254), unique=True)  # the address in lower case
    address: Mapped[str] = mapped_column(String(254))
    created: Mapped[int]
    confirmed: Mapped[int | None]


class Token(Base):
    """The sha256 of a random token that lets its holder do one thing for one subscriber."""

    __tablename__ = "tokens"
    hash: Mapped[str] = mapped_column(_HASH, primary_key=True)
    purpose: Mapped[str] = mapped_column(String(16))
    subscriber: Mapped[int] = mapped_column(
        ForeignKey("subscribers.id", ondelete="CASCADE"), index=True
    )
    expires: Mapped[int] = mapped_column(index=True)


class Issue(Base):
    """One digest: the period it tells of, and its content, the same for every subscriber."""

    __tablename__ = "issues"
    id: Mapped[int] = mapped_column(primary_key=True)
    starts: Mapped[int]
    ends: Mapped[int]
    content: Mapped[str] = mapped_column(Text)
    finished: Mapped[int | None]


class Letter(Base):
    """One issue for one subscriber; see ``digest.py`` for its states."""

    __tablename__ = "letters"
    __table_args__ = (
        UniqueConstraint("issue", "subscriber"),
        Index("letters_by_state", "issue", "state", "id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    issue: Mapped[int] = mapped_column(ForeignKey("issues.id", ondelete="CASCADE"))
    subscriber: Mapped[int] = mapped_column(
        ForeignKey("subscribers.id", ondelete="CASCADE"), index=True
    )
    state: Mapped[str] = mapped_column(String(8))
    tries: Mapped[int]  # answered with "not now"
    reply: Mapped[str] = mapped_column(String(200))


class Proposal(Base):
    """A paper that a reader proposed; ``held`` until a maintainer decides."""

    __tablename__ = "proposals"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str] = mapped_column(String(300))
    link: Mapped[str] = mapped_column(String(300), unique=True)
    note: Mapped[str] = mapped_column(Text)
    created: Mapped[int]
    state: Mapped[str] = mapped_column(String(8), default="held", index=True)


class Seen(Base):
    """When a paper was first seen in the catalogue; ``None`` if it was there from the start."""

    __tablename__ = "seen"
    slug: Mapped[str] = mapped_column(_SLUG, primary_key=True)
    at: Mapped[int | None]


class Database:
    """An open database, its tables made where they are missing.

    Args:
        place: a file for SQLite, or an SQLAlchemy URL (anything with ``://``).

    Attributes:
        folder: where the file lies; ``None`` for a URL that names no file.

    Raises:
        InputError: it cannot be opened, or its driver is not installed.
    """

    def __init__(self, place: str) -> None:
        try:
            url = make_url(place if "://" in place else f"sqlite:///{Path(place).expanduser()}")
            self.folder = self._file(url)
            self.engine = create_engine(url)
            if url.get_backend_name() == "sqlite":
                event.listen(self.engine, "connect", _sqlite)
            Base.metadata.create_all(self.engine)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise InputError(
                f"--db must be a file or an SQLAlchemy URL whose driver is installed ({error})",
                hint="For SQLite give a file such as papers.db",
            ) from None
        except (OSError, SQLAlchemyError) as error:
            reason = getattr(error, "orig", None) or error
            raise InputError(
                f"the database must be readable and writable ({reason})", got=_shown(place),
                hint="Check the path, or give another with --db",
            ) from None  # fmt: skip

    @staticmethod
    def _file(url: Any) -> Path | None:
        """The folder of an SQLite file, which is made for its owner's eyes: it holds addresses."""
        if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
            return None
        file = Path(url.database)
        file.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        return file.parent

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A session whose work is committed at the end, or undone by an error."""
        with Session(self.engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()


def _shown(place: str) -> str:
    """A place without the password that its URL may hold."""
    return str(make_url(place)) if "://" in place else place


def _sqlite(connection: Any, _: object) -> None:
    """Readers beside one writer; what is committed survives a power cut; cascades work."""
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=10000"):
        connection.execute(f"PRAGMA {pragma}")
