"""The letters that are sent: a confirmation, and an issue of the digest, as text and as HTML."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.utils import parseaddr
from pathlib import Path
from urllib.parse import urlsplit

import jinja2

from parsimony.core.errors import InputError
from parsimony.papers.live import tokens
from parsimony.papers.live.mail import check_address, compose
from parsimony.papers.live.news import News

_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Sender:
    """From whom letters come and where their links lead.

    Attributes:
        address: of the sender, with a display name.
        base_url: of the catalogue's pages, without a slash at the end.
    """

    address: Address
    base_url: str

    @classmethod
    def of(cls, text: str | None, base_url: str) -> Sender:
        """Read ``Name <name@example.org>``; by default ``papers@`` the host of ``base_url``.

        Raises:
            InputError: no address, or a name with line breaks.
        """
        if text is None:
            host = urlsplit(base_url).hostname or "localhost"
            name = host if not host.replace(".", "").isdigit() and ":" not in host else "localhost"
            return cls(Address("Parsimony papers", "papers", name), base_url)
        name, address = parseaddr(text)
        if any(c in text for c in "\r\n"):
            raise InputError("--sender must be one line", got=text)
        return cls(Address(name, addr_spec=check_address(address)), base_url)


def digest(sender: Sender, news: News, to: str, token: str, number: str, now: int) -> bytes:
    """One issue for one subscriber.

    Args:
        token: for the link that unsubscribes.
        number: names the issue and the subscriber; the Message-ID is made of it alone.
    """
    leave = f"{sender.base_url}/unsubscribe?token={token}"
    return _letter(
        sender, "digest", to, f"digest-{number}", now,
        subject=f"Papers that run: {_subject(news)}", unsubscribe=leave,
        news=news, starts=_day(news.starts), ends=_day(news.ends),
    )  # fmt: skip


def preview(news: News, base_url: str) -> str:
    """The text of an issue, as a letter has it but for the link that unsubscribes."""
    text = _templates().get_template("digest.txt.j2")
    starts, ends = _day(news.starts), _day(news.ends)
    return text.render(
        news=news, starts=starts, ends=ends, base_url=base_url, unsubscribe="(of each reader)"
    ).rstrip()


def confirmation(sender: Sender, to: str, token: str, now: int) -> bytes:
    """What an address gets when somebody enters it."""
    return _letter(
        sender, "confirm", to, f"confirm-{tokens.hashed(token)[:24]}", now,
        subject="Please confirm: the digest of papers that run",
        link=f"{sender.base_url}/confirm?token={token}",
    )  # fmt: skip


def _letter(
    sender: Sender, name: str, to: str, number: str, now: int, *, subject: str,
    unsubscribe: str = "", **values: object,
) -> bytes:  # fmt: skip
    values |= {"base_url": sender.base_url, "unsubscribe": unsubscribe}
    return compose(
        sender=sender.address,
        to=to,
        subject=subject,
        text=_templates().get_template(f"{name}.txt.j2").render(values),
        html=_templates().get_template(f"{name}.mail.j2").render(values),
        message_id=f"<{number}@{sender.address.domain}>",
        now=now,
        unsubscribe=unsubscribe,
    )


def _subject(news: News) -> str:
    parts = [
        (len(news.new), "new"),
        (len(news.turned), "turned"),
        (len(news.trending), "trending"),
    ]
    return ", ".join(f"{count} {word}" for count, word in parts if count)


def _day(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d")


@functools.cache
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        autoescape=jinja2.select_autoescape(disabled_extensions=("txt.j2",), default=True),
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
