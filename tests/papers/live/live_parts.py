"""What the tests of the live catalogue use: a clock set by hand, a mail server, subscribers."""

from __future__ import annotations

import email
import email.policy
import socket
from email.message import EmailMessage
from typing import Any

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

    def __init__(self) -> None:
        from aiosmtpd.controller import Controller

        self.envelopes: list[tuple[str, bytes]] = []
        self.answer = ""  # to the end of a message, in place of 250
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answer:
            return self.answer
        self.envelopes += [(to, envelope.content) for to in envelope.rcpt_tos]
        return "250 taken"

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
