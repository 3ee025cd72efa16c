"""Parameters and memory against closed forms and against transformers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from parsimony.core import cost
from parsimony.core.errors import InputError
from parsimony.plan.cluster import hardware, layouts, memory, model_shape
from parsimony.plan.cluster.model_shape import NAMED, ModelShape
from parsimony.plan.cluster.training import Training
from parsimony.testing import tiny

GPT = ModelShape(12, 768, 12, vocabulary=50257, positions=1024)


@pytest.mark.parametrize("name", NAMED)
def test_the_rule_is_the_papers(name: str) -> None:
    m = NAMED[name]
    count, h, v, s = m.layers, m.hidden, m.vocabulary, m.positions
    assert m.parameters == 12 * count * h**2 + 13 * count * h + v * h + s * h + 2 * h
    assert m.core == 12 * count * h**2


def test_the_rule_counts_as_transformers_does() -> None:
    gpt = cost.on_meta(lambda: transformers.GPT2LMHeadModel(transformers.GPT2Config()))
    assert GPT.parameters == cost.count(gpt)[0] == 124_439_808
    settings = transformers.LlamaConfig(
        vocab_size=1000, hidden_size=256, intermediate_size=688, num_hidden_layers=3,
        num_attention_heads=8, num_key_value_heads=2, head_dim=48,
    )  # fmt: skip
    llama = cost.on_meta(lambda: transformers.LlamaForCausalLM(settings))
    shape = ModelShape(
        3, 256, 8, vocabulary=1000, positions=0, ffn=688, kv_heads=2, head_size=48,
        gated=True, biases=False, tied=False,
    )  # fmt: skip
    assert shape.parameters == cost.count(llama)[0]


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_a_shape_is_read_from_a_config_alone(tmp_path: Path, architecture: str) -> None:
    tiny.config(architecture).save_pretrained(tmp_path)
    shape = model_shape.read(str(tmp_path))
    auto = transformers.AutoModelForCausalLM
    built = cost.on_meta(lambda: auto.from_config(tiny.config(architecture)))
    assert shape.parameters == cost.count(built)[0]
    assert shape.gated == (architecture == "llama") == (not shape.biases)


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    transformers.MixtralConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1,
    ).save_pretrained(tmp_path)  # fmt: skip
    with pytest.raises(InputError, match=r"of 'mixtral' it counts [\d,]+ parameters where "):
        model_shape.read(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layers=2,hiden=4,heads=1", "unknown number 'hiden' of a model. Did you mean 'hidden'?"),
        ("layers=2,hidden=4", "a model needs its heads, but got 'layers=2,hidden=4'"),
        ("layers=2,hidden=x,heads=1", "a model's hidden must be a whole number, but got 'x'"),
        ("layers=0,hidden=4,heads=1", "a model's layers must be positive, but got 0"),
        ("layers=1,hidden=5,heads=2", r"the heads must divide the hidden width, but got \(2, 5\)"),
        ("no-such-model", "a model is a built-in name, a folder, or a hub name"),
    ],
)
def test_a_wrong_model_gets_one_line(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message.replace("?", r"\?")):
        model_shape.read(text)


def test_numbers_make_a_shape() -> None:
    assert model_shape.read("layers=12, hidden=768,heads=12,vocabulary=50257,positions=1024") == GPT
    assert model_shape.read("layers=1,hidden=8,heads=2,gated=1,tied=0").gated is True


def stage_of_torch(t: int, p: int, rank: int) -> int:
    """Parameters of one device of a stage, as the modules that tensor parallelism makes of it."""
    h, rows = GPT.hidden, -(-GPT.vocabulary // t)
    with torch.device("meta"):
        layer = [
            nn.LayerNorm(h), nn.Linear(h, 3 * h // t), nn.Linear(h // t, h),
            nn.LayerNorm(h), nn.Linear(h, 4 * h // t), nn.Linear(4 * h // t, h),
        ]  # fmt: skip
        ends = [nn.Embedding(rows, h), nn.Embedding(GPT.positions, h)] if rank == 0 else []
        ends += [nn.LayerNorm(h)] if rank == p - 1 else []
        ends += [nn.Embedding(rows, h)] if rank == p - 1 > 0 else []  # the tied output's copy
    count = [sum(q.numel() for m in part for q in m.parameters()) for part in (layer, ends)]
    return GPT.layers // p * count[0] + count[1]


@pytest.mark.parametrize("t", [1, 2, 3, 4, 6, 12])
@pytest.mark.parametrize("p", [1, 2, 3, 4, 6, 12])
def test_parameters_per_stage_are_those_of_torch(t: int, p: int) -> None:
    for rank in {0, p - 1}:
        ours = memory.stage_parameters(GPT, t, p, rank == 0, rank == p - 1)
        assert float(ours) == stage_of_torch(t, p, rank)


@pytest.mark.parametrize(("name", "total"), [("adam16", 16), ("adam18", 18), ("frontier", 14)])
def test_the_bytes_of_a_parameter(name: str, total: int) -> None:
    assert memory.STATES[name].total == total


def stage(space: str, shape: ModelShape = GPT, devices: int = 16, **training: object) -> dict:
    """The only layout of a space."""
    trained = Training(**{"batch": 64, "sequence": 1024, **training})
    table = layouts.plan(
        shape, hardware.load("dgx-h100").of(devices), trained, layouts.Space.parse(space)
    )
    assert len(table) == 1
    return table.iloc[0].to_dict()


def test_zero_divides_what_it_shards() -> None:
    rest = "tensor=2,pipeline=2,data=4,micro_batch=1,recompute=full,chunks=1"
    found = [stage(f"{rest},zero={z}") for z in range(4)]
    n = found[0]["parameters"]
    sharded = {"weights": (1, 1, 1, 4), "gradients": (1, 1, 4, 4), "optimizer": (1, 4, 4, 4)}
    for cause, bytes_each in (("weights", 2), ("gradients", 2), ("optimizer", 12)):
        assert [f[cause] for f in found] == [bytes_each * n / by for by in sharded[cause]]


def test_activations_are_the_papers() -> None:
    plain, flash = Training(1, 2048, flash=False), Training(1, 2048)
    s, h, a, t, b = 2048, 12288, 96, 4, 3
    of = memory.layer_activations
    shape = NAMED["gpt-175b"]
    whole = s * b * h * (10 + 24 / t + 5 * a * s / (h * t))
    less = s * b * h * (10 + 24 / t)
    assert [float(x) for x in of(shape, plain, t, b, "none")] == [whole, 0]
    assert [float(x) for x in of(shape, flash, t, b, "none")] == [less, 0]
    assert [float(x) for x in of(shape, plain, t, b, "selective")] == [less, whole - less]
    assert float(of(shape, plain, t, b, "full")[0]) == 2 * s * b * h
    assert float(sum(of(shape, plain, t, b, "full"))) == whole
    split = replace(plain, sequence_parallel=True)
    assert float(of(shape, split, t, b, "none")[0]) == s * b * h / t * (34 + 5 * a * s / h)


def test_in_flight() -> None:
    plain, gpipe = Training(1), Training(1, schedule="gpipe")
    assert memory.in_flight(plain, 8, 1, 32, True) == 8
    assert memory.in_flight(plain, 8, 1, 3, True) == 3
    assert memory.in_flight(plain, 8, 1, 32, False) == 1
    assert memory.in_flight(gpipe, 8, 1, 32, True) == 32
    assert memory.in_flight(plain, 8, 2, 32, True) == 8 * (1 + 7 / (8 * 2))
    assert memory.in_flight(plain, 8, 2, 1, True) == 1


def test_the_heaviest_stage_is_found() -> None:
    rest = "tensor=1,pipeline=2,data=8,zero=0,micro_batch=1,recompute=full,chunks=1"
    found = stage(rest)
    logits = 8 * 1024 * 50257
    assert (found["stage"], found["logits"]) == ("last", logits)  # of a small model
    large = stage(rest, NAMED["gpt-22b"])
    assert (large["stage"], large["logits"]) == ("first", 0)
    assert large["memory"] == sum(large[cause] for cause in memory.CAUSES)


SHAPES = st.builds(
    lambda layers, heads, width, vocabulary, gated, biases, tied: ModelShape(
        layers, heads * width, heads, vocabulary, gated=gated, biases=biases, tied=tied
    ),
    st.sampled_from([12, 24, 36]), st.sampled_from([12, 24, 48]), st.sampled_from([16, 64]),
    st.integers(100, 60_000), st.booleans(), st.booleans(), st.booleans(),
)  # fmt: skip


@given(SHAPES, st.sampled_from([1, 2, 4]), st.sampled_from([2, 3]), st.booleans(), st.booleans())
def test_more_tensor_parallelism_never_needs_more_memory(
    shape: ModelShape, t: int, times: int, first: bool, flash: bool
) -> None:
    few = memory.stage_parameters(shape, t, 3, first, not first)
    many = memory.stage_parameters(shape, t * times, 3, first, not first)
    assert many <= few
    training = Training(8, 512, flash=flash)
    for recompute in layouts.RECOMPUTE:
        kept = [
            memory.layer_activations(shape, training, n, 1, recompute)[0] for n in (t, t * times)
        ]
        assert kept[1] <= kept[0]


@given(SHAPES, st.sampled_from([1, 2, 3, 4, 6, 12]))
def test_the_stages_add_up_to_the_model(shape: ModelShape, p: int) -> None:
    ends = [memory.stage_parameters(shape, 1, p, k == 0, k == p - 1) for k in range(p)]
    again = shape.vocabulary * shape.hidden if shape.tied and p > 1 else 0
    assert float(sum(ends)) == pytest.approx(shape.parameters + again, rel=1e-12)
