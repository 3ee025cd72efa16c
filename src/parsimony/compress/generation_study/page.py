"""The report page of a study: curves over temperature with their bands, sizes, speed."""

from __future__ import annotations

import math
from typing import Any

from parsimony.core import units
from parsimony.core.pages import (
    Axis,
    Bars,
    Column,
    Estimate,
    Figure,
    Intervals,
    Page,
    Plot,
    Section,
    Series,
    Table,
)

_COLOURS = 5  # of methods in one figure; the sixth is the original's


def page(result: dict[str, Any]) -> Page:
    """Build it from ``result.json``."""
    reference, *methods = result["methods"]
    sections = [_predictions(result["reference"], methods), _divergence(methods)]
    sections += [_texts(result["methods"]), _sizes(result["methods"])]
    if reference["paces"]:
        sections.append(_speed(result))
    kept = [m["method"] for m in methods if m["difference"]["verdict"] == "no difference found"]
    return Page(
        command="compress generation",
        title=f"{result['model']['name']}, quantized, as it writes",
        summary=f"Loss on held-out text: no difference from {result['reference']} found for "
        f"{', '.join(kept) or 'none'} of {len(methods)} ways to quantize.",
        sections=[section for section in sections if section],
        notes=result["notes"],
    )


def top_k_name(top_k: int | None) -> str:
    """As titles say it."""
    return "the whole vocabulary" if top_k is None else f"top-k {top_k}"


def _predictions(reference: str, methods: list[dict[str, Any]]) -> Section:
    columns = [
        Column(name="method"),
        Column(name="change of the loss", unit="nats"),
        Column(name="verdict"),
        Column(name="same likeliest token", unit="share"),
    ]
    return Section(
        title="Predictions of held-out text",
        figures=[
            Intervals(
                title=f"Loss per token, less that of {reference}",
                note="Paired over windows, 95 % intervals.",
                x=Axis(label="difference", unit="nats"),
                rows=[
                    Estimate(name=m["method"], value=m["difference"]["estimate"],
                             low=m["difference"]["low"], high=m["difference"]["high"])
                    for m in methods
                ],
                reference=(reference, 0.0),
            )
        ],
        table=Table(
            columns=columns,
            rows=[
                [m["method"], m["difference"]["estimate"], m["difference"]["verdict"],
                 m["agreement"]["estimate"]]
                for m in methods
            ],
        ),
    )  # fmt: skip


