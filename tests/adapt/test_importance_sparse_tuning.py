"""Importance-aware sparse tuning: the paper's update, the law of the draws, and whole trainings."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import peft
import pytest
import torch
from torch import nn
from torch.utils.data import IterableDataset
from transformers import LlamaForCausalLM, Trainer, TrainerCallback, TrainingArguments

from parsimony.adapt.importance_sparse_tuning import (
    SELECTORS,
    ImportanceSparseTuning,
    checks,
    distinct_draws,
    draw,
    expected_lowest,
    probe_losses,
    rewards,
    updated,
)
from parsimony.adapt.method import methods
from parsimony.core import layers, training
from parsimony.core.errors import InputError
from parsimony.core.training import TrainSettings
from parsimony.testing import tiny
from parsimony.testing.method_contract import Case

# -- the formulas ------------------------------------------------------------------------------

SETS = [(0, 1), (2, 3), (0, 2)]
LOSSES = np.array([1.0, 2.0, 1.5])


def test_one_update_is_the_papers() -> None:
    """r_k = exp(-l_k) - mean; s_i += mu r_k p (1 - p) with p = 1/2; importance is -s."""
    gains = np.exp(-LOSSES) - np.exp(-LOSSES).mean()
    reward = rewards(LOSSES)
    np.testing.assert_allclose(reward, gains, atol=1e-15)
    np.testing.assert_allclose(reward, [0.125764, -0.106780, -0.018985], atol=1e-6)
    first, second, third = 10 * gains / 4
    expected = -np.array([first + third, first, second + third, second])
    found = updated(np.zeros(4), SETS, reward)
    np.testing.assert_allclose(found, expected, atol=1e-15)
    np.testing.assert_allclose(found, [-0.26695, -0.31441, 0.31441, 0.26695], atol=1e-5)
    p = 1 / (1 + np.exp(expected))  # sigmoid(s), from before the round for every set
    again = updated(found, SETS, reward) - found
    np.testing.assert_allclose(again, 4 * p * (1 - p) * expected, atol=1e-12)


def test_layers_outside_of_all_sets_do_not_move() -> None:
    found = updated(np.full(5, 0.7), [(0, 1), (1, 2)], np.array([0.1, -0.1]))
    assert found[3] == found[4] == 0.7


def test_normalised_rewards_do_not_depend_on_the_level_of_the_loss() -> None:
    for level in (0.0, 8.0, 2000.0):
        np.testing.assert_allclose(
            rewards(LOSSES + level, normalise=True), rewards(LOSSES) / np.exp(-LOSSES).mean()
        )
    assert abs(rewards(LOSSES + 8)).max() < 1e-3


def test_draws_follow_the_law_of_drawing_one_after_another() -> None:
    importance = np.array([1.5, 0.0, -1.0, -2.5])
    weights = 1 / (1 + np.exp(-importance))
    p = weights / weights.sum()
    random, count = np.random.default_rng(0), 20_000
    selector = SELECTORS["ist"]()
    found = Counter(selector.choose(importance, 2, random) for _ in range(count))
    for i, j in itertools.combinations(range(4), 2):
        share = p[i] * p[j] / (1 - p[i]) + p[j] * p[i] / (1 - p[j])
        spread = math.sqrt(share * (1 - share) / count)
        assert abs(found[(i, j)] / count - share) < 4 * spread, (i, j)


def test_without_importances_ist_draws_as_rst_does() -> None:
    for seed in range(50):
        chosen = [
            SELECTORS[name]().choose(np.zeros(12), 3, np.random.default_rng(seed))
            for name in ("ist", "rst")
        ]
        assert chosen[0] == chosen[1]


def test_the_lowest_layer_of_a_uniform_draw() -> None:
    for total, count in ((12, 3), (7, 2), (5, 5)):
        lowest = [chosen[0] + 1 for chosen in itertools.combinations(range(total), count)]
        assert expected_lowest(total, count) == pytest.approx(sum(lowest) / len(lowest))


def test_probes_damp_different_sets_and_unimportant_layers_more_often() -> None:
    importance = np.array([3.0, 3.0, 0.0, 0.0, -3.0, -3.0])
    random, found = np.random.default_rng(0), Counter[int]()
    for _ in range(200):
        sets = distinct_draws(importance, 3, 3, random)
        assert len(set(sets)) == 3
        assert all(list(chosen) == sorted(set(chosen)) for chosen in sets)
        found.update(itertools.chain(*sets))
    assert min(found[4], found[5]) > max(found[2], found[3]) > max(found[0], found[1])


def test_probes_end_where_the_weights_leave_one_set() -> None:
    extreme = np.array([900.0, 900.0, -900.0, -900.0])
    assert len(set(distinct_draws(extreme, 2, 6, np.random.default_rng(0)))) == 6
    with pytest.raises(InputError, match=r"7 probes need as many sets of 2 of 4 layers, but got 6"):
        distinct_draws(extreme, 2, 7, np.random.default_rng(0))
    assert draw(np.zeros(3), 3, np.random.default_rng(0)) == (0, 1, 2)


# -- training ----------------------------------------------------------------------------------

LAYERS = 8


def rows(count: int = 40) -> list[dict[str, torch.Tensor]]:
    random = torch.Generator().manual_seed(3)
    ids = torch.randint(0, 200, (count, 8), generator=random)
    return [{"input_ids": row, "labels": row} for row in ids]


def adapted(count: int = LAYERS, config: peft.PeftConfig | None = None) -> peft.PeftModel:
    torch.manual_seed(0)
    settings = tiny.config("llama")
    settings.num_hidden_layers = count
    lora = peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"], lora_dropout=0.1)
    return peft.get_peft_model(LlamaForCausalLM(settings), config or lora)


def trainer(
    folder: Path,
    *callbacks: TrainerCallback,
    model: nn.Module | None = None,
    data: Any = None,
    optimizer: torch.optim.Optimizer | None = None,
    **changes: Any,
) -> Trainer:
    """Twenty steps of four rows."""
    settings: dict[str, Any] = {
        "max_steps": 20, "per_device_train_batch_size": 4, "learning_rate": 1e-2,
        "weight_decay": 0.1, "save_strategy": "no", "logging_strategy": "no", "report_to": [],
        "disable_tqdm": True, "use_cpu": True, **changes,
    }  # fmt: skip
    return Trainer(
        model=adapted() if model is None else model,
        args=TrainingArguments(output_dir=str(folder), **settings),
        train_dataset=rows() if data is None else data,
        callbacks=list(callbacks),
        optimizers=(optimizer, None),
    )


def ist(selector: str = "ist", **changes: Any) -> ImportanceSparseTuning:
    """Updates every third step."""
    return ImportanceSparseTuning(selector, **{"update_every": 3, "probe_rows": 6, **changes})


class Watch(TrainerCallback):
    """Compares every layer before and after every step with what the callback drew."""

    def __init__(self, callback: ImportanceSparseTuning) -> None:
        self.callback = callback
        self.drawn: list[list[int]] = []
        self.micro: list[list[int]] = []
        self.states: list[set[int]] = []

    def on_step_begin(self, *_: Any, model: Any = None, **__: Any) -> None:
        self.layers = layers.find(model, "model.layers")
        self.all = [
            {n: p for n, p in layer.module.named_parameters() if "lora" in n}
            for layer in self.layers
        ]
        self.before = [[p.detach().clone() for p in own.values()] for own in self.all]
        self.drawn.append(list(self.callback.active))

    def on_substep_end(self, *_: Any, **__: Any) -> None:
        self.micro.append(self.training())

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        self.micro.append(self.training())
        for index, own in enumerate(self.all):
            assert all((p.grad is not None) == (index in self.drawn[-1]) for p in own.values())

    def on_step_end(self, *_: Any, optimizer: Any = None, **__: Any) -> None:
        for index, (own, before) in enumerate(zip(self.all, self.before, strict=True)):
            same = [torch.equal(p, b) for p, b in zip(own.values(), before, strict=True)]
            # LoRA's A has no gradient while B is zero; weight decay moves it all the same.
            assert not any(same) if index in self.drawn[-1] else all(same), index
        held = [all(p in optimizer.state for p in own.values()) for own in self.all]
        self.states.append({index for index, there in enumerate(held) if there})

    def training(self) -> list[int]:
        return [i for i, own in enumerate(self.all) if all(p.requires_grad for p in own.values())]


def run(folder: Path, callback: ImportanceSparseTuning, **changes: Any) -> Watch:
    watch = Watch(callback)
    trainer(folder, callback, watch, **changes).train()
    return watch


def test_only_the_drawn_layers_move(tmp_path: Path) -> None:
    callback = ist()
    watch = run(tmp_path, callback, weight_decay=0.1)
    assert len(watch.drawn) == 20
    assert all(len(drawn) == 2 for drawn in watch.drawn)
    assert len({tuple(drawn) for drawn in watch.drawn}) > 10
    # Moments stay, as in the official code.
    assert watch.states[-1] == set(itertools.chain(*watch.drawn))
    assert watch.training() == list(range(LAYERS)), "all layers train again afterwards"
    report = callback.report()
    assert report["steps"] == 20 and report["trained_per_step"] == 2
    assert list(report["importance"]) == callback.names and len(callback.names) == LAYERS
    assert any(report["importance"].values())


def test_one_draw_serves_all_micro_batches_of_a_step(tmp_path: Path) -> None:
    watch = run(tmp_path, ist(), gradient_accumulation_steps=2, max_steps=5)
    assert watch.micro == [drawn for drawn in watch.drawn for _ in range(2)]


def test_moments_of_layers_that_have_not_trained_are_freed(tmp_path: Path) -> None:
    watch = run(tmp_path, ist("rst", drop_moments_after=3))
    for step, held in enumerate(watch.states):
        assert held == set(itertools.chain(*watch.drawn[max(0, step - 2) : step + 1]))


@pytest.mark.parametrize(
    ("selector", "changes", "expected"),
    [
        ("top", {}, [LAYERS - 2, LAYERS - 1]),
        ("fixed", {"fixed": [5, 1]}, [1, 5]),
        ("all", {}, list(range(LAYERS))),
    ],
)
def test_selectors_without_chance(
    selector: str, changes: dict[str, Any], expected: list[int], tmp_path: Path
) -> None:
    watch = run(tmp_path, ist(selector, **changes), max_steps=3)
    assert watch.drawn == [expected] * 3


def test_lisa_trains_whole_layers_and_what_lies_outside(tmp_path: Path) -> None:
    settings = tiny.config("llama")
    settings.num_hidden_layers = 5
    model = LlamaForCausalLM(settings)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    callback = ist("lisa", redraw_every=100)
    trainer(tmp_path, callback, model=model, max_steps=3).train()
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    active = [f"model.layers.{index}." for index in callback.active]
    assert len(active) == 2
    assert moved == {
        name for name in before if "layers" not in name or name.startswith(tuple(active))
    }


def test_draws_depend_on_the_seed_alone(tmp_path: Path) -> None:
    runs = [run(tmp_path, ist("rst", seed=seed), max_steps=8).drawn for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("restore", [True, False])
def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path, restore: bool) -> None:
    saving = {
        "save_strategy": "steps", "save_steps": 7, "max_steps": 14,
        "restore_callback_states_from_checkpoint": restore,
    }  # fmt: skip

    def trained(checkpoint: str | None) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        ours = ist(
            redraw_every=2, drop_moments_after=4, memory_cap=1.0, file=tmp_path / "layers.json"
        )
        made = trainer(tmp_path, ours, **saving)
        made.train(checkpoint)
        callback = next(  # the trainer may have put another object in the place of ours
            c for c in made.callback_handler.callbacks if isinstance(c, ImportanceSparseTuning)
        )
        return dict(made.model.named_parameters()), callback.report()

    once, report = trained(None)
    again, reported = trained(str(tmp_path / "checkpoint-7"))
    assert all(torch.equal(p, once[name]) for name, p in again.items())
    assert reported == report == json.loads((tmp_path / "layers.json").read_text())
    assert report["steps"] == 14 and any(report["importance"].values())


def test_a_checkpoint_without_importances_is_said(tmp_path: Path) -> None:
    saving = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4}
    trainer(tmp_path, **saving).train()
    with pytest.warns(UserWarning, match=r"step 2 has no importances of layers: they start again"):
        trainer(tmp_path, ist(), **saving).train(str(tmp_path / "checkpoint-2"))


def test_a_checkpoint_of_other_layers_is_refused(tmp_path: Path) -> None:
    saving = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4}
    trainer(tmp_path, ist(path="model.layers"), **saving).train()
    file = tmp_path / "checkpoint-2" / "trainer_state.json"
    stored = json.loads(file.read_text())
    stored["stateful_callbacks"]["ImportanceSparseTuning"]["attributes"]["names"].pop()
    file.write_text(json.dumps(stored))
    with pytest.raises(InputError, match="must have the layers that the checkpoint has"):
        trainer(tmp_path, ist(), **saving).train(str(tmp_path / "checkpoint-2"))


# -- memory ------------------------------------------------------------------------------------


def test_a_cap_keeps_large_draws_out(tmp_path: Path) -> None:
    free, capped = ist("rst", memory_cap=1.0), ist("rst", memory_cap=0.6)
    drawn = [run(tmp_path, callback, max_steps=12).drawn for callback in (free, capped)]
    shares = [callback.report()["saved_share"] for callback in (free, capped)]
    assert shares[0]["peak"] > 0.6 >= shares[1]["peak"] >= shares[1]["mean"] > 0
    assert drawn[0] != drawn[1] and len({tuple(chosen) for chosen in drawn[1]}) > 2


def test_a_cap_that_nothing_keeps_names_the_least(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"layers \[6, 7\] need a memory_cap of at least 0\.\d+"):
        trainer(tmp_path, ist(memory_cap=0.01)).train()
    with pytest.raises(InputError, match=r"layers \[0, 1\] need a memory_cap of at least"):
        trainer(tmp_path, ist("fixed", fixed=[0, 1], memory_cap=0.5)).train()


# -- probes ------------------------------------------------------------------------------------


def probes(model: nn.Module, change: Callable[[torch.Tensor], torch.Tensor]) -> list[int]:
    """Change the loss of every pass in evaluation mode; counts those passes."""
    passes: list[int] = []

    def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
        if not module.training:
            passes.append(1)
            output.loss = change(output.loss)
        return output

    model.register_forward_hook(hook)
    return passes


def test_a_round_of_probes_costs_so_many_passes_and_leaves_no_trace(tmp_path: Path) -> None:
    model = adapted()
    passes = probes(model, lambda loss: loss)
    trainer(tmp_path, ist(probes=4, update_every=5), model=model).train()
    assert len(passes) == 4 * 3  # before steps 5, 10 and 15

    model.base_model.eval()  # a mode that is not the same everywhere
    modes = [module.training for module in model.modules()]
    scalings = [dict(m.scaling) for m in model.modules() if isinstance(m, peft.tuners.lora.Linear)]
    found = layers.find(model, trained=True)
    with pytest.raises(InputError, match="a probe needs the model to give a loss"):
        probe_losses(model, {"input_ids": rows()[0]["input_ids"][None]}, found, SETS, 0.25)
    assert modes == [module.training for module in model.modules()]
    assert scalings == [
        dict(m.scaling) for m in model.modules() if isinstance(m, peft.tuners.lora.Linear)
    ]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (math.nan, "a probe's loss at step 3 is not finite: the importances stay as they are"),
        (math.inf, "a probe's loss at step 3 is not finite"),
        (2.0, "all probes at step 3 gave the same loss: the importances say nothing yet"),
    ],
)
def test_probes_that_say_nothing_leave_the_importances(
    change: float, text: str, tmp_path: Path
) -> None:
    model, callback = adapted(), ist()
    probes(model, lambda loss: torch.full_like(loss, change))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer(tmp_path, callback, model=model, max_steps=8).train()
    said = [str(w.message) for w in caught if "step" in str(w.message)]
    assert len(said) == 1 and text in said[0], "once, though two updates failed"
    assert callback.importance == [0.0] * LAYERS


def test_a_high_loss_is_said_and_normalised_rewards_help(tmp_path: Path) -> None:
    moved = {}
    for normalise in (False, True):
        model = adapted()
        probes(model, lambda loss: loss + 4)
        callback = ist(normalise=normalise)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            trainer(tmp_path, callback, model=model, max_steps=8).train()
        said = [str(w.message) for w in caught if "normalise=True divides" in str(w.message)]
        assert len(said) == (not normalise)
        moved[normalise] = np.abs(callback.importance).max()
    assert moved[True] > 100 * moved[False] > 0


# -- refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"selector": "isst"}, "unknown selector, but got 'isst'. Did you mean 'ist'?"),
        ({"trained": 0}, "trained must be at least 1, but got 0"),
        ({"probes": 1}, "probes must be at least 2, but got 1"),
        ({"update_every": 0}, "update_every must be at least 1"),
        ({"drop_moments_after": 0}, "drop_moments_after must be at least 1"),
        ({"factor": 1.0}, "factor must be at least 0 and below 1, but got 1.0"),
        ({"step_size": 0.0}, "step_size must be positive"),
        ({"memory_cap": 1.5}, "memory_cap is a share of what training all layers keeps"),
        ({"selector": "fixed"}, "the selector 'fixed', and no other, needs the numbers"),
        ({"fixed": [1]}, "the selector 'fixed', and no other, needs the numbers"),
    ],
)
def test_arguments_out_of_range_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError) as caught:
        ImportanceSparseTuning(**changes)
    assert text in str(caught.value)


def some_layers(*indices: int) -> peft.PeftModel:
    config = peft.LoraConfig(
        r=2, target_modules=["q_proj"], layers_to_transform=list(indices), layers_pattern="layers"
    )
    return adapted(8, config)


class Endless(IterableDataset):
    """Rows without numbers."""

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        return itertools.cycle(rows())


@pytest.mark.parametrize(
    ("model", "callback", "texts"),
    [
        (lambda: adapted(2), {}, ["needs at least 4 layers with adapters: 0 of 2 layers would",
                                  "take the selector 'all'"]),
        (lambda: some_layers(2, 3, 7), {}, ["at least 4 layers", "layers.2'", "layers.7'"]),
        (lambda: adapted(5), {"probes": 11}, ["needs at least 6 layers", "11 probes need as many"]),
        (lambda: adapted(4), {"selector": "fixed", "fixed": [4]}, ["numbered from 0 to 3"]),
        (adapted, {"selector": "lisa"}, ["'lisa' trains whole layers", "is frozen"]),
        (
            lambda: adapted(8, peft.PromptTuningConfig("CAUSAL_LM", num_virtual_tokens=2)), {},
            ["prompts and prefixes belong to no layer", "adapter 'default': PROMPT_TUNING"],
        ),
        (
            lambda: adapted(8, peft.PrefixTuningConfig("CAUSAL_LM", num_virtual_tokens=2)), {},
            ["prompts and prefixes belong to no layer", "PREFIX_TUNING"],
        ),
    ],
)  # fmt: skip
def test_models_that_do_not_suit_are_refused(
    model: Any, callback: dict[str, Any], texts: list[str], tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        trainer(tmp_path, ist(**callback), model=model()).train()
    assert all(text in str(caught.value) for text in texts), str(caught.value)


def test_a_training_set_without_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rows have numbers, .*take the selector 'rst'"):
        trainer(tmp_path, ist(), data=Endless()).train()
    trainer(tmp_path, ist("rst"), data=Endless(), max_steps=2).train()


def test_an_optimizer_built_too_late_is_refused(tmp_path: Path) -> None:
    model = adapted()
    some = [p for n, p in model.named_parameters() if p.requires_grad and "layers.3." in n]
    with pytest.raises(InputError, match="must hold the parameters of every layer"):
        trainer(tmp_path, ist(), model=model, optimizer=torch.optim.AdamW(some)).train()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"torch_compile": True}, "recompile a compiled model at every draw"),
        ({"fsdp": True}, "sharded parameters cannot start and stop training one by one"),
        ({"deepspeed": "zero3.json"}, "deepspeed='zero3.json'"),
        ({"parallel_mode": SimpleNamespace(value="distributed")}, "find_unused_parameters=True"),
    ],
)
def test_ways_to_run_that_do_not_suit_are_refused(changes: dict[str, Any], text: str) -> None:
    usual: dict[str, Any] = {
        "torch_compile": False, "fsdp": None, "deepspeed": None,
        "ddp_find_unused_parameters": False, "activation_checkpointing": False,
        "parallel_mode": SimpleNamespace(value="not_distributed"),
    }  # fmt: skip
    checks.trainer(SimpleNamespace(**usual))
    with pytest.raises(InputError) as caught:
        checks.trainer(SimpleNamespace(**{**usual, **changes}))
    assert text in str(caught.value)


def test_checkpointing_that_loses_gradients_is_refused() -> None:
    model = adapted()
    base = model.get_base_model()
    base.activation_checkpointing_enable({"use_reentrant": True})
    checks.model(model, None)  # transformers makes the inputs require gradients
    base.disable_input_require_grads()
    with pytest.raises(
        InputError, match=r"re-entrant .*use_reentrant=True.*'use_reentrant': False"
    ):
        checks.model(model, None)
    base.activation_checkpointing_enable({"use_reentrant": False})
    with pytest.warns(UserWarning, match="saves next to no activations"):
        checks.model(model, None)
    with pytest.raises(InputError, match="memory_cap counts the activations that checkpointing"):
        checks.model(model, 0.5)


def test_training_with_checkpointing_moves_the_drawn_layers_alone(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="saves next to no activations"):
        run(
            tmp_path, ist(), max_steps=4, activation_checkpointing=True,
            activation_checkpointing_kwargs={"use_reentrant": False},
        )  # fmt: skip


# -- as a method of parsimony adapt ------------------------------------------------------------


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(methods()["lora-ist"], "llama-language", tmp_path_factory.mktemp("tiny"))


def test_a_run_of_parsimony_stopped_anywhere_ends_in_the_same_bytes(
    case: Case, tmp_path: Path
) -> None:
    def final(folder: Path, stops: list[int | None]) -> Path:
        for stop in stops:
            model = case.adapted(dropout=0.1)
            training.train(
                model, case.rows, case.setup.collator, TrainSettings(1e-2, 24, batch_size=2),
                folder, callbacks=case.method.callbacks(model, 24), stop_after=stop,
            )  # fmt: skip
        return folder / "checkpoints" / "checkpoint-24"

    ends = final(tmp_path / "once", [None]), final(tmp_path / "again", [1, 7, 10, 21, None])
    once, again = ((end / "adapter_model.safetensors").read_bytes() for end in ends)
    assert once == again
    # Not its bytes: layers enter the optimizer's state in the order of their first draws.
    once, again = (torch.load(end / "optimizer.pt", weights_only=True)["state"] for end in ends)
    assert once.keys() == again.keys()
    assert all(torch.equal(once[p][key], again[p][key]) for p in once for key in once[p])
    stored = [
        json.loads((end / "trainer_state.json").read_text())["stateful_callbacks"] for end in ends
    ]
    assert stored[0] == stored[1]
    progress = stored[0]["ImportanceSparseTuning"]["attributes"]
    assert progress["kept"]["steps"] == 24 and any(progress["importance"])


def test_the_method_needs_four_layers(case: Case) -> None:
    assert case.refusal is None
    fewer = {n: shape for n, shape in case.facts.linear.items() if "layers.3." not in n}
    refusal = case.method.refusal(dataclasses.replace(case.facts, linear=fewer))
    assert refusal == "it needs at least 4 layers to train a quarter of, not 3"
    assert "not 0" in str(case.method.refusal(dataclasses.replace(case.facts, linear={})))
