"""The report of a real run, in a real browser."""

from __future__ import annotations

import pytest
from conftest import Finished

from parsimony.testing import browser as chromium

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(chromium.CHROMIUM is None, reason="no Chromium is installed"),
]


@pytest.mark.parametrize("width", [360, 1280])
def test_the_report_opens_quietly(finished: Finished, width: int) -> None:
    noise = chromium.Noise()
    with chromium.launched() as browser:
        page = chromium.visit(browser, finished.folder / "report.html", noise, width)
        assert "trainable parameters (" in page.inner_text("main")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.context.close()
    assert noise.messages == []
    assert noise.outside == []
    assert len(noise.requests) == 1
