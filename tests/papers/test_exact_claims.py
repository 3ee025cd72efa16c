"""Every exact claim of every card holds here, and the published counts follow from closed forms."""

from __future__ import annotations

import pytest

from parsimony.core.errors import MissingExtraError
from parsimony.papers import Claim, card, cards
from parsimony.papers.claim import judge
from parsimony.papers.tables import MissingTableError

EXACT = [(c.slug, claim) for c in cards() for claim in c.claims if claim.level == "exact"]


@pytest.mark.parametrize(
    "claim", [claim for _, claim in EXACT], ids=[f"{slug}:{claim.name}" for slug, claim in EXACT]
)
def test_exact_claim(claim: Claim) -> None:
    pytest.importorskip("peft")
    try:
        measured = claim.run()
    except (MissingExtraError, MissingTableError) as error:
        pytest.skip(str(error))
    assert judge(claim, measured), f"{measured.value} against {claim.published}"


def test_there_are_exact_claims() -> None:
    assert {slug for slug, _ in EXACT} >= {"peft-review", "peft-comprehensive", "peft-code"}


D, LAYERS, FFN = 768, 12, 3072
HEAD = D * D + D + 2 * D + 2
BLOCK = 4 * (D * D + D) + 2 * D * FFN + FFN + D + 4 * D
EMBEDDINGS = (50265 + 514 + 1) * D + 2 * D

D3, LAYERS3, FFN3, KV3 = 3072, 28, 8192, 1024
BLOCK3 = 2 * D3 * D3 + 2 * D3 * KV3 + 3 * D3 * FFN3 + 2 * D3


def low_rank(rank: int, *shapes: tuple[int, int]) -> int:
    """LoRA: r(i + o) for each map."""
    return sum(rank * (i + o) for i, o in shapes)


@pytest.mark.parametrize(
    ("slug", "name", "count"),
    [
        ("peft-review", "roberta-full", EMBEDDINGS + LAYERS * BLOCK + HEAD),
        ("peft-review", "roberta-head", HEAD),
        ("peft-review", "roberta-lora-r8", LAYERS * low_rank(8, (D, D), (D, D)) + HEAD),
        ("peft-review", "roberta-prompt-20", 20 * D + HEAD),
        ("peft-review", "roberta-prefix-20", 2 * LAYERS * 20 * D + HEAD),
        ("peft-review", "roberta-ia3", LAYERS * (D + D + D + FFN) + HEAD),
        ("peft-review", "roberta-bitfit", LAYERS * (4 * D + FFN + D + 2 * D) + D + HEAD),
        ("peft-review", "roberta-adalora-r12", 2 * LAYERS * (12 * 2 * D + 12) + HEAD),
        (
            "peft-review",
            "roberta-adalora-r12-default-targets",
            LAYERS * (3 * low_rank(12, (D, D)) + low_rank(12, (D, D), (D, FFN), (FFN, D)) + 6 * 13)
            + HEAD,
        ),
        ("peft-review", "t5-base-lora-r8", 36 * low_rank(8, (768, 768), (768, 768))),
        ("peft-review", "t5-large-lora-r8", 72 * low_rank(8, (1024, 1024), (1024, 1024))),
        ("peft-comprehensive", "llama-3b-full", 128256 * D3 + LAYERS3 * BLOCK3 + D3),
        ("peft-comprehensive", "llama-3b-lora-r32", LAYERS3 * low_rank(32, (D3, D3), (D3, KV3))),
        (
            "peft-comprehensive",
            "llama-3b-dora-r32",
            LAYERS3 * (low_rank(32, (D3, D3), (D3, KV3)) + D3 + KV3),
        ),
        ("peft-comprehensive", "llama-3b-lora-r10-mlp", LAYERS3 * 3 * low_rank(10, (D3, FFN3))),
        (
            "peft-comprehensive",
            "llama-3b-adalora-r64",
            LAYERS3 * (low_rank(64, (D3, D3), (D3, KV3)) + 2 * 64),
        ),
        ("peft-comprehensive", "llama-3b-vera-r256", LAYERS3 * (D3 + KV3 + 2 * 256)),
        ("peft-comprehensive", "llama-3b-fourierft-1000", LAYERS3 * 2 * 1000),
        ("peft-comprehensive", "llama-3b-ia3", LAYERS3 * (KV3 + KV3 + FFN3)),
        ("peft-comprehensive", "llama-3b-prompt-200", 200 * D3),
        ("peft-comprehensive", "llama-3b-prefix-200", 2 * LAYERS3 * 200 * KV3),
        ("peft-comprehensive", "llama-3b-p-tuning-20", 20 * D3 + 3 * (D3 * D3 + D3)),
        ("peft-comprehensive", "llama-3b-layer-norm", (2 * LAYERS3 + 1) * D3),
        ("peft-comprehensive", "llama-7b-lora-r8", 32 * 2 * low_rank(8, (4096, 4096))),
        ("peft-comprehensive", "llama-13b-lora-r8", 40 * 2 * low_rank(8, (5120, 5120))),
        ("peft-code", "codellama-7b-lora-r16", 32 * 3 * low_rank(16, (4096, 4096))),
    ],
)
def test_the_published_count_follows_from_its_closed_form(slug: str, name: str, count: int) -> None:
    published = {c.name: c.published for c in card(slug).claims}
    assert published[name] == count
