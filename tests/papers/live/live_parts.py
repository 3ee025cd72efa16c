"""What the tests of the live catalogue use: a clock set by hand, a mail server, subscribers."""

from __future__ import annotations

import email
import email.policy
import re
import socket
import threading
import zlib
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Any

import numpy as np

from parsimony.papers import own
from parsimony.papers.live import subscribers
from parsimony.papers.live.database import Database

NOW = 1_800_000_000  # 2027-01-15


class Clock:
    """Seconds since 1970, moved by the test."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return float(self.now)


class Sink:
    """An SMTP server of this machine that keeps every message it took on."""

    def __init__(self, **secure: Any) -> None:
        self.envelopes: list[tuple[str, bytes]] = []
        self.first = threading.Event()  # a message was taken on
        self.answer = ""  # to the end of a message, in place of 250
        self._secure = secure
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answer == "hang up":
            server.transport.abort()
            return "421 gone"
        if self.answer:
            return self.answer
        self.envelopes += [(to, envelope.content) for to in envelope.rcpt_tos]
        self.first.set()
        return "250 taken"

    async def handle_MAIL(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address.startswith("stranger"):
            return "553 not from here"
        envelope.mail_from = address
        return "250 fine"

    async def handle_RCPT(
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        if address.startswith("never"):
            return "550 no such user"
        if address.startswith("later"):
            return "450 mailbox busy"
        envelope.rcpt_tos.append(address)
        return "250 fine"

    def start(self) -> None:
        from aiosmtpd.controller import Controller

        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **self._secure)
        self._controller.start()

    def stop(self) -> None:
        self._controller.stop()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def receivers(self) -> list[str]:
        return [to for to, _ in self.envelopes]

    def messages(self, to: str) -> list[EmailMessage]:
        return [
            email.message_from_bytes(content, policy=email.policy.default)  # type: ignore[misc]
            for receiver, content in self.envelopes
            if receiver == to
        ]


def join(database: Database, *addresses: str, now: int = NOW) -> None:
    """Confirmed subscribers."""
    for address in addresses:
        token = subscribers.subscribe(database, address, now)
        assert token is not None and subscribers.confirm(database, token, now)


def embed(texts: Sequence[str]) -> np.ndarray:
    """Vectors of texts by the words in them, for tests that need no model."""
    found = np.zeros((len(texts), 64), np.float32)
    for row, text in zip(found, texts, strict=True):
        for word in text.lower().split():
            row[zlib.crc32(word.encode()) % 64] += 1
    return (found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)).astype("f2")


def card(slug: str, **changes: object) -> str:
    """A card in TOML."""
    fields = {
        "slug": slug, "title": f"On {slug}", "year": 2024, "areas": ["adapt"],
        "mechanism": "adapt", "summary": f"Does what {slug} does.",
    } | changes  # fmt: skip
    return own.dumps(fields)


def form_of(page: str) -> str:
    """The token of the forms of a page."""
    found = re.search(r'name="form" value="([^"]+)"', page)
    assert found is not None
    return found[1]
