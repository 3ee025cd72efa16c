"""The report page of a compression: what each step cost, what is stored, how to load it."""

from __future__ import annotations

from typing import Any

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


def page(result: dict[str, Any]) -> Page:
    """Build it from ``result.json``."""
    size, speed = result["bytes"], result["speed"]
    sections = [_quality(result), _size(result)]
    if errors := _blocks(result):
        sections.append(errors)
    sections.append(
        Section(
            title="Use",
            text=f"transformers loads the folder '{result['artifact']}' of this run with "
            f"{result['class']}.from_pretrained; parsimony is not needed.",
        )
    )
    last = next(step for step in result["steps"] if step["step"] == result["chosen"])
    told = last.get("verdict", "unchanged")
    return Page(
        command="compress",
        title=f"{result['model']['name']}, compressed",
        summary=f"{result['chosen']}: {size['share']:.1%} of the bytes; {result['metric']['name']} "
        f"{told} on held-out windows; {speed['verdict']} ({speed['ratio']:.2f}x).",
        sections=sections,
        notes=[*result["data"]["notices"], *result["notes"]],
    )


def _quality(result: dict[str, Any]) -> Section:
    metric = result["metric"]["name"]
    perplexities = any("perplexity" in step for step in result["steps"])
    numbers = [metric, "low", "high", *(["perplexity"] if perplexities else [])]
    columns = [
        Column(name="step"),
        *(Column(name=name, unit="") for name in numbers),
        Column(name="difference to the original"),
    ]
    rows: list[list[str | float | None]] = []
    gaps = []
    for step in result["steps"]:
        ends, gap = step["interval"], step.get("difference")
        told = [step.get("perplexity")] if perplexities else []
        rows.append(
            [step["step"], ends["estimate"], ends["low"], ends["high"], *told, step.get("verdict")]
        )
        if gap:
            gaps.append(
                Estimate(name=step["step"], value=gap["estimate"], low=gap["low"], high=gap["high"])
            )
    figures: list[Figure] = []
    if gaps:
        figures.append(
            Intervals(
                title="What each step changed",
                note="Paired differences on the same windows, 95 % intervals.",
                x=Axis(label=f"difference in {metric}"),
                rows=gaps,
                reference=("the original", 0.0),
            )
        )
    return Section(title="Quality", figures=figures, table=Table(columns=columns, rows=rows))


def _size(result: dict[str, Any]) -> Section:
    size, roles = result["bytes"], result["checkpoint"]["bytes"]["roles"]
    parts = sorted(roles, key=lambda role: -roles[role])
    original = [float(size["original"]) if part == "dense" else 0.0 for part in parts]
    if "dense" not in parts:
        parts, original = [*parts, "dense"], [*original, float(size["original"])]
    compressed = [float(roles.get(part, 0)) for part in parts]
    return Section(
        title="Size",
        text="Counted from the headers of the files.",
        figures=[
            Bars(
                title="Bytes of tensors on disk",
                x=Axis(label="stored", unit="bytes"),
                parts=parts,
                rows=[("original", original), (result["chosen"], compressed)],
            )
        ],
    )


def _blocks(result: dict[str, Any]) -> Section | None:
    """Error of every pruned block, before and after it was mended."""
    blocks = next((s["blocks"] for s in result["steps"] if s.get("blocks")), None)
    if blocks is None:
        return None
    places = [float(index) for index in range(len(blocks))]
    series = [Series(name="pruned", x=places, y=[b["error"] for b in blocks], style="line")]
    if "reconstructed" in blocks[0]:
        after = [b["reconstructed"] for b in blocks]
        series.append(Series(name="reconstructed", x=places, y=after, style="line"))
    return Section(
        title="Blocks",
        figures=[
            Plot(
                title="What blocks put out, against what the dense ones would",
                x=Axis(label="block"),
                y=Axis(label="mean squared error"),
                series=series,
            )
        ],
    )
