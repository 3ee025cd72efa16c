"""The contract of every method of adaptation; inherit it to test one.

    from parsimony.testing.method_contract import MethodContract

    class TestMine(MethodContract):
        method = Mine()

Each check runs on tiny BERT, GPT-2, Llama and Audio Spectrogram Transformers (``testing.tiny``,
``testing.tiny_audio``), for classification, regression, language modelling and instructions. A
model that the method refuses is skipped; it must accept one.
The method has to be found by ``adapt.method.methods()``, which outside packages reach through
their entry point.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pandas as pd
import peft
import pytest
import torch
from safetensors.torch import load_file, save, save_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from parsimony.adapt import solve, trial
from parsimony.adapt.method import Facts, Method
from parsimony.adapt.setup import Setup
from parsimony.core import cost, peft_border, pretrained, scoring, training
from parsimony.core.data import audio, dialogues, sounds
from parsimony.core.errors import ArtifactError, InputError
from parsimony.core.inputs import stored
from parsimony.testing import tiny, tiny_audio

MODELS = {
    "bert-classification": ("bert", "text-classification"),
    "bert-regression": ("bert", "regression"),
    "gpt2-language": ("gpt2", "causal-lm"),
    "gpt2-classification": ("gpt2", "text-classification"),
    "llama-language": ("llama", "instruction"),
    "ast-classification": ("ast", "audio-classification"),
}
TEXTS = ["plus", "minus 1", "ok", "zero no"]
STEPS = 20
DROPOUT = 0.1


class Case:
    """One method on one tiny model, at the middle of its sizes.

    Args:
        method: to be tested.
        model: a key of ``MODELS``.
        root: scratch folder; models are written there once.
    """

    def __init__(self, method: Method, model: str, root: Path) -> None:
        self.method = method
        self.setup = _setup(root, model)
        self.facts = self.setup.facts
        self.folder = root / f"{type(method).__name__}-{model}"
        self.refusal = method.refusal(self.facts)
        self.sizes = [] if self.refusal else method.sizes(self.facts)
        self.size = self.sizes[len(self.sizes) // 2] if self.sizes else 0
        self.rows = _rows(self.setup)
        self.batch = self.setup.collator([self.rows[i] for i in range(len(TEXTS))])

    def base(self) -> nn.Module:
        """A fresh copy of the pretrained model with its head."""
        return copy.deepcopy(_base(self.setup.model, self.setup.task, self.setup.labels, 0))

    def adapted(self, size: int | None = None, dropout: float = 0.0, seed: int = 0) -> nn.Module:
        """The method on a fresh copy."""
        chosen = self.size if size is None else size
        return self.method.apply(self.base(), self.facts, chosen, dropout, seed)

    def logits(self, model: nn.Module) -> torch.Tensor:
        """Outputs for the text's own positions, in evaluation mode; shape (rows, ..., outputs)."""
        model.eval()
        with torch.no_grad():
            found: torch.Tensor = model(**self.batch).logits
        if self.setup.task in pretrained.NEXT_TOKEN:  # virtual tokens come first
            found = found[:, -self.batch["input_ids"].shape[1] :]
        return found

    def train(self, model: nn.Module, steps: int) -> list[float]:
        """Overfit the batch as a trial does, at the middle rate; the loss of every step.

        Nothing happens where nothing trains.

        Raises:
            ParsimonyError: a trainable tensor without a gradient after two steps.
        """
        if not self.method.trains:
            return []
        low, high = self.method.rates(self.facts)
        rate = (low * high) ** 0.5
        head_rate = self.method.head_rate(self.facts, rate)
        settings = training.TrainSettings(rate, steps, head_learning_rate=head_rate)
        rates = training.rates_of(model, settings, self.facts.head, self.method.rate_scale)
        optimizer = training.optimizer_for(list(rates), settings, rates)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, training.schedule(settings))
        check = training.GradientCheck(model)
        torch.manual_seed(0)
        model.train()
        losses = []
        for step in range(steps):
            loss = model(**self.batch).loss
            loss.backward()
            check.on_pre_optimizer_step(None, SimpleNamespace(global_step=step), None)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        return losses

    @functools.cached_property
    def trained(self) -> tuple[nn.Module, list[float]]:
        """The method after ``STEPS`` steps, and the losses; shared by the checks, not changed."""
        model = self.adapted()
        return model, self.train(model, STEPS)

    @functools.cached_property
    def saved(self) -> Path:
        """The artifact of ``trained``."""
        trial.save_artifact(self.trained[0], self.folder)
        return self.folder


