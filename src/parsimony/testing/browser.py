"""A headless Chromium that watches a page for noise: console messages, errors, requests.

Needs playwright and a Chromium of the system; ``CHROMIUM`` is ``None`` where there is none.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

_SWITCHES = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-first-run",
]  # fmt: skip


@dataclass
class Noise:
    """What pages said and asked for.

    Attributes:
        messages: console messages and uncaught errors.
        requests: addresses requested, the pages themselves included.
    """

    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def outside(self) -> list[str]:
        """Requests for anything but local files and inlined data."""
        return [url for url in self.requests if not url.startswith(("file://", "data:,"))]


@contextmanager
def launched() -> Iterator[Any]:
    """A running browser, closed at the end."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=_SWITCHES)
        yield browser
        browser.close()


def visit(
    browser: Any, page_file: Path, noise: Noise, width: int = 1280, scheme: str = "light"
) -> Any:
    """Open a local page, offline, at a window width in pixels; its noise is collected."""
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    page.on("console", lambda message: noise.messages.append(message.text))
    page.on("pageerror", lambda error: noise.messages.append(str(error)))
    page.on("request", lambda request: noise.requests.append(request.url))
    page.goto(page_file.resolve().as_uri())
    return page
