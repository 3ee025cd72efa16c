"""The catalogue: search beside scikit-learn's, the weight of its pages, the digest's rate.

``python benchmarks/papers.py [--json] [--letters N] [--only PART]``, a part being a function below.

* Search by meaning at 36, 10^4 and 10^5 cards: our time over that of scikit-learn's
  ``NearestNeighbors`` (brute force, cosine) on the same made-up unit vectors, in turns in one
  process; both give the nearest 50. The milliseconds of ours stand beside it.
* Search by words (SQLite's FTS5), and a whole search with MiniLM's vector of the query.
* Bytes of the home page, as it is made and compressed, without and with all that it loads.
* A list of 1,000 runs, from their files, beside pandas over ``json`` of the same files.
* The digest to a sink on this machine: letters per second at 1,000 and at N subscribers (10^4 by
  default) in each fifth of them, and the most that this process grew till then. The sink is another
  process.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import pandas as pd
import psutil
from _rows import FEWEST, Row, ratios, show
from sklearn.neighbors import NearestNeighbors
from sqlalchemy import insert

from parsimony.core import artifacts, headlines
from parsimony.core.headlines import Headline
from parsimony.papers import cards
from parsimony.papers.live import digest, news, subscribers, votes
from parsimony.papers.live.database import Database, Subscriber
from parsimony.papers.live.letters import Sender
from parsimony.papers.live.mail import Relay
from parsimony.papers.live.search import Search
from parsimony.papers.site import meaning
from parsimony.papers.site.build import build
from parsimony.report import runs

SIZES = (36, 10_000, 100_000)
WIDTH = 384  # of MiniLM's vectors
WEEK, NOW = 7 * 86_400, 1_800_000_000
_SINK = """
import asyncio, sys
from aiosmtpd.smtp import SMTP
class Sink:
    async def handle_DATA(self, server, session, envelope):
        return "250 taken"
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Sink(), enable_SMTPUTF8=False), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


def made_up(count: int) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """Texts and unit vectors of ``count`` cards, from a fixed seed."""
    random = np.random.default_rng(0)
    words = np.array([f"word{n}" for n in range(20_000)])
    picked = words[np.minimum(random.zipf(1.3, (count, 60)) - 1, len(words) - 1)]
    texts = [(" ".join(r[:8]), " ".join(r[8:24]), r[24], " ".join(r[25:])) for r in picked]
    # All near to each other, so that every search has its 50.
    vectors = random.normal(size=(count, WIDTH)).astype(np.float32)
    vectors[:, 0] += 20
    return texts, vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def milliseconds(call: Callable[[], object], times: int) -> tuple[float, ...]:
    """Wall time of one call, in as many rounds as a row needs."""
    found = []
    for _ in range(FEWEST):
        start = time.perf_counter()
        for _ in range(times):
            call()
        found.append((time.perf_counter() - start) / times * 1000)
    return tuple(found)


