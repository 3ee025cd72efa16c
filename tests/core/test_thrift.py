"""What a user leaves open of the ways to save memory."""

from __future__ import annotations

import pytest

from parsimony.core.errors import InputError
from parsimony.core.thrift import BASES, PLAIN, Thrift, allowed


def test_what_is_not_plain_is_named() -> None:
    assert str(PLAIN) == ""
    assert str(Thrift("4bit", True, 4)) == "4bit checkpointing accumulation=4"


def test_everything_is_open_until_it_is_given() -> None:
    free = allowed("auto", None, None, 12)
    assert free.bases == BASES
    assert free.checkpointing == (False, True)
    assert free.accumulation == (1, 2, 3, 4, 6, 12)
    assert free.plain == PLAIN
    given = allowed("8bit", True, 3, 12)
    assert given.plain == Thrift("8bit", True, 3)
    assert (len(given.bases), len(given.checkpointing), len(given.accumulation)) == (1, 1, 1)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InputError, match=r"--base is auto, fp32, bf16, 8bit, 4bit.*'4bits'"):
        allowed("4bits", None, None, 16)
    with pytest.raises(InputError, match=r"--accumulation must divide the batch of 16 rows.*got 3"):
        allowed("auto", None, 3, 16)
    with pytest.raises(InputError, match="--accumulation must divide"):
        allowed("auto", None, 0, 16)
