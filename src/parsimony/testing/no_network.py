"""A pytest plug-in that lets sockets reach this machine only (``-p parsimony.testing.no_network``)."""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import Any

# Hub libraries ask before every load; this makes them answer from disk.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")


class OutsideConnection(RuntimeError):
    """A test tried to reach another machine."""


def _allow(family: int, address: Any) -> bool:
    if family not in (socket.AF_INET, socket.AF_INET6):
        return True
    host = address[0]
    if host in ("localhost", ""):
        return True
    try:
        ip = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return False
    own = {info[4][0] for info in _own_addresses()}
    return ip.is_loopback or ip.is_unspecified or str(ip) in own


def _own_addresses() -> list[Any]:
    try:
        return list(_getaddrinfo(socket.gethostname(), None))
    except OSError:
        return []


_getaddrinfo = socket.getaddrinfo
_connect = socket.socket.connect
_connect_ex = socket.socket.connect_ex


def _guarded_connect(self: socket.socket, address: Any) -> Any:
    if not _allow(self.family, address):
        raise OutsideConnection(f"tests may not connect to {address!r}")
    return _connect(self, address)


def _guarded_connect_ex(self: socket.socket, address: Any) -> int:
    if not _allow(self.family, address):
        raise OutsideConnection(f"tests may not connect to {address!r}")
    return _connect_ex(self, address)


def pytest_configure() -> None:
    socket.socket.connect = _guarded_connect  # type: ignore[assignment,method-assign]
    socket.socket.connect_ex = _guarded_connect_ex  # type: ignore[assignment,method-assign]
