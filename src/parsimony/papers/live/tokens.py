"""Secrets: the server's own, and the random tokens that mails carry.

A token is 32 random bytes; the database keeps its sha256. A fast hash is right for a random
token: there is nothing to guess. Passwords, which people choose, there are none.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from sqlalchemy import delete
from sqlalchemy.orm import Session

from parsimony.core.errors import InputError
from parsimony.papers.live.database import Token

VARIABLE = "PARSIMONY_SECRET"
_FILE = "papers.secret"
_SHORTEST = 32


def server_secret(folder: Path | None) -> bytes:
    """What signs forms and hides readers' addresses; made once and kept beside the database.

    Args:
        folder: of the database's file; ``None`` when the database is a server.

    Raises:
        InputError: too short, readable by others, or nowhere to keep it.
    """
    given = os.environ.get(VARIABLE)
    if given is not None:
        return _checked(given, VARIABLE)
    if folder is None:
        raise InputError(
            "a database that is no file needs the server's secret from the environment",
            hint=f"Set {VARIABLE} to {_SHORTEST} or more random characters",
        )
    file = folder / _FILE
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if os.name == "posix" and file.stat().st_mode & 0o077:
            raise InputError(
                f"the secret {file} must be readable by its owner alone",
                hint=f"Run: chmod 600 {file}",
            ) from None
        return _checked(file.read_text(encoding="ascii"), str(file))
    with os.fdopen(handle, "w", encoding="ascii") as stream:
        made = secrets.token_hex(32)
        stream.write(made)
        stream.flush()
        os.fsync(stream.fileno())
    return made.encode()


def _checked(text: str, where: str) -> bytes:
    if len(text.strip()) < _SHORTEST:
        raise InputError(f"the secret in {where} must have {_SHORTEST} or more characters")
    return text.strip().encode()


def keyed(secret: bytes, purpose: str, text: str) -> str:
    """HMAC-SHA256 in hex: equal texts give equal values, and only the server can tell which."""
    return hmac.new(secret, f"{purpose}\0{text}".encode(), hashlib.sha256).hexdigest()


def hashed(token: str) -> str:
    """What the database keeps of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def new() -> str:
    """A random token, for a link."""
    return secrets.token_urlsafe(32)


def keep(session: Session, token: str, purpose: str, subscriber: int, expires: int) -> None:
    """Let ``token`` work for one purpose and subscriber until ``expires``, seconds since 1970."""
    session.add(Token(hash=hashed(token), purpose=purpose, subscriber=subscriber, expires=expires))


def holder(session: Session, purpose: str, token: str, now: int) -> int | None:
    """The subscriber of a token; ``None`` when it is unknown, expired or for another use."""
    wanted = hashed(token)
    found = session.get(Token, wanted)
    if found is None or not hmac.compare_digest(found.hash, wanted):
        return None
    return found.subscriber if found.purpose == purpose and now < found.expires else None


def sweep(session: Session, now: int) -> None:
    """Forget tokens that have expired."""
    session.execute(delete(Token).where(Token.expires <= now))
