"""The tests run with sockets to the outside blocked; this machine stays reachable."""

from __future__ import annotations

import socket

import pytest

from parsimony.testing import no_network

NOWHERE = ("192.0.2.1", 80)  # TEST-NET-1, RFC 5737: reserved for documentation


@pytest.fixture
def reached(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Addresses that got past the guard, to the operating system."""
    seen: list[object] = []
    monkeypatch.setattr(no_network, "_connect", lambda _, address: seen.append(address))
    monkeypatch.setattr(no_network, "_connect_ex", lambda _, address: seen.append(address) or 0)
    return seen


@pytest.mark.parametrize("method", ["connect", "connect_ex"])
def test_the_outside_is_blocked_before_any_packet(reached: list[object], method: str) -> None:
    with (
        socket.socket() as client,
        pytest.raises(no_network.OutsideConnection, match=r"may not connect to \('192\.0\.2\.1'"),
    ):
        getattr(client, method)(NOWHERE)
    assert reached == []


def test_create_connection_is_blocked_too(reached: list[object]) -> None:
    with pytest.raises(no_network.OutsideConnection):
        socket.create_connection(NOWHERE, timeout=1)
    assert reached == []


def test_an_unresolved_name_is_blocked(reached: list[object]) -> None:
    with socket.socket() as client, pytest.raises(no_network.OutsideConnection):
        client.connect(("example.org", 80))
    assert reached == []


def test_this_machine_is_reachable() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), timeout=5) as client,
        server.accept()[0] as accepted,
    ):
        client.sendall(b"hello")
        assert accepted.recv(5) == b"hello"