@functools.cache
def _setup(root: Path, model: str) -> Setup:
    architecture, task = MODELS[model]
    folder = root / architecture
    if architecture == "ast":
        return tiny_audio.setup(folder if folder.exists() else tiny_audio.write(folder))
    if not folder.exists():
        tiny.write(folder, architecture)
    made = tiny.setup(folder, task, ("a", "b", "c") if "classification" in task else ())
    if task == "instruction":  # what in-context examples are drawn from
        stored.write((_rows(made)[n] for n in range(len(TEXTS))), made.folder / "train.arrow")
    return made


def _rows(setup: Setup) -> scoring.Rows:
    if setup.task == "audio-classification":
        made = [sounds.wav(sounds.make(kind, 0, seconds=0.4)) for kind in ("tone", *setup.labels)]
        table = audio.prepare(pd.Series(made, index=range(1, 5)), "audio", "made up")
        return setup.inputs.encode(table.assign(label=[2, 0, 1, 2]), setup.window)
    if setup.task == "instruction":
        halves = [(text[: len(text) // 2], text[len(text) // 2 :]) for text in TEXTS]
        prompts, answers = (pd.Series(half) for half in zip(*halves, strict=True))
        table = pd.DataFrame({"messages": dialogues.pairs(prompts, answers)})
        return setup.inputs.encode(table, setup.window)
    table = pd.DataFrame({"text": TEXTS})
    if setup.task != "causal-lm":
        table["label"] = [0.5, -1.0, 0.0, 2.0] if setup.task == "regression" else [0, 1, 2, 1]
    return setup.inputs.encode(table, setup.window)


@functools.cache
def _base(model: pretrained.Pretrained, task: str, labels: tuple[str, ...], seed: int) -> nn.Module:
    return pretrained.load(model, task, labels, seed)


def _stored(model: nn.Module) -> dict[str, torch.Tensor]:
    """What an artifact of ``model`` holds."""
    if isinstance(model, peft.PeftModel):
        return dict(peft.get_peft_model_state_dict(model, save_embedding_layers=False))
    return model.state_dict()


def _adapter_of(model: nn.Module) -> peft.PeftModel:
    if not isinstance(model, peft.PeftModel):
        pytest.skip("the result is a model, not an adapter")
    return model


class MethodContract:
    """What ``adapt`` relies on; set ``method`` in the class that inherits it."""

    method: ClassVar[Method]

    @pytest.fixture(scope="class", params=sorted(MODELS))
    def any_case(self, request: Any, tmp_path_factory: pytest.TempPathFactory) -> Case:
        """The method on one tiny model, which it may refuse."""
        root = tmp_path_factory.getbasetemp() / "tiny"
        root.mkdir(exist_ok=True)
        return Case(request.cls.method, request.param, root)

    @pytest.fixture(scope="class")
    def case(self, any_case: Case) -> Case:
        """The method on one tiny model that it accepts."""
        if not any_case.sizes:
            pytest.skip(any_case.refusal or "no size suits this model")
        return any_case

    def test_it_says_what_it_is(self) -> None:
        method = self.method
        assert method.name and method.source, "a method needs a name and a source"

    def test_it_accepts_some_model(self, tmp_path: Path) -> None:
        accepted = [name for name in MODELS if Case(self.method, name, tmp_path).sizes]
        assert accepted, "the method refuses every tiny model"

    def test_refusal_is_a_text_or_none(self, any_case: Case) -> None:
        facts = any_case.facts
        empty: dict[str, Any] = {"head": (), "linear": {}, "conv1d": (), "biased": (), "norms": ()}
        poor = [dataclasses.replace(facts, **{key: value}) for key, value in empty.items()]
        for lacking in [facts, *poor, dataclasses.replace(facts, **empty)]:
            self.check_refusal(lacking)

    def check_refusal(self, facts: Facts) -> None:
        """``refusal`` answers for any model; where it has nothing to say, ``sizes`` answers."""
        reason = self.method.refusal(facts)
        assert reason is None or (isinstance(reason, str) and reason.strip()), repr(reason)
        if reason is None:
            assert isinstance(self.method.sizes(facts), list)

    def test_learning_rates_are_a_range(self, case: Case) -> None:
        low, high = self.method.rates(case.facts)
        assert 0 < low < high, f"learning rates are (lowest, highest), not {(low, high)}"
        assert self.method.head_rate(case.facts, low) > 0

    def test_sizes_ascend_and_count_the_same_without_storage(self, case: Case) -> None:
        assert case.sizes == sorted(set(case.sizes)), "sizes must ascend"
        if self.method.size_name is None:
            assert len(case.sizes) == 1, "several sizes need a size_name"
        counts = [cost.count(case.adapted(size)) for size in case.sizes]
        task, config = case.setup.task, case.facts.config
        for size, real in zip(case.sizes, counts, strict=True):
            bare = functools.partial(self.method.apply, facts=case.facts, size=size)
            meta = cost.on_meta(lambda build=bare: build(pretrained.build(config, task)))
            assert cost.count(meta) == real, f"size {size}: meta and real counts differ"
        for (_, smaller, _), (_, larger, _) in itertools.pairwise(counts):
            assert smaller <= larger, "a larger size may not train fewer parameters"
        assert all((trained > 0) == self.method.trains for _, trained, _ in counts)

    def test_only_its_own_parameters_train(self, case: Case) -> None:
        base = case.base()
        original = dict(base.named_parameters())
        model = self.method.apply(base, case.facts, case.size)
        trained = {id(p) for p in model.parameters() if p.requires_grad}
        if self.method.full:
            assert trained == {id(p) for p in original.values()}
            return
        opened = [name for name, p in original.items() if id(p) in trained]
        assert not opened, f"parameters of the base model would train: {opened[:3]}"
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        frozen = {n: t for n, t in tensors.items() if id(t) not in trained}
        before = {name: tensor.detach().clone() for name, tensor in frozen.items()}
        values = {p: p.detach().clone() for p in original.values()}
        case.train(model, 3)
        moved = [name for name, tensor in frozen.items() if not torch.equal(tensor, before[name])]
        assert not moved, f"tensors that do not train have changed: {moved[:3]}"
        assert all(torch.equal(p, value) for p, value in values.items()), "the base has changed"

    @pytest.mark.parametrize("dropout", [0.0, DROPOUT])
    def test_every_trainable_tensor_gets_a_gradient(self, case: Case, dropout: float) -> None:
        if dropout and not self.method.has_dropout:
            pytest.skip("the method has no dropout")
        for seed in range(2):
            case.train(case.adapted(dropout=dropout, seed=seed), 2)  # raises where one does not

    def test_dropout_acts_where_it_is_said_to(self, case: Case) -> None:
        model = case.adapted(dropout=0.9)
        for parameter in model.parameters():
            if parameter.requires_grad:
                nn.init.normal_(parameter, std=0.1)
        model.train()
        losses = {model(**case.batch).loss.item() for _ in range(4)}
        assert (len(losses) > 1) == self.method.has_dropout, "has_dropout is not true"

    def test_the_loss_falls(self, case: Case) -> None:
        losses = case.trained[1]
        if not self.method.trains:
            pytest.skip("the method trains nothing")
        assert losses[-1] < losses[0], f"loss {losses[0]} -> {losses[-1]} in {STEPS} steps"

    def test_it_starts_at_the_base_model(self, case: Case) -> None:
        apart = (case.logits(case.adapted()) - case.logits(case.base())).abs().max().item()
        if self.method.changes_at_start:
            assert apart > 1e-5, "changes_at_start is set, yet the outputs are the base model's"
        else:
            assert apart <= 1e-5, f"outputs differ by {apart} before the first step"

    def test_padding_changes_nothing(self, case: Case) -> None:
        model, task = case.trained[0], case.setup.task

        def scored(batch: int) -> torch.Tensor:
            if task in pretrained.NEXT_TOKEN:
                found = scoring.score(model, case.rows, case.setup.collator, task, batch)
                return torch.from_numpy(found.scores)
            parts = scoring.outputs(model, case.rows, case.setup.collator, batch)
            return torch.cat([logits for logits, _ in parts])

        apart = (scored(1) - scored(len(TEXTS))).abs().max().item()
        assert apart <= 1e-4, f"padding moves the outputs by {apart}"

    def test_a_saved_artifact_loads_bit_for_bit(self, case: Case) -> None:
        model = case.trained[0]
        expected = case.logits(model)
        if self.method.full:
            found = dataclasses.replace(case.setup.model, path=case.saved)
            twin = pretrained.load(found, case.setup.task, case.setup.labels, seed=1)
            assert torch.equal(case.logits(twin), expected)
            return

        # Another head seed: what the adapter does not bring would show.
        def other() -> Any:
            setup = case.setup
            return copy.deepcopy(_base(setup.model, setup.task, setup.labels, 1))

        strict = peft_border.load_adapter(other(), case.saved)
        assert torch.equal(case.logits(strict), expected), "load_adapter gives other outputs"
        plain = peft.PeftModel.from_pretrained(other(), str(case.saved))
        assert torch.equal(case.logits(plain), expected), "PeftModel gives other outputs"

    def test_a_file_with_other_keys_is_refused(self, case: Case, tmp_path: Path) -> None:
        _adapter_of(case.trained[0])
        tensors = load_file(case.saved / "adapter_model.safetensors")
        lost = sorted(tensors)[0]
        fewer = {key: value for key, value in tensors.items() if key != lost}
        more = {**tensors, "base_model.model.stranger.weight": torch.ones(2)}
        for change in (fewer, more):
            folder = tmp_path / str(len(change))
            folder.mkdir()
            settings = (case.saved / "adapter_config.json").read_bytes()
            (folder / "adapter_config.json").write_bytes(settings)
            save_file(change, folder / "adapter_model.safetensors", {"format": "pt"})
            with pytest.raises(ArtifactError, match=r"must be used|does not fit this model"):
                peft_border.load_adapter(case.base(), folder)

    def test_an_artifact_holds_no_pickle(self, case: Case) -> None:
        kinds = {file.suffix for file in case.saved.rglob("*") if file.is_file()}
        assert ".safetensors" in kinds
        assert kinds <= {".json", ".safetensors", ".md"}, f"unexpected files: {kinds}"

    def test_the_predicted_cost_is_the_real_one(self, case: Case) -> None:
        step, stored = solve.step_cost(case.setup, self.method.name, case.size)
        model = case.adapted()
        assert (step.parameters, step.trainable, step.trainable_bytes) == cost.count(model)
        files = case.saved.glob("*.safetensors")
        tensors = [tensor for file in files for tensor in load_file(file).values()]
        assert stored == sum(t.numel() * t.element_size() for t in tensors), "stored bytes"
        setup = case.setup
        batch = setup.example()()
        model.train()
        with FlopCounterMode(display=False) as counter:
            loss = model(**batch).loss
            if self.method.trains:
                loss.backward()
        assert step.flops == counter.get_total_flops(), "operations of a step"

    def test_disabling_gives_the_base_model_back(self, case: Case) -> None:
        model = _adapter_of(case.trained[0])
        base = case.logits(case.base())
        assert not torch.equal(case.logits(model), base), "training did nothing"
        if case.facts.head and model.peft_config["default"].is_prompt_learning:
            pytest.skip("peft leaves the trained head in place when it disables a prompt")
        with model.disable_adapter():
            assert torch.equal(case.logits(model), base)
        assert not torch.equal(case.logits(model), base), "the adapter stays disabled"

    def test_it_merges_or_says_that_it_cannot(self, case: Case) -> None:
        model = copy.deepcopy(_adapter_of(case.trained[0]))
        if not self.method.mergeable:
            with pytest.raises(InputError, match=f"'{self.method.name}' cannot be merged"):
                peft_border.refuse_unmergeable(model, self.method.name)
            return
        peft_border.refuse_unmergeable(model, self.method.name)
        expected = case.logits(model)
        merged = peft_border.merged(model)
        names = [name for name, _ in merged.named_parameters()]
        assert names == [name for name, _ in case.base().named_parameters()]
        apart = (case.logits(merged) - expected).abs().max().item()
        assert apart <= 1e-4, f"merging moves the outputs by {apart}"

    def test_the_seed_decides_the_initial_values(self, case: Case) -> None:
        """The same seed gives the same bytes; another gives others where there is chance.

        A tensor that is neither constant nor a copy of the base model's counts as chance, unless
        the method says that it computes its start from the base weights.
        """
        torch.manual_seed(1)
        first = _stored(case.adapted(seed=7))
        torch.manual_seed(2)
        again = _stored(case.adapted(seed=7))
        other = _stored(case.adapted(seed=8))
        assert _bytes(first) == _bytes(again), "the same seed gives other initial values"
        copied = [p.detach() for p in case.base().parameters()]
        chance = any(
            not torch.equal(value, value.flatten()[0].expand_as(value))
            and not any(c.shape == value.shape and torch.equal(c, value) for c in copied)
            for value in first.values()
        )
        chance = chance and not self.method.starts_from_base
        assert (_bytes(first) != _bytes(other)) == chance, "another seed: chance, yet no change"


def _bytes(tensors: dict[str, torch.Tensor]) -> bytes:
    return save({key: value.detach().clone().contiguous() for key, value in tensors.items()})
