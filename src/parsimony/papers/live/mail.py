"""Mail: which addresses are accepted, what a message looks like, and one connection that sends.

``Post.send`` splits the end of a message from its text: a server takes a message on with the line
that holds a single dot, and drops an unfinished one (RFC 5321, 4.1.1.4). What must be written down
before the message can exist is written down between the two.
"""

from __future__ import annotations

import re
import smtplib
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from parsimony.core.errors import InputError

LONGEST = 254  # characters of an address, RFC 5321, 4.5.3.1.3 and its erratum 1690
_TIMEOUT = 30  # seconds
# Any server takes 7 bits; a folded link would be encoded, and mail programs would not read it.
_POLICY = SMTP.clone(cte_type="7bit", max_line_length=998)
_ADDRESS = re.compile(
    r"(?=.{1,64}@)[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]([A-Za-z0-9-]{0,61}[A-Za-z0-9])"
)
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_TLS = ("none", "starttls", "tls")


def check_address(text: str) -> str:
    """``text`` as an address of the plain form ``name@host.tld``, in ASCII.

    Raises:
        InputError: anything else, line breaks and quoted names among it.
    """
    trimmed = text.strip(" ")
    if len(trimmed) > LONGEST or not _ADDRESS.fullmatch(trimmed):
        raise InputError(
            "a mail address must look like name@example.org, in plain letters", got=text[:80]
        )
    return trimmed


def compose(
    *,
    sender: Address,
    to: str,
    subject: str,
    text: str,
    html: str,
    message_id: str,
    now: int,
    unsubscribe: str = "",
) -> bytes:
    """A message with a text and an HTML form, ready for the wire.

    Args:
        unsubscribe: address that ends the subscription with one POST (RFC 8058); may be empty.

    Raises:
        ValueError: a header has a line break; the email package refuses it.
    """
    message = EmailMessage(policy=_POLICY)
    message["From"] = sender
    message["To"] = Address(addr_spec=to)
    message["Subject"] = subject
    message["Date"] = format_datetime(datetime.fromtimestamp(now, UTC))
    message["Message-ID"] = message_id
    message["Auto-Submitted"] = "auto-generated"
    if unsubscribe:
        message["List-Unsubscribe"] = f"<{unsubscribe}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(text)
    message.add_alternative(html, subtype="html")
    return message.as_bytes()


@dataclass(frozen=True)
class Relay:
    """The SMTP server that takes mail from us.

    Attributes:
        host: name or address.
        port: TCP port.
        tls: ``"none"``, ``"starttls"`` or ``"tls"`` (from the first byte).
        user: name to log in with; empty for none.
        password: never shown.
    """

    host: str
    port: int
    tls: str = "none"
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str, tls: str | None, user: str, password: str) -> Relay:
        """Read ``HOST:PORT``. Without ``tls``, plain on this machine and STARTTLS elsewhere.

        Raises:
            InputError: not of that form, or a password that would travel unencrypted.
        """
        host, _, port = text.strip().rpartition(":")
        host = host.strip("[]")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise InputError("--smtp must be HOST:PORT", got=text, hint="Such as localhost:25")
        chosen = tls or ("none" if host in _LOOPBACK else "starttls")
        if chosen not in _TLS:
            raise InputError(f"--smtp-tls is {', '.join(_TLS)}", got=chosen)
        if user and chosen == "none" and host not in _LOOPBACK:
            raise InputError(
                "a password must not travel unencrypted", hint="Give --smtp-tls starttls or tls"
            )
        return cls(host, int(port), chosen, user, password)


class RefusedError(Exception):
    """The server said no to a message; it was not taken on.

    Args:
        code: of the reply.
        text: of the reply.
        forever: it is the receiver that the server will never take mail for.
    """

    def __init__(self, code: int, text: bytes, forever: bool = False) -> None:
        self.forever = forever
        self.text = _reply(code, text)
        super().__init__(self.text)


class UnfinishedError(Exception):
    """The message was not completed, so the server does not have it."""


class UnknownError(Exception):
    """The connection was lost after the message was complete; the server may have it or not."""


class Post:
    """A connection to the relay, opened when needed and again after it was lost.

    Args:
        relay: where to.
        sender: envelope sender.
    """

    def __init__(self, relay: Relay, sender: str) -> None:
        self.relay, self.sender = relay, sender
        self._client: smtplib.SMTP | None = None

    def __enter__(self) -> Post:
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            with suppress(smtplib.SMTPException, OSError):
                self._client.quit()
        self._drop()

    def send(self, to: str, message: bytes, last_word: Callable[[], bool]) -> bool:
        """Send one message.

        Args:
            to: envelope recipient.
            message: as ``compose`` makes it.
            last_word: called when all but the closing dot is sent; what it writes down is true
                before the server can take the message on. ``False`` from it drops the message.

        Returns:
            Whether the server took it on.

        Raises:
            RefusedError: the server said no.
            UnfinishedError: no connection, a sender that is refused, or the connection was lost
                before ``last_word``.
            UnknownError: it was lost after ``last_word``.
        """
        try:
            client = self._connected()
            code, words = client.mail(self.sender)
            if code != 250:  # no fault of this message, so it is not refused
                raise smtplib.SMTPSenderRefused(code, words, self.sender)
            code, words = _open(*client.rcpt(to))
            if code not in (250, 251):
                raise RefusedError(code, words, forever=code >= 500)
            code, words = _open(*client.docmd("DATA"))
            if code != 354:
                raise RefusedError(code, words)
            client.send(re.sub(rb"(?m)^\.", b"..", message))
        except RefusedError:
            self._reset()
            raise
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            raise UnfinishedError(f"{type(error).__name__}: {error}") from None
        agreed = False
        try:
            agreed = last_word()
        finally:
            if not agreed:
                self._drop()
        if not agreed:
            return False
        try:
            client.send(b".\r\n")
            code, words = client.getreply()
        except (smtplib.SMTPException, OSError) as error:
            self._drop()
            raise UnknownError(f"{type(error).__name__}: {error}") from None
        if code != 250:
            self._drop()
            raise RefusedError(code, words)
        return True

    def _connected(self) -> smtplib.SMTP:
        if self._client is None:
            relay = self.relay
            # With TLS, certificates are checked.
            secure = None if relay.tls == "none" else ssl.create_default_context()
            client = (
                smtplib.SMTP_SSL(relay.host, relay.port, timeout=_TIMEOUT, context=secure)
                if relay.tls == "tls"
                else smtplib.SMTP(relay.host, relay.port, timeout=_TIMEOUT)
            )
            self._client = client
            # The closing dot is a write of its own and must not wait for an acknowledgement.
            client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.ehlo_or_helo_if_needed()
            if relay.tls == "starttls":
                client.starttls(context=secure)
                client.ehlo_or_helo_if_needed()  # a new session to the server
            if relay.user:
                client.login(relay.user, relay.password)
        return self._client

    def _reset(self) -> None:
        """Ready for the next message after a refusal."""
        try:
            if self._client is not None:
                self._client.rset()
        except (smtplib.SMTPException, OSError):
            self._drop()

    def _drop(self) -> None:
        """Close without a goodbye: an unfinished message is dropped by the server."""
        if self._client is not None:
            self._client.close()
            self._client = None


def _open(code: int, text: bytes) -> tuple[int, bytes]:
    """A reply, unless the server closes the connection with it."""
    if code == 421:
        raise smtplib.SMTPServerDisconnected(_reply(code, text))
    return code, text


def _reply(code: int, text: bytes) -> str:
    return " ".join(f"{code} {text.decode(errors='replace')}".split())[:200]
