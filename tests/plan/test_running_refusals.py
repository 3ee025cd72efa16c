"""What a run of a plan refuses, and in which words; what each process would hold."""

from __future__ import annotations

import signal
import socket
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from parsimony.core import artifacts
from parsimony.core.errors import InputError, ParsimonyError
from parsimony.plan.cluster import hardware, plan_file
from parsimony.plan.cluster.model_shape import ModelShape
from parsimony.plan.cluster.plan_file import Layout, Plan
from parsimony.plan.cluster.training import Training
from parsimony.plan.running import launch, pipeline, rehearsal, tokens, worker, workflow
from parsimony.plan.running.gpt import GPT, initial

SHAPE = ModelShape(4, 32, 4, vocabulary=256, positions=16)
CLUSTER = hardware.load("laptop").of(4).model_copy(update={"per_node": 4})
PLAN = Plan(SHAPE, CLUSTER, Training(8, 16), Layout(2, 2, 1, 0, 2, "none", 1))


def refusal(call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments, **named)
    return str(caught.value)


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    plan_file.write(file, PLAN.costs(), PLAN.shape, PLAN.cluster, PLAN.training)
    assert plan_file.read(file) == PLAN
    assert PLAN.micro_batches == 4


@pytest.mark.parametrize(
    ("section", "change", "words"),
    [
        (
            None,
            [1],
            "must hold the sections of a plan: model, cluster, training, layout, predicted",
        ),
        (None, {"modle": {}}, "unknown section 'modle'. Did you mean 'model'?"),
        (None, {"layout": None}, "a plan needs its section 'layout'"),
        ("layout", {"tensr": 2}, "layout: unknown field 'tensr'. Did you mean 'tensor'?"),
        ("layout", {"tensor": "2"}, "layout: tensor must be a whole number, but got '2'"),
        ("layout", {"zero": 4}, "layout: zero must be 0, 1, 2 or 3, but got 4"),
        ("layout", {"recompute": "some"}, "layout: unknown recompute 'some'"),
        ("model", {"hidden": 30}, "model: the heads must divide the hidden width, but got (4, 30)"),
        ("layout", {"pipeline": 3}, "tensor x pipeline x data = 2 x 3 x 1 = 6 must be the 4"),
        ("layout", {"tensor": 0}, "layout: tensor must be positive, but got 0"),
        ("training", {"flash": 1}, "training: flash must be true or false, but got 1"),
        ("cluster", {"memory": 5}, "a quantity in bytes needs a number and a unit, but got '5'"),
    ],
)
def test_a_wrong_plan_is_refused(
    tmp_path: Path, section: str | None, change: Any, words: str
) -> None:
    document: Any = PLAN.document()
    if section is not None:
        document[section] = {**document[section], **change}
    else:
        document = {**document, **change} if isinstance(change, dict) else change
    file = tmp_path / "plan.yaml"
    file.write_text(yaml.safe_dump(document))
    said = refusal(plan_file.read, file)
    assert said.startswith(str(file)) and words in said


def test_a_plan_needs_all_its_fields(tmp_path: Path) -> None:
    document = PLAN.document()
    del document["layout"]["data"]
    assert refusal(plan_file.parse, document, "plan") == "plan: layout needs its data"
    missing = tmp_path / "missing.yaml"
    assert refusal(plan_file.read, missing) == (
        f"a plan is a YAML file of 'plan cluster --out', but got '{missing}'"
    )
    missing.write_text("a: [")
    assert f"{missing} must be YAML" in refusal(plan_file.read, missing)


