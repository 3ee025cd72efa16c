"""The site of a small catalogue, built once."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from small_site import made_up, write_world

from parsimony.papers.site.build import build


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Folders of cards, results and docs, and the ``site`` built from them."""
    made = write_world(tmp_path_factory.mktemp("world"))
    made.site = made.folder / "site"
    made.embed = made_up
    made.built = build(
        made.site, docs=made.docs, cards=made.cards, results=made.results, embed=made_up
    )
    return made
