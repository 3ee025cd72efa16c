"""The cards are exactly the papers, each is well formed, and reading them imports none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import parsimony.papers
from parsimony.core.errors import DataError, InputError
from parsimony.papers import Card, Claim, card, cards
from parsimony.papers.catalogue import CARDS, load, read

SLUGS = {
    "a-sdm", "apet", "carbon", "cloudmatrix", "code-var", "compacter", "diffusekrona",
    "dllm-quantization", "fedpipe", "flora", "frontier", "hyperparameter-free",
    "intrinsic-dimension", "ist", "job-sdf", "lamda", "llmc-plus", "lwganet", "math-tuning",
    "openelm", "peft-code", "peft-comprehensive", "peft-review", "perp", "petl-ast",
    "pinn-battery", "pllava", "power-scheduler", "ptq-impact", "scaling-laws", "slm-survey",
    "sparse-pretraining", "step-law", "survival", "three-body", "tuning-sample-complexity",
}  # fmt: skip
AREAS = {"adapt", "compress", "core", "estimate", "infer", "models", "plan", "serve", "tune"}


def test_the_cards_are_exactly_the_papers() -> None:
    slugs = [c.slug for c in cards()]
    assert len(slugs) == 36
    assert set(slugs) == SLUGS


def test_titles_and_preprints_are_unique() -> None:
    assert len({c.title for c in cards()}) == len({c.arxiv for c in cards()}) == 36


@pytest.mark.parametrize("paper", cards(), ids=lambda c: c.slug)
def test_every_card_is_plausible(paper: Card) -> None:
    assert set(paper.areas) <= AREAS
    assert paper.arxiv is not None
    assert paper.year == 2000 + int(paper.arxiv[:2])  # identifiers begin with the year and month
    assert paper.summary.endswith(".") and ". " not in paper.summary  # one sentence
    assert all(code.count("/") == 1 for code in paper.official_code)
    assert paper.summary != paper.title


@pytest.mark.parametrize("paper", cards(), ids=lambda c: c.slug)
def test_the_claims_read_as_text_are_those_the_card_defines(paper: Card) -> None:
    module = load(CARDS / f"{paper.slug.replace('-', '_')}.py")
    defined = [value for value in vars(module).values() if isinstance(value, Claim)]
    assert [_literal(c) for c in defined] == [_literal(c) for c in paper.claims]


def _literal(claim: Claim) -> dict[str, object]:
    return {name: value for name, value in vars(claim).items() if name != "run"}


def test_importing_a_card_does_not_hide_the_public_function() -> None:
    load(CARDS / "compacter.py")
    assert callable(parsimony.papers.cards)
    assert callable(parsimony.papers.claim)


def test_reading_every_card_imports_nothing_heavy() -> None:
    script = (
        "import sys; from parsimony.papers import cards;"
        "from parsimony.papers.record import standing;"
        "[standing(c) for c in cards()];"
        "print([m for m in sys.modules if m.split('.')[0] in"
        " {'torch', 'transformers', 'peft', 'numpy', 'pandas', 'pydantic'}"
        " or m.startswith('parsimony.papers.cards.')])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert found.stdout == "[]\n", found.stderr


def test_an_unknown_paper_names_the_nearest() -> None:
    with pytest.raises(InputError) as caught:
        card("compakter")
    assert str(caught.value).startswith("unknown paper 'compakter'. Did you mean 'compacter'?")


def test_a_paper_name_cannot_leave_the_folder() -> None:
    with pytest.raises(InputError, match=r"unknown paper '\.\./claim'"):
        card("../claim")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"titel": "x"}, "some_paper.py: unknown key 'titel' in CARD. Did you mean 'title'?"),
        ({"slug": "other"}, "the slug must be the file's name, 'some-paper', but got 'other'"),
        ({"title": " "}, "some_paper.py: CARD has a bad title, but got ' '"),
        ({"year": "2024"}, "CARD has a bad year, but got '2024'"),
        ({"areas": ()}, "CARD has a bad areas, but got ()"),
        ({"authors": ["A"]}, "CARD has a bad authors, but got ['A']"),
        ({"authors": ()}, "CARD has a bad authors, but got ()"),
        ({"official_code": None}, "CARD has a bad official_code, but got None"),
        ({"arxiv": ""}, "CARD has a bad arxiv, but got ''"),
        ({"summary": None}, "CARD has a bad summary, but got None"),
    ],
)
def test_a_bad_field_names_the_file_and_the_rule(
    write_card: Any, changes: dict[str, object], text: str
) -> None:
    with pytest.raises(DataError) as caught:
        write_card(**changes)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("", "a card needs CARD = {...}, all of it literals"),
        ("CARD = dict(slug='bad')", "a card needs CARD = {...}, all of it literals"),
        ("CARD = ['bad']", "a card needs CARD = {...}, all of it literals"),
        ("CARD = {'slug': 'bad', 'year': 2024}", "CARD lacks: areas, arxiv, authors, licence"),
        ("CARD = {", "a card must be Python ('{' was never closed)"),
    ],
)
def test_a_file_that_is_no_card_says_so(tmp_path: Path, source: str, text: str) -> None:
    file = tmp_path / "bad.py"
    file.write_text(source)
    with pytest.raises(DataError) as caught:
        read(file)
    assert str(caught.value).startswith("bad.py: ") and text in str(caught.value)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (("published=3", "published=1 + len('ab')"), "the arguments of @claim on three() must be"),
        (
            ('level="exact"', 'level="cpus"'),
            "@claim on three(): claim 'three' has an unknown level",
        ),
        (('unit="things",', ""), "@claim on three(): "),
    ],
)
def test_a_bad_claim_names_its_function(
    write_card: Any, change: tuple[str, str], text: str
) -> None:
    with pytest.raises(DataError) as caught:
        write_card(write_card.claim().replace(*change))
    assert f"some_paper.py: {text}" in str(caught.value)


def test_claims_of_one_name_are_refused(write_card: Any) -> None:
    with pytest.raises(DataError, match=r"unique in its card, but got \['three'\]"):
        write_card(write_card.claim(), write_card.claim().replace("def three", "def other"))


def test_a_claim_runs_the_function_of_its_card(write_card: Any) -> None:
    paper = write_card(write_card.claim("return Measurement(3, (2, 4), 'counted')"))
    measured = paper.claims[0].run()
    assert (measured.value, measured.interval, measured.note) == (3, (2, 4), "counted")


def test_the_fingerprint_follows_the_file(write_card: Any) -> None:
    first = write_card().fingerprint
    assert write_card().fingerprint == first
    assert write_card(year=2023).fingerprint != first