def test_nccl_needs_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert refusal(launch.backend, "nccl", 2) == (
        "nccl needs a CUDA device for each of the 2 processes, but got 0. "
        "Use --backend gloo, or plan for fewer devices"
    )
    assert launch.backend(None, 2) == "gloo"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert launch.backend(None, 2) == "nccl"
    assert launch.backend(None, 3) == "gloo"
    assert refusal(launch.backend, "ncc", 2) == (
        "unknown backend 'ncc'. Did you mean 'nccl'? Known: gloo, nccl"
    )


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        settings = workflow.Settings(backend="gloo")
        folder = tmp_path / "run"
        said = refusal(
            workflow.start, PLAN, settings, folder, set(), workflow.Console(True), port=port
        )
    assert said == (
        f"torchrun needs a free port, but {port} cannot be had (Address already in use). "
        "Choose another --port, or leave it out for any free one"
    )
    assert not folder.exists()


def test_a_world_of_another_size_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert refusal(workflow.settle, PLAN, workflow.Settings()) == (
        "the layout is for 4 processes, as many as torchrun must start, but got 2. "
        "Without torchrun, plan run starts them itself"
    )


@pytest.mark.parametrize(
    ("plan", "settings", "words"),
    [
        (
            {"training": Training(8, 16, sequence_parallel=True)},
            {},
            "a plan with sequence_parallel cannot be run: norms are whole on every device here. "
            "Plan without --sequence-parallel",
        ),
        (
            {"shape": replace(SHAPE, vocabulary=257)},
            {},
            "tensor parallelism must divide the vocabulary of a model that runs, but got "
            "(2, 257). Pad the vocabulary",
        ),
        (
            {"training": Training(8, 32)},
            {},
            "a sequence must fit the model's positions, but got (32, 16)",
        ),
        (
            {},
            {"schedule": "2f2b"},
            "unknown schedule '2f2b'. Did you mean '1f1b'? Known: 1f1b, gpipe, zero-bubble",
        ),
        (
            {},
            {"schedule": "zero-bubble"},
            "zero-bubble is interleaved: it needs pipeline and chunks of at least 2, but got "
            "(2, 1). Plan with --fix chunks=2",
        ),
        (
            {"layout": Layout(2, 2, 1, 0, 2, "none", 2)},
            {"schedule": "gpipe"},
            "gpipe has no chunks, but got 2. Use --schedule 1f1b",
        ),
        (
            {"layout": Layout(2, 2, 1, 0, 8, "none", 1)},
            {},
            "1f1b needs at least as many micro-batches as its 2 stages, but got 1. "
            "Lower micro_batch or data, or use --schedule gpipe",
        ),
    ],
)
def test_what_cannot_run_is_refused(
    plan: dict[str, Any], settings: dict[str, Any], words: str
) -> None:
    asked = workflow.Settings(backend="gloo", **settings)
    assert refusal(workflow.settle, replace(PLAN, **plan), asked) == words


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"steps": 0}, "--steps must be positive, but got 0"),
        ({"timeout": -1.0}, "--timeout must be positive, but got -1.0"),
        ({"optimizer": "adam"}, "unknown optimizer 'adam'. Did you mean 'adamw'?"),
        ({"precision": "fp16"}, "unknown precision 'fp16'. Did you mean"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    assert refusal(workflow.Settings, **settings).startswith(words)


def test_32_bits_are_twice_16_but_for_states_and_compute() -> None:
    half, whole = (workflow.costs(PLAN, precision) for precision in ("bf16", "fp32"))
    assert whole["memory"] - half["memory"] == half["activations"] > 0
    assert whole["compute"] == half["compute"]
    latency = 2 * 2 * 4 * 4 * PLAN.cluster.latency(2)  # of four all-reduces in each of two layers
    moved = half["tensor_comm"] - latency
    assert whole["tensor_comm"] == pytest.approx(latency + 2 * moved)


def test_data_need_their_vocabulary() -> None:
    small = replace(PLAN, shape=replace(SHAPE, vocabulary=64))
    assert refusal(tokens.check, "stdlib-code", small) == (
        "the bytes of stdlib-code need a vocabulary of at least 256, but got 64. Use --data random"
    )
    assert refusal(tokens.check, "code", PLAN).startswith("unknown data 'code'. ")


def test_batches_depend_on_seed_and_step_alone(tmp_path: Path) -> None:
    for source, limit in (("random", 256), ("stdlib-code", 128)):
        tokens.prepare(tmp_path, source, PLAN, steps=4)
        first = tokens.batch(tmp_path, PLAN, 0, 1)
        assert first.shape == (8, 17) and int(first.max()) < limit
        assert torch.equal(first, tokens.batch(tmp_path, PLAN, 0, 1))
        others = [tokens.batch(tmp_path, PLAN, *seed) for seed in ((0, 2), (1, 1))]
        assert not any(torch.equal(first, other) for other in others)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    part: Any = SimpleNamespace(
        plan=PLAN, device=torch.device("cpu"), step=lambda _: torch.tensor(torch.nan)
    )
    none: Any = None
    with pytest.raises(ParsimonyError) as caught:
        worker._step(tmp_path, 7, part, none, none, {"seed": 0})
    assert str(caught.value) == (
        "the loss must stay finite, step 7, but got nan. Lower --learning-rate"
    )


def test_only_runs_of_plans_go_on(tmp_path: Path) -> None:
    artifacts.write_json(tmp_path / "config.json", {"settings": {}})
    assert refusal(workflow.resume, tmp_path, None, workflow.Console(True)) == (
        f"--resume needs the folder of a 'plan run', but got '{tmp_path}'"
    )


def told(folder: Path, said: dict[int, tuple[str, str]], **codes: int) -> ParsimonyError:
    """The error for processes ``r0``, ... that ended with these codes and said this."""
    for rank, (kind, text) in said.items():
        artifacts.write_json(folder / f"failures/{rank}.json", {"kind": kind, "text": text})
    failures = {int(rank[1:]): SimpleNamespace(exitcode=code) for rank, code in codes.items()}
    return launch._failure(folder, failures, 3, "again")


RESET = ("bug", "RuntimeError: Connection reset by peer")
ENDED = "All 3 have ended after step 0. Continue with: again"


@pytest.mark.parametrize(
    ("said", "codes", "words"),
    [
        ({0: RESET, 1: ("ParsimonyError", "no")}, {"r0": 1, "r1": 1, "r2": -15}, "no"),
        (
            {0: RESET},
            {"r0": 1, "r1": -signal.SIGKILL, "r2": -signal.SIGTERM},
            f"process 1 of 3 was ended by SIGKILL. {ENDED}",
        ),
        (
            {2: ("bug", "RuntimeError: Timed out waiting 5000ms for send operation")},
            {"r0": -signal.SIGTERM, "r1": -signal.SIGKILL, "r2": 1},
            f"process 2 of 3 waited for the others longer than --timeout. {ENDED}",
        ),
        ({}, {"r1": 1, "r2": 7}, f"process 1 of 3 ended with code 1. {ENDED}"),
    ],
)
def test_one_message_for_what_happened_to_all(
    tmp_path: Path, said: dict[int, tuple[str, str]], codes: dict[str, int], words: str
) -> None:
    found = told(tmp_path, said, **codes)
    assert type(found) is ParsimonyError and str(found) == words


def test_a_bug_names_the_logs(tmp_path: Path) -> None:
    found = told(tmp_path, {1: ("bug", "ValueError: x")}, r0=-signal.SIGTERM, r1=1)
    assert str(found) == (
        f"process 1 of 3 failed: ValueError: x. {ENDED}. What it printed is in {tmp_path}/logs"
    )


def test_an_error_keeps_its_class(tmp_path: Path) -> None:
    assert type(told(tmp_path, {0: ("InputError", "no")}, r0=1)) is InputError


@pytest.mark.parametrize(("t", "p", "zero"), [(1, 2, 0), (2, 2, 3), (4, 1, 1), (2, 3, 2)])
def test_every_process_holds_what_the_planner_says(t: int, p: int, zero: int) -> None:
    shape = ModelShape(12, 64, 4, vocabulary=512, positions=64)
    layout = Layout(t, p, 2, zero, 1, "none", 1)
    plan = Plan(shape, hardware.load("laptop").of(layout.devices), Training(16, 64), layout)
    for built, planned in rehearsal.parameters(plan, range(layout.devices)):
        assert built == planned


def test_the_shape_says_how_many_parameters_there_are() -> None:
    for shape in (
        SHAPE,
        replace(SHAPE, tied=False),
        ModelShape(2, 32, 4, 64, 0, kv_heads=2, gated=True, biases=False, ffn=48),
    ):
        with torch.device("meta"):
            built = GPT(shape, range(shape.layers))
        assert sum(p.numel() for p in built.parameters()) == shape.parameters


def test_gpt_is_transformers_gpt2() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = ModelShape(2, 32, 4, vocabulary=64, positions=16)
    ours = GPT(shape, range(2)).eval()
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            parameter.copy_(initial(name, parameter.shape, 0) + 0.01)
    config = GPT2Config(
        vocab_size=64, n_positions=16, n_embd=32, n_layer=2, n_head=4, activation_function="gelu"
    )
    theirs = GPT2LMHeadModel(config).eval()
    own = dict(ours.named_parameters())
    names = {"wte": "embedding", "wpe": "positions", "ln_f": "norm", "h.": "blocks.", "ln_1":
             "attention_norm", "ln_2": "mlp_norm", "attn.c_attn": "attention.qkv", "attn.c_proj":
             "attention.out", "mlp.c_fc": "mlp.up", "mlp.c_proj": "mlp.down"}  # fmt: skip
    # Our rows are ordered by head, theirs by queries, keys and values.
    rows = torch.arange(96).view(4, 3, 8).transpose(0, 1).flatten()
    with torch.no_grad():
        for name, parameter in theirs.transformer.named_parameters():
            for old, new in names.items():
                name = name.replace(old, new)
            value = own[name][rows] if "qkv" in name else own[name]
            matrix = "attention." in name or "mlp." in name
            parameter.copy_(value.T if matrix and value.ndim == 2 else value)
        ids = torch.randint(64, (2, 16), generator=torch.Generator().manual_seed(0))
        assert torch.allclose(ours(ids), theirs(ids).logits, atol=1e-6)


def test_gated_is_transformers_llama() -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = ModelShape(2, 32, 4, 64, 0, ffn=48, kv_heads=2, gated=True, biases=False, tied=False)
    ours = GPT(shape, range(2)).eval()
    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, rms_norm_eps=1e-5,
    )  # fmt: skip
    theirs = LlamaForCausalLM(config).eval()
    inner = theirs.model
    with torch.no_grad():
        for name, parameter in ours.named_parameters():
            parameter.copy_(initial(name, parameter.shape, 0))
        inner.embed_tokens.weight.copy_(ours.embedding.weight)
        theirs.lm_head.weight.copy_(ours.output.weight)
        for layer, block in zip(inner.layers, ours.blocks.values(), strict=True):
            groups = block.attention.qkv.weight.view(2, 4, 8, 32)  # two queries, a key, a value
            layer.self_attn.q_proj.weight.copy_(groups[:, :2].reshape(32, 32))
            layer.self_attn.k_proj.weight.copy_(groups[:, 2].reshape(16, 32))
            layer.self_attn.v_proj.weight.copy_(groups[:, 3].reshape(16, 32))
            layer.self_attn.o_proj.weight.copy_(block.attention.out.weight)
            layer.mlp.gate_proj.weight.copy_(block.mlp.up.weight[0::2])
            layer.mlp.up_proj.weight.copy_(block.mlp.up.weight[1::2])
            layer.mlp.down_proj.weight.copy_(block.mlp.down.weight)
        ids = torch.randint(64, (2, 16), generator=torch.Generator().manual_seed(0))
        assert torch.allclose(ours(ids), theirs(ids).logits, atol=1e-6)


def test_pieces_go_round() -> None:
    assert pipeline.pieces(8, 2, 2, 1) == [(1, range(2, 4)), (3, range(6, 8))]