def searches() -> list[Row]:
    """By meaning, by words and whole, at each size."""
    rows = []
    meaning.embed(["the model is loaded"])
    for size in SIZES:
        texts, vectors = made_up(size)
        query = vectors[0]
        search = Search(texts, vectors, lambda text: np.float32(meaning.embed([text])[0]))
        peer = NearestNeighbors(n_neighbors=min(50, size), algorithm="brute", metric="cosine")
        peer.fit(vectors)
        assert set(search.nearest(query)) == set(peer.kneighbors([query])[1][0].tolist())
        times = max(3, 200_000 // (size + 1000))
        rows += [
            Row(f"by meaning, {size:,} cards: ours over scikit-learn", "ratio",
                ratios(lambda s=search, q=query: s.nearest(q),
                       lambda p=peer, q=query: p.kneighbors([q]), times)),
            Row(f"by meaning, {size:,} cards, ms", "milliseconds",
                milliseconds(lambda s=search, q=query: s.nearest(q), times)),
            Row(f"by words, {size:,} cards, ms", "milliseconds",
                milliseconds(lambda s=search: s.by_words("word11 word250"), times)),
            Row(f"whole search, {size:,} cards, ms", "milliseconds",
                milliseconds(lambda s=search: s.find("word11 word250"), 10)),
        ]  # fmt: skip
    return rows


def page_weight() -> list[Row]:
    """The home page of the static site."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "site"
        build(out)
        page = (out / "index.html").read_bytes()
        loaded = [f for f in (out / "assets").iterdir() if f"assets/{f.name}".encode() in page]
        rest = b"".join(f.read_bytes() for f in loaded)
    weights = {
        "home page": len(page),
        "home page with styles, scripts and index": len(page) + len(rest),
        "the same, gzip": len(gzip.compress(page)) + len(gzip.compress(rest)),
    }
    return [Row(f"{name}, bytes", "count", (float(w),) * FEWEST) for name, w in weights.items()]


def listed_runs() -> list[Row]:
    """A thousand runs listed: milliseconds, and the time over reading every file of the same."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1000):
            run = Path(folder) / f"run-{number}"
            artifacts.write_json(run / "config.json", {"settings": {"seed": number}})
            score = Headline(name="accuracy", value=0.7, low=0.6, high=0.8, unit="share")
            headlines.write(run, "adapt", "minilm", [score])
            artifacts.seal(run)

        def ours() -> object:
            return runs.listing(runs.find([Path(folder)]))

        def peer() -> object:
            return pd.DataFrame(
                json.loads(file.read_text()) for file in Path(folder).glob("*/headlines.json")
            )

        assert len(ours()) == len(peer()) == 1000  # type: ignore[arg-type]
        return [
            Row("1,000 runs listed", "milliseconds", milliseconds(ours, 1)),
            Row("1,000 runs listed / pandas on the same files", "ratio", ratios(ours, peer, 1)),
        ]


def digests(letters: int) -> list[Row]:
    """Rate and memory of the digest."""
    command = [sys.executable, "-c", _SINK]
    sink = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 (ours)
    try:
        assert sink.stdout is not None
        relay = Relay.parse(f"127.0.0.1:{int(sink.stdout.readline())}", None, "", "")
        _digest(relay, 200)  # so that what is loaded once is loaded
        rows = []
        for count in (1000, letters):
            rates, growth = _digest(relay, count)
            rows += [
                Row(f"digest to {count:,}: letters per second", "count", rates),
                Row(f"digest to {count:,}: growth of memory, kB", "count", growth),
            ]
        return rows
    finally:
        sink.kill()
        sink.wait()


def _digest(relay: Relay, count: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Letters per second in each fifth of a digest, and the most the process grew till then, kB."""
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"{folder}/papers.db")
        known = cards()
        news.note(database, known, NOW)
        votes.cast(database, "apet", "reader", NOW)
        with database.session() as session:
            rows = (
                {"key": f"{n}@example.org", "address": f"{n}@example.org", "created": NOW,
                 "confirmed": NOW}
                for n in range(count)
            )  # fmt: skip
            session.execute(insert(Subscriber), list(rows))
        assert subscribers.count(database) == count
        process = psutil.Process()
        clock, memory = [], []
        sent = most = 0

        def watch() -> None:
            nonlocal sent, most
            sent += 1
            most = max(most, process.memory_info().rss) if sent % 20 == 0 else most
            if sent % (count // FEWEST) == 0:
                clock.append(time.perf_counter())
                memory.append(most)

        gc.collect()
        before = process.memory_info().rss
        clock.append(time.perf_counter())
        done = digest.send(
            database, known, relay, Sender.of(None, "http://127.0.0.1:8080"), since=WEEK,
            clock=lambda: NOW, progress=watch,
        )  # fmt: skip
        database.close()
    assert done.sent == count
    part = count // FEWEST
    rates = tuple(part / (end - start) for start, end in pairwise(clock))
    return rates, tuple(max(0, m - before) / 1000 for m in memory)


def main(arguments: list[str]) -> None:
    """Measure and print every row."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--letters", type=int, default=10_000)
    parser.add_argument("--only", help="page_weight, searches, listed_runs or digests")
    given = parser.parse_args(arguments)
    parts: dict[str, Callable[[], list[Row]]] = {
        "page_weight": page_weight,
        "searches": searches,
        "listed_runs": listed_runs,
        "digests": lambda: digests(given.letters),
    }
    chosen = [given.only] if given.only else list(parts)
    show([row for name in chosen for row in parts[name]()], given.json)


if __name__ == "__main__":
    main(sys.argv[1:])
