"""Layouts: what is enumerated, what is refused with which words, and the peer's plain loop."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parsimony.core.errors import BudgetError, InputError
from parsimony.plan.cluster import hardware, layouts, nearest, rules
from parsimony.plan.cluster.layouts import Space
from parsimony.plan.cluster.model_shape import NAMED, ModelShape
from parsimony.plan.cluster.training import Training

FRONTIER = hardware.load("frontier")
SMALL = ModelShape(12, 768, 12)


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """``benchmarks/plan.py``, whose plain loop is the reference."""
    folder = Path(__file__).parents[2] / "benchmarks"
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("bench_plan", folder / "plan.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.path.remove(str(folder))
    return module


@pytest.mark.parametrize(
    ("shape", "training"),
    [
        (SMALL, Training(48, 512, flash=False)),
        (SMALL, Training(48, 512, "adam18", schedule="gpipe", sequence_parallel=True)),
        (SMALL, Training(96, 512, "frontier", overlap=True, across_nodes=True)),
        (
            ModelShape(12, 768, 12, 32_000, 0, 2048, 4, gated=True, biases=False, tied=False),
            Training(48, 2048, sequence_parallel=True, overlap=True),
        ),
        (NAMED["gpt-1t"], Training(64, 2048)),
    ],
)
def test_the_table_is_that_of_a_plain_loop(
    bench: ModuleType, shape: ModelShape, training: Training
) -> None:
    cluster = FRONTIER.of(96)
    table = layouts.plan(shape, cluster, training)
    memory, seconds, works = zip(
        *bench.by_loop(table.to_dict("records"), shape, cluster, training), strict=True
    )
    np.testing.assert_allclose(table["memory"], memory, rtol=1e-12)
    np.testing.assert_allclose(table["seconds"], seconds, rtol=1e-12)
    assert ((table["reason"] == "") == np.array(works)).all()


@settings(max_examples=30)
@given(st.sampled_from([1, 2, 6, 8, 24, 64, 96]), st.sampled_from([1, 12, 64, 96]))
def test_every_layout_uses_all_devices(devices: int, batch: int) -> None:
    table = layouts.candidates(FRONTIER.of(devices), Training(batch, 512), Space())
    assert (table["tensor"] * table["pipeline"] * table["data"] == devices).all()
    assert not table.duplicated().any() and (table["micro_batches"] >= 1).all()


def test_those_that_work_come_first_and_the_fastest_of_them() -> None:
    table = layouts.plan(SMALL, FRONTIER.of(8), Training(32, 512))
    works = (table["reason"] == "").to_numpy()
    assert works.any() and not works.all()
    assert not works[works.sum() :].any()
    assert table.loc[works, "seconds"].is_monotonic_increasing


def test_the_counts_of_a_large_step_do_not_overflow() -> None:
    found = layouts.plan(NAMED["gpt-1t"], FRONTIER.of(3072), Training(9600)).iloc[0]
    assert 0.2 < found["model_share"] <= found["hardware_share"] < FRONTIER.efficiency


WORDS = [
    (8, "tensor=4,pipeline=2,data=2", 48, {}, "4 x 2 x 2 = 16 must be the 8 devices; nearest: "),
    (8, "tensor=3", 48, {}, "tensor x pipeline x data = 3 x 1 x 1 = 3 must be the 8 devices; "),
    (8, "tensor=8", 48, {}, "tensor=8 does not divide the 12 heads; divisors: 1, 2, 3, 4, 6, 12"),
    (8, "pipeline=8", 48, {}, "pipeline=8 does not divide the 12 layers; divisors: 1, 2, 3, 4, "),
    (16, "pipeline=16", 48, {}, "pipeline=16 is more stages than the 12 layers"),
    (8, "pipeline=4,chunks=4", 48, {}, "16 pieces, more than the 12 layers"),
    (8, "pipeline=4,chunks=2", 48, {}, "8 pieces, which do not divide the 12 layers"),
    (8, "pipeline=1,chunks=2", 48, {}, "chunks=2 need a pipeline of several stages under 1f1b"),
    (8, "tensor=1,pipeline=2,micro_batch=5", 48, {},
     "micro_batch=5 on data=4 replicas do not divide the batch of 48; divisors: 1, 2, 3, 4, 6, 8"),
    (8, "tensor=1,pipeline=4,chunks=3,micro_batch=4", 48, {},
     "6 micro-batches are not a multiple of pipeline=4, which chunks=3 need; micro-batches that "
     "are: 4, 8, 12, ..."),
    (12, "tensor=12", 48, {},
     "tensor=12 leaves the node of 8 devices, and a device would send 12.5 GB/s instead of 50; "
     "--across-nodes lets it"),
    (8, "pipeline=4,chunks=3", 48, {"schedule": "gpipe"}, "chunks=3 need a pipeline of several"),
]  # fmt: skip


@pytest.mark.parametrize(("devices", "fix", "batch", "more", "words"), WORDS)
def test_a_rule_that_is_broken_is_told_with_its_numbers(
    devices: int, fix: str, batch: int, more: dict[str, str], words: str
) -> None:
    with pytest.raises(InputError) as caught:
        training = Training(batch, 512, **more)  # type: ignore[arg-type]
        layouts.plan(SMALL, FRONTIER.of(devices), training, Space.parse(fix))
    assert words in str(caught.value)


def test_a_choice_of_degrees_must_have_one_that_works() -> None:
    with pytest.raises(InputError, match=r"must multiply to the 8 devices, .*Divisors: 1, 2, 4, 8"):
        layouts.plan(SMALL, FRONTIER.of(8), Training(8), Space.parse("tensor=3|5"))


def test_grouped_keys_are_not_split_further() -> None:
    shape = ModelShape(12, 768, 12, kv_heads=2)
    with pytest.raises(InputError, match="tensor=4 does not divide the 2 heads of the keys"):
        layouts.plan(shape, FRONTIER.of(8), Training(8), Space.parse("tensor=4"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tensr=2", "unknown knob 'tensr' of a layout. Did you mean 'tensor'?"),
        ("tensor=0", "tensor must be a positive whole number, but got '0'"),
        ("zero=4", "zero must be 0, 1, 2 or 3, but got '4'"),
        ("recompute=ful", "unknown recompute 'ful'. Did you mean 'full'?"),
    ],
)
def test_a_wrong_fix_gets_one_line(text: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        Space.parse(text)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"batch": 0}, "the batch must be positive, but got 0"),
        ({"batch": 1, "sequence": -1}, "the sequence must be positive, but got -1"),
        ({"batch": 1, "states": "fronteir"}, "states 'fronteir'. Did you mean 'frontier'?"),
        ({"batch": 1, "schedule": "1fb1"}, "unknown schedule '1fb1'. Did you mean '1f1b'?"),
    ],
)
def test_a_wrong_training_gets_one_line(given: dict, words: str) -> None:
    with pytest.raises(InputError) as caught:
        Training(**given)
    assert words in str(caught.value)


def test_what_does_not_fit_says_by_how_much_in_both_units() -> None:
    fix = "tensor=8,pipeline=1,zero=0,micro_batch=1,recompute=full,chunks=1"
    table = layouts.plan(NAMED["gpt-22b"], FRONTIER.of(8), Training(64), Space.parse(fix))
    (row,) = table.to_dict("records")
    need = row["memory"]
    assert row["reason"] == "" and need < FRONTIER.usable
    small = FRONTIER.of(8).model_copy(update={"memory": 32e9})
    (row,) = layouts.plan(NAMED["gpt-22b"], small, Training(64), Space.parse(fix)).to_dict(
        "records"
    )
    assert row["reason"] == (
        f"a device of the only stage needs {need / 2**30:.4g} GiB ({need / 1e9:.4g} GB), of which "
        "28.31 GiB (30.4 GB) are usable"
    )


def test_a_near_miss_would_be_faster() -> None:
    table = layouts.plan(NAMED["gpt-22b"], FRONTIER.of(8), Training(64))
    missed = layouts.near_misses(table, 3)
    assert len(missed) == 3 and (missed["seconds"] < table["seconds"].iloc[0]).all()
    assert (missed["memory"] > FRONTIER.usable).all() and missed["memory"].is_monotonic_increasing


def test_a_batch_of_one_replica_is_doubted() -> None:
    fix = Space.parse("tensor=1,pipeline=4,data=2,micro_batch=1,chunks=1")
    few = layouts.plan(SMALL, FRONTIER.of(8), Training(4, 512), fix).iloc[0]
    (doubt,) = rules.doubts(few)
    assert doubt.startswith("2 micro-batches leave the 4 stages idle for 150% of the working time")
    many = layouts.plan(SMALL, FRONTIER.of(8), Training(64, 512), fix).iloc[0]
    assert rules.doubts(many) == []


def test_a_share_of_the_peak_that_nobody_reaches_is_doubted() -> None:
    quick = hardware.load("h200").model_copy(update={"efficiency": 1.0})
    found = layouts.plan(ModelShape(12, 2048, 16), quick, Training(8)).iloc[0]
    (doubt,) = rules.doubts(found)
    assert "is more than trainings reach; is peak_tflops that of this precision, without" in doubt


def refusal(devices: int, batch: int, fix: str = "", name: str = "gpt-22b") -> BudgetError:
    space, training, cluster = Space.parse(fix), Training(batch), FRONTIER.of(devices)
    table = layouts.plan(NAMED[name], cluster, training, space)
    assert (table["reason"] != "").all()
    return nearest.refusal(table, NAMED[name], cluster, training, space)


def test_nothing_fits_but_more_devices_would() -> None:
    error = refusal(2, 64)
    assert error.nearest == "8 devices of frontier"
    assert "what lacks least is tensor=2,pipeline=1,data=1,zero=0" in str(error)
    assert "of which 56.62 GiB (60.8 GB) are usable" in str(error)
    enough = layouts.plan(NAMED["gpt-22b"], FRONTIER.of(8), Training(64))
    assert enough["reason"].iloc[0] == ""


def test_nothing_fits_but_a_free_choice_would() -> None:
    error = refusal(8, 64, "tensor=1,pipeline=1,zero=0")
    fixed = Space.parse(error.nearest)
    again = layouts.plan(NAMED["gpt-22b"], FRONTIER.of(8), Training(64), fixed)
    assert len(again) == 1 and again["reason"].iloc[0] == ""


def test_nothing_fits_but_more_memory_would() -> None:
    error = refusal(2, 64, "tensor=1,pipeline=1,data=2,zero=0")
    assert error.nearest.endswith("of memory a device")
    need = float(error.nearest.partition("(")[2].partition(" GB")[0]) * 1e9
    larger = FRONTIER.of(2).model_copy(update={"memory": 1.001 * need})
    fix = Space.parse("tensor=1,pipeline=1,data=2,zero=0")
    assert (layouts.plan(NAMED["gpt-22b"], larger, Training(64), fix)["reason"] == "").any()


def test_no_layout_of_the_right_form_is_the_inputs_fault() -> None:
    with pytest.raises(InputError, match="no layout of 7 devices keeps to the rules; most often: "):
        raise refusal(7, 64)
