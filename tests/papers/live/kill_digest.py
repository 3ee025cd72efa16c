"""Run by ``test_digest_killed``: kills the digest at each of its steps in turn, then runs it again.

``python kill_digest.py HOST:PORT FOLDER`` prints, as JSON, one entry per step: where it was killed,
and the summary of the second run. Each step has a database and two subscribers of its own. Nothing
is synced to the disk: that guards against power cuts, and a killed process loses nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import smtplib
import sqlite3
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session

from parsimony.papers.catalogue import Card
from parsimony.papers.live import database as tables
from parsimony.papers.live import digest, subscribers, votes
from parsimony.papers.live.database import Database
from parsimony.papers.live.letters import Sender
from parsimony.papers.live.mail import Relay

NOW, WEEK = 1_800_000_000, 7 * 86_400
CARD = Card(
    slug="some-paper", title="Some Paper", authors=None, year=2024, arxiv=None, venue=None,
    areas=("adapt",), mechanism="adapt", summary="Does one thing.", official_code=(),
    licence=None, claims=(), fingerprint="",
)  # fmt: skip


def arm(last: int, note: Path) -> None:
    """Kill this process at its step number ``last``; a step is before or after a send or commit."""
    step = -1

    def pass_by(where: str) -> None:
        nonlocal step
        step += 1
        if step == last:
            note.write_text(where)
            os.kill(os.getpid(), signal.SIGKILL)

    send, getreply = smtplib.SMTP.send, smtplib.SMTP.getreply

    def watched_send(self: Any, text: Any) -> None:
        what = "dot" if text == b".\r\n" else "words"
        pass_by(f"before {what}")
        send(self, text)
        pass_by(f"after {what}")

    def watched_reply(self: Any) -> Any:
        reply = getreply(self)
        pass_by("after reply")
        return reply

    smtplib.SMTP.send, smtplib.SMTP.getreply = watched_send, watched_reply  # type: ignore[method-assign]
    event.listen(Session, "before_commit", lambda _: pass_by("before commit"))
    event.listen(Session, "after_commit", lambda _: pass_by("after commit"))


def prepare(file: Path) -> None:
    """A database with a vote, which is news, and two subscribers."""
    database = Database(str(file))
    votes.cast(database, CARD.slug, "reader", NOW)
    for name in "ab":
        token = subscribers.subscribe(database, f"{name}@example.org", NOW)
        subscribers.confirm(database, str(token), NOW)
    database.close()


def run(file: Path, relay: Relay) -> digest.Summary:
    database = Database(str(file))
    sender = Sender.of(None, "http://127.0.0.1:8000")
    summary = digest.send(database, [CARD], relay, sender, since=WEEK, clock=lambda: NOW)
    database.close()
    return summary


def in_child(work: Any) -> bool:
    """Whether ``work`` ended by itself, in a process of its own."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def main(place: str, folder: Path) -> None:
    relay, found = Relay.parse(place, None, "", ""), []
    plain = tables._sqlite
    tables._sqlite = lambda *given: (plain(*given), given[0].execute("PRAGMA synchronous=OFF"))
    # A run in this process, so that those forked from it need not prepare every query anew.
    prepare(folder / "first.db")
    shutil.copy(folder / "first.db", folder / "warm.db")
    run(folder / "warm.db", relay)
    while True:
        step = len(found)
        file, note = folder / f"{step}.db", folder / f"{step}.txt"

        shutil.copy(folder / "first.db", file)
        with sqlite3.connect(file) as connection:
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute("UPDATE subscribers SET address = substr(address, 1, 1) || ?",
                               (f"{step}@example.org",))  # fmt: skip

        def first(file: Path = file, note: Path = note, step: int = step) -> None:
            arm(step, note)
            run(file, relay)

        def second(file: Path = file) -> None:
            file.with_suffix(".json").write_text(json.dumps(asdict(run(file, relay))))

        if in_child(first):
            break
        assert in_child(second)
        found.append(
            {"where": note.read_text(), "then": json.loads(file.with_suffix(".json").read_text())}
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
