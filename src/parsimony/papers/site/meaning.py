"""Finds papers by what they are about: one vector per text by the built-in MiniLM.

The vector of a text is the mean of its tokens' last states, scaled to length one, so that a dot
product is the cosine. They are kept in one safetensors file with the digests of their texts, which
makes a second build reuse them, and a server search them.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from parsimony.core.errors import require

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = "vectors.safetensors"
_TOKENS = 256  # MiniLM was trained on so many
_BATCH = 32

Vectors = npt.NDArray[np.float16]
Embed = Callable[[Sequence[str]], Vectors]


def embed(texts: Sequence[str]) -> Vectors:
    """One vector of length one for each text, [texts, 384].

    Raises:
        MissingExtraError: torch, transformers or the model are not installed.
    """
    torch = require("torch", "papers")
    tokenizer, model = _model()
    rows = []
    # Texts of a length together, so that little is padded.
    order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), texts[i]))
    with torch.inference_mode():
        for start in range(0, len(order), _BATCH):
            batch = [texts[i] for i in order[start : start + _BATCH]]
            inputs = tokenizer(
                batch, padding=True, truncation=True, max_length=_TOKENS, return_tensors="pt"
            )
            states = model(**inputs).last_hidden_state
            mask = inputs["attention_mask"].unsqueeze(-1).to(states.dtype)
            mean = (states * mask).sum(1) / mask.sum(1)
            rows.append(torch.nn.functional.normalize(mean, dim=1).numpy())
    width = rows[0].shape[1] if rows else 0
    vectors = np.zeros((len(texts), width), np.float16)
    if rows:
        vectors[order] = np.concatenate(rows)
    return vectors


@functools.cache
def _model() -> tuple[Any, Any]:
    """Tokenizer and model, loaded once: a server embeds a query per request."""
    transformers = require("transformers", "papers")
    from parsimony.core import pretrained
    from parsimony.core.quiet import unseen

    found = pretrained.find("minilm")
    tokenizer = pretrained.tokenizer(found)
    with unseen():
        model = transformers.AutoModel.from_pretrained(str(found.path), local_files_only=True)
    return tokenizer, model.eval()


def vectors(texts: Mapping[str, str], kept: Path | None, embed: Embed) -> Vectors:
    """The vector of each text, [texts, width]; those of an unchanged text are taken from a file.

    Args:
        texts: by name.
        kept: file of ``dump``, where there may be one; what another ``embed`` made is not taken.
        embed: what makes the others.

    Raises:
        MissingExtraError: what ``embed`` needs is not installed.
    """
    known = _load(kept, embed) if kept is not None and kept.is_file() else {}
    digests = [_digest(text) for text in texts.values()]
    new = [t for t, digest in zip(texts.values(), digests, strict=True) if digest not in known]
    known |= zip(map(_digest, new), embed(new), strict=True) if new else {}
    return np.stack([known[digest] for digest in digests]) if digests else np.zeros((0, 0), "f2")


def related(vectors: Vectors, count: int = 4) -> list[list[int]]:
    """The nearest others of each row by cosine, nearest first.

    What all rows share is taken away first: papers on one subject are else near to everything.
    Rows are compared in blocks, so that 10^5 of them fit in memory.
    """
    found: list[list[int]] = []
    wide = vectors.astype(np.float32)
    if len(wide) > 2:
        wide -= wide.mean(axis=0)
        wide /= np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-6)
    for start in range(0, len(wide), 1024):
        near = wide[start : start + 1024] @ wide.T
        near[np.arange(len(near)), np.arange(start, start + len(near))] = -np.inf  # itself
        order = np.argsort(-near, axis=1, kind="stable")[:, : min(count, len(wide) - 1)]
        found += order.tolist()
    return found


def dump(texts: Mapping[str, str], vectors: Vectors, embed: Embed) -> bytes:
    """The file: tensor ``vectors``; in its metadata what made them, names and digests of texts."""
    from safetensors.numpy import save

    names = {name: _digest(text) for name, text in texts.items()}
    return save(
        {"vectors": np.ascontiguousarray(vectors)}, {"texts": json.dumps(names), "by": _name(embed)}
    )


def load(file: Path) -> tuple[list[str], Vectors]:
    """Names and vectors of a file of ``dump``."""
    from safetensors import safe_open

    with safe_open(file, "numpy") as stream:
        return list(json.loads(stream.metadata()["texts"])), stream.get_tensor("vectors")


def _load(file: Path, embed: Embed) -> dict[str, npt.NDArray[np.float16]]:
    from safetensors import safe_open

    with safe_open(file, "numpy") as stream:
        if stream.metadata().get("by") != _name(embed):
            return {}
        digests = json.loads(stream.metadata()["texts"]).values()
        return dict(zip(digests, stream.get_tensor("vectors"), strict=True))


def _name(embed: Embed) -> str:
    return f"{embed.__module__}.{embed.__qualname__}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
