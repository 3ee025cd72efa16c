"""What stands between the pages and whoever asks: headers, sizes, hosts, rates, forged forms.

**Forms.** A visitor gets a random name in a signed cookie; every form carries that name signed for
forms, with an age. Another site can make a browser send the cookie and cannot read or make the
signature (the signed double-submit of OWASP's CSRF prevention cheat sheet).

**Rates.** A moving window per client, by the ``limits`` library, in the memory of this one process.
A client is an IPv4 address or an IPv6 network of 64 bits, as one customer gets them.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, HTTPException, Request, Response
from itsdangerous import BadData, URLSafeSerializer, URLSafeTimedSerializer
from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

LARGEST_BODY = 32_000  # bytes
FORM_AGE = 24 * 3600  # seconds
COOKIE_AGE = 180 * 24 * 3600  # seconds
RATES = {
    "any": "600/minute",
    "search": "60/minute",
    "vote": "60/hour",
    "subscribe": "5/hour",
    "address": "3/day",  # confirmation mails to one address, whoever asks
    "link": "30/hour",
    "propose": "5/hour",
}
"""Requests per client and kind."""

# Styles may be inline since figures are; scripts may not.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def protect(app: FastAPI, base_url: str) -> None:
    """Put the guards that every request passes in front of ``app``."""
    host = urlsplit(base_url).hostname or ""
    hosts = {host, "localhost", "127.0.0.1", "::1"} if is_loopback(host) else {host}
    app.add_middleware(_Hosts, hosts=hosts)
    app.add_middleware(_Sizes)
    headers = dict(_HEADERS)
    if base_url.startswith("https://"):
        headers["strict-transport-security"] = "max-age=31536000"
    # Added last, so that the answers of the other two have the headers too.
    app.add_middleware(_Headers, headers=headers)

    @app.exception_handler(Exception)  # answered outside of what was added above
    def fault(request: Request, error: Exception) -> Response:
        text = "Something is wrong here, not with your request.\n"
        return Response(text, 500, headers=headers, media_type="text/plain")


class _Headers:
    """Adds the security headers to every answer."""

    def __init__(self, app: Any, headers: dict[str, str]) -> None:
        self.app = app
        self.headers = [(k.encode(), v.encode()) for k, v in headers.items()]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self.headers]
            await send(message)

        await self.app(scope, receive, with_headers)


class _Hosts:
    """Refuses requests for a host that is not ours, to which a name elsewhere may point.

    Starlette's own does not know addresses of version 6.
    """

    def __init__(self, app: Any, hosts: set[str]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            said = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
            try:
                host = urlsplit(f"//{said}").hostname
            except ValueError:
                host = None
            if host not in self.hosts:
                refusal = Response("This host is not served here.\n", 400, media_type="text/plain")
                await refusal(scope, receive, send)  # type: ignore[arg-type]
                return
        await self.app(scope, receive, send)


class _Sizes:
    """Refuses a body that says it is, or turns out to be, larger than ``LARGEST_BODY``."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        said = dict(scope["headers"]).get(b"content-length", b"0")
        if not said.isdigit() or int(said) > LARGEST_BODY:
            await Response("The request is too large.\n", 413, media_type="text/plain")(
                scope,
                receive,
                send,  # type: ignore[arg-type]
            )
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > LARGEST_BODY:
                raise HTTPException(413, "The request is too large.")
            return message

        await self.app(scope, counted, send)


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def client(request: Request) -> str:
    """Who asks: an IPv4 address, or the first 64 bits of an IPv6 one."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


class Rates:
    """Counts requests.

    Args:
        rates: as ``RATES``.
    """

    def __init__(self, rates: dict[str, str] | None = None) -> None:
        self._rates = {kind: parse(rate) for kind, rate in {**RATES, **(rates or {})}.items()}
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def allows(self, kind: str, who: str) -> bool:
        """Count one request of ``who``; whether it is within the rate."""
        return self._limiter.hit(self._rates[kind], kind, who)

    def check(self, kind: str, request: Request) -> None:
        """Count one request.

        Raises:
            HTTPException: 429, with the seconds of the window to wait.
        """
        if not self.allows(kind, client(request)):
            wait = self._rates[kind].get_expiry()
            raise HTTPException(
                429, "Too many requests; please wait.", headers={"Retry-After": str(wait)}
            )


class Forms:
    """Knows the forms of this site from those of others.

    Args:
        secret: the server's.
        https: whether the cookie is for HTTPS alone.
    """

    def __init__(self, secret: bytes, https: bool) -> None:
        self._visitors = URLSafeSerializer(secret, salt="visitor")
        self._forms = URLSafeTimedSerializer(secret, salt="form")
        self._https = https
        self.cookie = "__Host-visitor" if https else "visitor"

    def visitor(self, request: Request) -> str | None:
        """The visitor's name, from the cookie if it is one of ours."""
        try:
            return str(self._visitors.loads(request.cookies.get(self.cookie, "")))
        except BadData:
            return None

    def token(self, visitor: str) -> str:
        """What the forms of a page carry."""
        return str(self._forms.dumps(visitor))

    def name(self) -> str:
        """A name for a new visitor."""
        return secrets.token_urlsafe(16)

    def keep(self, response: Response, visitor: str) -> None:
        """Set the cookie."""
        response.set_cookie(
            self.cookie, str(self._visitors.dumps(visitor)), max_age=COOKIE_AGE, path="/",
            secure=self._https, httponly=True, samesite="lax",
        )  # fmt: skip

    def check(self, request: Request, token: str) -> None:
        """Let a form of ours pass.

        Raises:
            HTTPException: 403 for any other.
        """
        visitor = self.visitor(request)
        try:
            signed = self._forms.loads(token, max_age=FORM_AGE)
        except BadData:
            signed = None
        if visitor is None or not isinstance(signed, str):
            raise HTTPException(403, "This form is too old or not ours; load the page again.")
        if not secrets.compare_digest(signed.encode(), visitor.encode()):
            raise HTTPException(403, "This form is too old or not ours; load the page again.")
