"""A pytest plug-in (``-p parsimony.testing.no_network``): sockets reach this machine only."""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import Any

# Hub libraries ask before every load; this makes them answer from disk.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_DATASETS_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")


class OutsideConnectionError(RuntimeError):
    """A test tried to reach another machine."""


def _local(host: Any) -> bool:
    """Whether ``host`` (a name or an address) is this machine."""
    if host is None or host in ("", b"", "localhost", b"localhost", socket.gethostname()):
        return True
    text = host.decode() if isinstance(host, bytes) else str(host)
    try:
        ip = ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return False
    return ip.is_loopback or ip.is_unspecified or str(ip) in _own_addresses()


def _own_addresses() -> set[str]:
    try:
        return {str(info[4][0]) for info in _getaddrinfo(socket.gethostname(), None)}
    except OSError:
        return set()


def _refuse(family: int, address: Any) -> None:
    if family in (socket.AF_INET, socket.AF_INET6) and not _local(address[0]):
        raise OutsideConnectionError(f"tests may not reach {address!r}")


_getaddrinfo = socket.getaddrinfo


def _guarded_getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
    if not _local(host):
        raise OutsideConnectionError(f"tests may not look up {host!r}")
    return _getaddrinfo(host, *args, **options)


def _guarded(name: str, address_at: int) -> Any:
    """A socket method that refuses an outside address among its positional arguments."""
    plain = getattr(socket.socket, name)

    def method(self: socket.socket, *args: Any) -> Any:
        _refuse(self.family, args[address_at])
        return plain(self, *args)

    return method


def pytest_configure() -> None:
    """Put the guards in place for the whole session."""
    socket.getaddrinfo = _guarded_getaddrinfo
    for name, address_at in (("connect", 0), ("connect_ex", 0), ("sendto", -1)):
        setattr(socket.socket, name, _guarded(name, address_at))