def _panels(methods: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """As few groups as leave each method a colour of its own, beside that of the original."""
    groups = math.ceil(len(methods) / _COLOURS)
    size = math.ceil(len(methods) / groups)
    return [methods[start : start + size] for start in range(0, len(methods), size)]


def _curves(
    methods: list[dict[str, Any]],
    where: str,
    what: str,
    same: dict[str, Any],
    *,
    bands: bool = True,
) -> list[Series]:
    """One line of ``what`` over temperature for every method, of the entries that are ``same``."""
    found = []
    for method in methods:
        rows = sorted(
            (e for e in method[where] if all(e[k] == v for k, v in same.items())),
            key=lambda e: e["temperature"],
        )
        if rows:
            found.append(
                Series(
                    name=method["method"],
                    x=[e["temperature"] for e in rows],
                    y=[e[what]["estimate"] for e in rows],
                    low=[e[what]["low"] for e in rows if bands],
                    high=[e[what]["high"] for e in rows if bands],
                    style="line",
                )
            )
    return found


def _divergence(methods: list[dict[str, Any]]) -> Section | None:
    figures: list[Figure] = []
    for top_k in dict.fromkeys(e["top_k"] for m in methods for e in m["divergence"]):
        for panel in _panels(methods):
            curves = _curves(panel, "divergence", "kl", {"top_k": top_k})
            figures.append(
                Plot(
                    title=f"Distance to the original, {top_k_name(top_k)}",
                    note="KL divergence of the next token's distribution, mean over positions; "
                    "95 % bands over windows.",
                    x=Axis(label="temperature"),
                    y=Axis(label="KL", unit="nats", log=all(v > 0 for c in curves for v in c.low)),
                    series=curves,
                )
            )
    if not figures:
        return None
    return Section(
        title="Divergence by temperature",
        text="Without sampling: both models read the same text. At temperature 0 there is no "
        "distribution, only a likeliest token.",
        figures=figures,
    )


def _texts(methods: list[dict[str, Any]]) -> Section:
    figures: list[Figure] = []
    for tokens in dict.fromkeys(e["tokens"] for e in methods[0]["samples"]):
        for top_k in dict.fromkeys(e["top_k"] for e in methods[0]["samples"] if e["temperature"]):
            same = {"tokens": tokens, "top_k": top_k}
            for panel in _panels(methods[1:]):
                figures.append(
                    Plot(
                        title=f"Perplexity of texts, {tokens} tokens, {top_k_name(top_k)}",
                        note=f"Under {methods[0]['method']}, with its own 95 % band over prompts "
                        "and seeds; which of the others differ is in the table.",
                        x=Axis(label="temperature"),
                        y=Axis(label="perplexity", log=True),
                        series=[
                            *_curves(methods[:1], "samples", "perplexity", same),
                            *_curves(panel, "samples", "perplexity", same, bands=False),
                        ],
                    )
                )
    columns = [Column(name="method"), Column(name="temperature", unit=""), Column(name="top-k"),
               Column(name="tokens", unit="count"), Column(name="perplexity", unit=""),
               Column(name="distinct 2", unit="share"), Column(name="repetition", unit="share"),
               Column(name="length", unit=""), Column(name="differs in")]  # fmt: skip
    rows: list[list[str | float | None]] = [
        [
            m["method"], e["temperature"], str(e["top_k"] or "all"), float(e["tokens"]),
            e["perplexity"]["estimate"], e["distinct_2"]["estimate"],
            e["repetition"]["estimate"], e["length"]["estimate"], differs(e),
        ]
        for m in methods
        for e in m["samples"]
    ]  # fmt: skip
    return Section(title="Written texts", figures=figures, table=Table(columns=columns, rows=rows))


def differs(sample: dict[str, Any]) -> str:
    """In what texts differ from the original's, in words; empty for nothing found."""
    called = []
    for name, value in sample.items():
        gap = value.get("difference") if isinstance(value, dict) else None
        if gap and gap["verdict"] != "no difference found":
            called.append(f"{name.replace('_', ' ')} {gap['verdict']}")
    return ", ".join(called)


def _sizes(methods: list[dict[str, Any]]) -> Section | None:
    sized = [m for m in methods if m["bytes"]]
    parts = list(dict.fromkeys(role for m in sized for role in m["bytes"]))
    return Section(
        title="Size",
        text="Counted from shapes: codes, scales, code books, and what is not quantized.",
        figures=[
            Bars(
                title="Bytes of stored tensors",
                x=Axis(label="stored", unit="bytes"),
                parts=parts,
                rows=[(m["method"], [float(m["bytes"].get(p, 0)) for p in parts]) for m in sized],
            )
        ],
    )


def _speed(result: dict[str, Any]) -> Section:
    columns = [
        Column(name="method"),
        Column(name="batch", unit="count"),
        Column(name="first token", unit="seconds"),
        Column(name="tokens per second", unit=""),
        Column(name="computed by"),
    ]
    rows: list[list[str | float | None]] = []
    missing = []
    for method in result["methods"]:
        rows += [
            [method["method"], float(p["batch"]), p["first"], p["rate"], method["form"]]
            for p in method["paces"]
        ]
        if not method["paces"]:
            missing.append(f"{method['method']}: {method['form']}.")
    peaks = [
        f"{m['method']} {units.format_bytes(m['peak_memory']['value'])}"
        for m in result["methods"]
        if m["peak_memory"]["value"] is not None
    ]
    return Section(
        title=f"Speed on {result['device']}",
        text="Medians of 5 passes after 2. "
        + " ".join(["Not timed:", *missing] if missing else [])
        + f" Peak memory ({result['methods'][0]['peak_memory']['note']}, the original included): "
        f"{', '.join(peaks)}.",
        table=Table(columns=columns, rows=rows),
    )
