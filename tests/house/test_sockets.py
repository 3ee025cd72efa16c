"""The tests run with sockets to the outside blocked; this machine stays reachable."""

from __future__ import annotations

import socket

import pytest

from parsimony.testing import no_network

NOWHERE = ("192.0.2.1", 80)  # TEST-NET-1, RFC 5737: reserved for documentation


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_the_outside_is_blocked(method: str) -> None:
    with (
        socket.socket() as client,
        pytest.raises(no_network.OutsideConnectionError, match=r"may not reach \('192\.0\.2\.1'"),
    ):
        getattr(client, method)(NOWHERE)


def test_datagrams_are_blocked() -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as client,
        pytest.raises(no_network.OutsideConnectionError),
    ):
        client.sendto(b"hello", NOWHERE)


@pytest.mark.parametrize("host", ["192.0.2.1", "example.org"])
def test_names_are_not_looked_up(host: str) -> None:
    with pytest.raises(no_network.OutsideConnectionError, match="may not look up"):
        socket.create_connection((host, 80), timeout=1)


def test_this_machine_is_reachable() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), timeout=5) as client,
        server.accept()[0] as accepted,
    ):
        client.sendall(b"hello")
        assert accepted.recv(5) == b"hello"
