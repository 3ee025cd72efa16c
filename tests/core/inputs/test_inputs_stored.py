"""Rows in a mapped file equal those in memory, and take no memory of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from parsimony.core import inputs, pretrained
from parsimony.core.data import TaskData
from parsimony.core.errors import ArtifactError
from parsimony.core.inputs import stored
from parsimony.core.inputs.stored import StoredRows
from parsimony.testing import tiny


@pytest.mark.parametrize(
    ("task", "label"), [("text-pair-classification", 1), ("regression", 0.5), ("causal-lm", None)]
)
def test_mapped_rows_are_those_in_memory(tmp_path: Path, task: Any, label: object) -> None:
    architecture = "llama" if label is None else "bert"
    reads = inputs.of(pretrained.find(str(tiny.write(tmp_path / "m", architecture))), task)
    table = pd.DataFrame({"text": [f"text {n}" * (1 + n % 3) for n in range(2500)]})
    if task == "text-pair-classification":
        table["text_pair"] = "pair"
    if label is not None:
        table["label"] = label
    splits = {"train": table, "validation": table.head(3), "test": table.head(1)}
    data = TaskData("made up", task, ("text",), None, (), splits, (), "")
    counts = reads.keep(data, tmp_path / "data", 12)
    assert counts == {"train": 2500, "validation": 3, "test": 1}
    mapped, ours = reads.kept(tmp_path / "data", "train", 12), reads.encode(table, 12)
    assert len(mapped) == len(ours) == 2500
    for index in (0, 999, 1000, 2499):
        assert mapped[index] == ours[index]
        assert [type(value) for value in mapped[index].values()] == [
            type(value) for value in ours[index].values()
        ]
    few = reads.kept(tmp_path / "data", "train", 12, limit=7)
    assert len(few) == 7 and few[6] == ours[6]
    with pytest.raises(IndexError):
        few[7]
    left = sorted(file.name for file in (tmp_path / "data").iterdir())
    assert left == [f"{s}.{kind}" for s in ("test", "train", "validation")
                    for kind in ("arrow", "parquet")]  # fmt: skip
    assert len(pd.read_parquet(tmp_path / "data" / "train.parquet")) == 2500


def test_equal_rows_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        stored.write(({"input_ids": [n, n + 1], "labels": n} for n in range(1500)), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_that_is_cut_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "train.arrow"
    with pytest.raises(ArtifactError, match=r"the encoded rows in .*train\.arrow must be readable"):
        StoredRows(file)
    stored.write(({"input_ids": [1] * 50} for _ in range(1500)), file)
    file.write_bytes(file.read_bytes()[:-5000])
    with pytest.raises(ArtifactError, match="Start the run anew"):
        StoredRows(file)


MEASURE = """
import sys
from pathlib import Path
import datasets, torch
from parsimony.core.inputs.stored import StoredRows

def own():
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024

before = own()
rows = StoredRows(Path(sys.argv[1]))
total = 0
for index in range(0, len(rows), 97):
    total += sum(rows[index]["input_ids"])
print(len(rows), own() - before, total)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    """A hundred thousand rows, 50 MB of ids: a training's own memory holds next to nothing."""

    def rows(count: int) -> Iterator[dict[str, Any]]:
        ids = [list(range(number, number + 60)) for number in range(100)]
        for number in range(count):
            yield {"input_ids": ids[number % 100], "attention_mask": [1] * 60}

    file = tmp_path / "train.arrow"
    stored.write(rows(100_000), file)
    size = file.stat().st_size
    done = subprocess.run([sys.executable, "-c", MEASURE, str(file)], capture_output=True,
                          text=True, check=True)  # fmt: skip
    count, grown, total = map(int, done.stdout.split())
    assert count == 100_000 and total > 0
    assert size > 40 * 2**20
    assert grown < 8 * 2**20
