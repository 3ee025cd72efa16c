"""A thread that calls a function again and again while work goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Polling:
    """Calls ``read`` at the start, every ``interval`` seconds, and at the end.

    Args:
        read: may raise; the first error ends the polling, and ``stop`` raises it.
        interval: seconds between two calls.
    """

    def __init__(self, read: Callable[[], None], interval: float) -> None:
        self._read = read
        self._interval = interval
        self._over = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Read once in this thread, so that an error is raised here, and go on in another."""
        self._read()
        self._thread.start()

    def stop(self) -> None:
        """Read for the last time; raises what a read raised."""
        self._over.set()
        self._thread.join()
        if self._error is not None:
            raise self._error
        self._read()

    def _run(self) -> None:
        while not self._over.wait(self._interval):
            try:
                self._read()
            except Exception as error:
                self._error = error
                return
