# Long because a contract is one class, whose checks are inherited together.
"""The contract of every peft tuner built on ``core.peft_border``; inherit it to test one.

    from parsimony.testing.adapter_contract import AdapterContract

    class TestMine(AdapterContract):
        config = MineConfig
        settings = {"r": 2}

Through peft's public functions alone it checks, over every type of layer that the tuner takes
(``AdapterLayer.kinds``) and drawn shapes: the start, what trains and how many, saving and loading
(also in a fresh process), further adapters, disabling, merging or its refusal, dtypes, quantized
bases, and that what is refused leaves the model as it was.
"""

from __future__ import annotations

import copy
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import peft
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import Trainer, TrainingArguments

from parsimony.core import pretrained
from parsimony.core.errors import InputError, ParsimonyError
from parsimony.core.peft_border import AdapterConfig, AdapterTuner, linear_modules, register
from parsimony.core.quantized import quantized
from parsimony.testing import tiny
from parsimony.testing.layer_cases import FLOATING, MODULES, Case, drawn, fixed


def _settle(model: nn.Module) -> None:
    """Move every trainable parameter to a value of its own, the same every time."""
    random = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        if parameter.requires_grad:
            noise = torch.randn(parameter.shape, generator=random).to(parameter.dtype)
            parameter.data += 0.1 * noise


def _out(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(x)["logits"]
    return found


def _apart(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest difference relative to the largest value, at least 1."""
    return ((a - b).abs().max() / max(1.0, a.abs().max().item())).item()


def _trained(model: nn.Module) -> list[str]:
    return [name for name, p in model.named_parameters() if p.requires_grad]


def _unwanted(tensor: torch.Tensor) -> None:
    raise AssertionError("merging kept what only a backward pass needs")


def _structure(model: nn.Module) -> list[tuple[str, type]]:
    return [(name, type(module)) for name, module in model.named_modules()]


_QUICK = settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


class AdapterContract:
    """What a tuner of ours promises; set ``config``, and ``settings`` that suit small layers.

    Attributes:
        config: the tuner's configuration class.
        settings: its arguments in these tests, targets left out.
        multiple: every size of a drawn layer is a multiple of it.
        square: the tuner takes only layers that are as wide at the output as at the input.
        changes_at_start: the outputs differ from the base model's before the first step.
        scales: what an adapter adds to a layer's output has a factor.
    """

    config: ClassVar[type[AdapterConfig]]
    settings: ClassVar[dict[str, Any]] = {}
    multiple: ClassVar[int] = 4
    square: ClassVar[bool] = False
    changes_at_start: ClassVar[bool] = False
    scales: ClassVar[bool] = True

    # -- what a test class may change ----------------------------------------------------------

    def settings_for(self, case: Case) -> dict[str, Any]:
        """The configuration's arguments for one layer, where they depend on its type."""
        return self.settings

    def count(self, case: Case, layer: nn.Module, config: Any) -> int | None:
        """Trainable parameters of one adapted layer by the paper's formula; ``None``: unknown."""
        return None

    def shared_count(self, config: Any) -> int:
        """Trainable parameters that all layers share, by the paper's formula."""
        return 0

    # -- helpers -------------------------------------------------------------------------------

    @property
    def tuner(self) -> type[AdapterTuner]:
        found: type[AdapterTuner] = peft.PEFT_TYPE_TO_TUNER_MAPPING[peft.PeftType(self.config.kind)]
        return found

    @property
    def kinds(self) -> list[str]:
        known = (*FLOATING, "Embedding", *MODULES)
        return [kind for kind in known if kind in self.tuner.tuner_layer_cls.kinds]

    def configured(self, case: Case, **more: Any) -> AdapterConfig:
        given = {"target_modules": ["first", "second"], **self.settings_for(case), **more}
        return self.config(**given)

    def adapted(self, case: Case, dtype: torch.dtype = torch.float32) -> peft.PeftModel:
        torch.manual_seed(2)
        return peft.get_peft_model(case.net(dtype), self.configured(case)).eval()

    def cases(self, data: st.DataObject) -> Iterator[Case]:
        """One drawn case of every type of layer the tuner takes."""
        for kind in self.kinds:
            yield drawn(kind, data.draw, self.multiple, self.square)

    def one(self) -> Case:
        """A fixed case of the first type."""
        known = ("Linear", "Conv2d", "Conv1d", *MODULES)
        return fixed(next(kind for kind in known if kind in self.kinds), 4 * self.multiple)

    def linear(self) -> Case:
        """A fixed dense case, wide enough for quantization blocks."""
        if "Linear" not in self.kinds:
            pytest.skip("the tuner takes no dense layer")
        width = 64 * self.multiple // 4 if self.multiple > 4 else 64
        sample = torch.randn(4, width, generator=torch.Generator().manual_seed(3))
        return Case("Linear", lambda: nn.Linear(width, width), sample)

    # -- start, and what trains ----------------------------------------------------------------

    def test_it_takes_some_layer(self) -> None:
        assert self.kinds, "the tuner takes none of the layer types of the contract"

    @_QUICK
    @given(data=st.data())
    def test_it_starts_at_the_base_model(self, data: st.DataObject) -> None:
        for case in self.cases(data):
            for dtype in (torch.float32, torch.bfloat16):
                x = case.input(dtype)
                with_adapter, base = _out(self.adapted(case, dtype), x), _out(case.net(dtype), x)
                assert with_adapter.dtype == base.dtype
                if not self.changes_at_start:
                    assert _apart(with_adapter, base) <= (1e-5 if dtype == torch.float32 else 1e-2)

    @_QUICK
    @given(data=st.data())
    def test_only_its_own_parameters_train_and_are_as_many_as_said(
        self, data: st.DataObject
    ) -> None:
        for case in self.cases(data):
            model = self.adapted(case)
            trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
            assert trained, "nothing trains"
            prefix = f".{self.tuner.prefix}"
            strangers = [name for name in trained if prefix not in name]
            assert not strangers, f"{strangers} train"
            config = model.peft_config["default"]
            parts = [self.count(case, layer, config) for layer in self.layers(model)]
            if None not in parts:
                expected = sum(part for part in parts if part is not None)
                found = sum(p.numel() for p in trained.values())
                assert found == expected + self.shared_count(config)

    def layers(self, model: nn.Module) -> list[nn.Module]:
        kind = self.tuner.tuner_layer_cls
        return [module for module in model.modules() if isinstance(module, kind)]

    @_QUICK
    @given(data=st.data())
    def test_every_trainable_tensor_gets_a_gradient_and_the_base_none(
        self, data: st.DataObject
    ) -> None:
        for case in self.cases(data):
            model = self.adapted(case).train()
            waiting = {n: p for n, p in model.named_parameters() if p.requires_grad}
            frozen = {n: p.clone() for n, p in model.named_parameters() if n not in waiting}
            stepper = torch.optim.AdamW(list(waiting.values()), lr=1e-2, weight_decay=0.1)
            for _ in range(2):
                loss = model(case.sample, labels=torch.tensor([0, 1, 2, 0]))["loss"]
                loss.backward()
                fed = [n for n, p in waiting.items() if p.grad is not None and p.grad.any()]
                for name in fed:
                    del waiting[name]
                stepper.step()
                stepper.zero_grad()
            assert not waiting, f"{case.kind}: no gradient for {sorted(waiting)}"
            now = dict(model.named_parameters())
            assert all(torch.equal(now[name], value) for name, value in frozen.items())

    # -- the update ----------------------------------------------------------------------------

    @_QUICK
    @given(data=st.data())
    def test_merging_changes_nothing_and_unmerging_restores_the_bits(
        self, data: st.DataObject
    ) -> None:
        if not self.tuner.tuner_layer_cls.additive:
            pytest.skip("the tuner does not merge")
        for case in self.cases(data):
            for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
                x, model = case.input(dtype), self.adapted(case, dtype)
                _settle(model)
                expected = _out(model, x)
                layer = model.get_base_model().first
                base, parts = layer.get_base_layer(), dict(vars(layer))
                before = base.weight.detach().clone()
                with torch.autograd.graph.saved_tensors_hooks(_unwanted, _unwanted):
                    model.merge_adapter()
                assert _apart(_out(model, x), expected) <= tolerance
                assert not torch.equal(base.weight, before), "merging left the weight alone"
                for _ in range(2):  # where nothing is merged, it does nothing
                    model.unmerge_adapter()
                assert torch.equal(base.weight, before), "unmerging left a trace"
                assert vars(layer) == parts, "unmerging kept something"
                assert torch.equal(_out(model, x), expected)
                plain = model.merge_and_unload(safe_merge=True)
                assert _structure(plain) == _structure(case.net())
                assert _apart(_out(plain, x), expected) <= tolerance

    def test_a_merge_into_bfloat16_is_as_good_as_its_rounding(self) -> None:
        if not self.tuner.tuner_layer_cls.additive:
            pytest.skip("the tuner does not merge")
        case = self.one()
        x, model = case.input(torch.bfloat16), self.adapted(case, torch.bfloat16)
        _settle(model)
        expected = _out(model, x)
        assert _apart(_out(model.merge_and_unload(), x), expected) <= 0.05

    def test_a_tuner_that_cannot_merge_says_so_and_stays_whole(self) -> None:
        if self.tuner.tuner_layer_cls.additive:
            pytest.skip("the tuner merges")
        case = self.one()
        model = self.adapted(case)
        _settle(model)
        expected = _out(model, case.sample)
        for merge in (model.merge_adapter, model.merge_and_unload):
            with pytest.raises(InputError, match="cannot be merged into the base weights"):
                merge()
        assert torch.equal(_out(model, case.sample), expected)
        assert torch.equal(_out(model.unload(), case.sample), _out(case.net(), case.sample))

    def test_a_broken_adapter_is_not_merged_safely(self) -> None:
        if not self.tuner.tuner_layer_cls.additive:
            pytest.skip("the tuner does not merge")
        for dtype, value in ((torch.float32, float("nan")), (torch.float16, 1e6)):
            model = self.adapted(self.one(), dtype)
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.data.fill_(value)
            with pytest.raises(InputError, match="must give finite values"):
                model.merge_and_unload(safe_merge=True)

    def test_the_scale_scales_the_update(self) -> None:
        if not self.scales:
            pytest.skip("what it adds has no factor")
        case = self.one()
        model = self.adapted(case).double()
        _settle(model)
        x = case.sample.double()
        layer = self.layers(model)[0]
        bare, full = layer.get_base_layer()(x), layer(x)
        assert _apart(bare, full) > 1e-3
        layer.scale_layer(0.5)
        assert _apart(layer(x) - bare, 0.5 * (full - bare)) <= 1e-10
        layer.unscale_layer(0.5)
        assert _apart(layer(x), full) <= 1e-10
        layer.set_scale("default", 0.0)
        assert _apart(layer(x), bare) <= 1e-10
        layer.unscale_layer()
        assert torch.equal(layer(x), full)

    @_QUICK
    @given(data=st.data())
    def test_it_becomes_lora_where_it_says_so(self, data: st.DataObject) -> None:
        for case in self.cases(data):
            model = self.adapted(case)
            _settle(model)
            layers = self.layers(model)
            able = [layer.supports_lora_conversion() for layer in layers]
            dense = self.tuner.tuner_layer_cls.additive and case.kind in ("Linear", "Conv1D")
            assert able == [dense and layer.bias_delta("default") is None for layer in layers]
            if all(able):
                config, tensors = peft.convert_to_lora(model, min(layers[0].shape))
                twin = peft.get_peft_model(case.net(), config)
                peft.set_peft_model_state_dict(twin, tensors)
                assert _apart(_out(twin, case.sample), _out(model, case.sample)) <= 1e-4

    # -- files ---------------------------------------------------------------------------------

    @_QUICK
    @given(data=st.data())
    def test_a_saved_adapter_loads_bit_for_bit(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        for case in self.cases(data):
            folder = tmp_path_factory.mktemp("saved")
            model = self.adapted(case)
            _settle(model)
            expected = _out(model, case.sample)
            model.save_pretrained(str(folder))
            for low in (False, True):
                twin = peft.PeftModel.from_pretrained(
                    case.net(), str(folder), low_cpu_mem_usage=low
                )
                assert torch.equal(_out(twin.eval(), case.sample), expected)
                assert not any(p.requires_grad for p in twin.parameters())
            again = peft.PeftModel.from_pretrained(case.net(), str(folder), is_trainable=True)
            assert _trained(again) == _trained(model), "loading changed what trains"
            assert self._settings(again) == self._settings(model), "loading changed the settings"

    def _settings(self, model: peft.PeftModel) -> dict[str, Any]:
        """The configuration but for what peft itself keeps in one."""
        found = vars(model.peft_config["default"])
        return {name: value for name, value in found.items() if name not in vars(peft.PeftConfig())}

    def test_the_file_holds_the_adapter_and_nothing_twice(self, tmp_path: Path) -> None:
        model = self.adapted(self.one())
        for _ in range(2):
            model.save_pretrained(str(tmp_path))
        saved = load_file(tmp_path / "adapter_model.safetensors")
        base = [key for key in saved if f".{self.tuner.prefix}" not in key]
        assert not base, f"the file holds {base}"
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        floating = [value for key, value in saved.items() if not self._frozen(key)]
        assert sum(v.numel() for v in floating if v.is_floating_point()) == trained
        assert {f.suffix for f in tmp_path.iterdir()} == {".json", ".safetensors", ".md"}
        card = (tmp_path / "README.md").read_text()
        assert card.count(f"import {self.config.__module__}") == 1
        model.peft_config["default"].save_pretrained(str(tmp_path / "bare"))  # without a card
        said = (tmp_path / "bare" / "adapter_config.json").read_text()
        assert f'"peft_version": "{peft.__version__}"' in said

    def _frozen(self, key: str) -> bool:
        names = self.tuner.tuner_layer_cls.frozen_names
        return any(f".{name}" in key for name in names)

    def test_it_loads_in_a_fresh_process(self, tmp_path: Path) -> None:
        if not getattr(importlib.import_module(self.config.__module__), "__file__", None):
            pytest.skip("the tuner is not in a module that another process can import")
        case = self.one()
        model = self.adapted(case)
        _settle(model)
        model.save_pretrained(str(tmp_path / "adapter"))
        tensors = {"x": case.sample, "y": _out(model, case.sample)}
        tensors |= {f"net.{name}": value for name, value in case.net().state_dict().items()}
        save_file({k: v.contiguous() for k, v in tensors.items()}, tmp_path / "case.safetensors")
        code = _FRESH.format(module=self.config.__module__, kind=case.kind, size=4 * self.multiple)
        run = subprocess.run(  # noqa: S603 - our own interpreter on our own text
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr[-2000:]

    # -- several adapters ----------------------------------------------------------------------

    def test_adapters_are_added_switched_disabled_and_deleted(self, tmp_path: Path) -> None:
        case = self.one()
        x, model = case.sample, self.adapted(case)
        base = _out(case.net(), x)
        _settle(model)
        first = _out(model, x)
        model.save_pretrained(str(tmp_path))
        model.add_adapter("other", self.configured(case, target_modules=["first"]))
        assert torch.equal(_out(model, x), first), "a new adapter is not active by itself"
        model.set_adapter("other")
        trained = _trained(model)
        assert trained, "the active adapter does not train"
        assert all(".other" in name for name in trained), "the inactive adapter trains"
        if not self.changes_at_start:
            assert _apart(_out(model, x), base) <= 1e-5
        with model.disable_adapter():
            assert torch.equal(_out(model, x), base)
        model.load_adapter(str(tmp_path), "again")
        model.set_adapter("again")
        assert torch.equal(_out(model, x), first)
        model.delete_adapter("default")
        model.delete_adapter("other")
        left = [key for key in model.state_dict() if ".default" in key or ".other" in key]
        for layer in self.layers(model):
            stores = {**vars(layer), **dict(layer.named_children())}
            kept = {name: set(v.keys()) for name, v in stores.items() if hasattr(v, "keys")}
            left += [name for name, adapters in kept.items() if adapters & {"default", "other"}]
        assert not left, f"deleting left {left}"
        assert torch.equal(_out(model, x), first)

    def test_two_active_adapters_act_together(self) -> None:
        if not self.tuner.tuner_layer_cls.additive:
            pytest.skip("only additive updates add up")
        case = self.one()
        model = self.adapted(case).double()
        _settle(model)
        model.add_adapter("other", self.configured(case, target_modules=["first"]))
        model.double()
        model.set_adapter("other")
        _settle(model)
        layer, x = self.layers(model)[0], case.sample.double()
        bare, parts = layer.get_base_layer()(x), []
        for name in ("default", "other"):
            model.set_adapter(name)
            parts.append(layer(x) - bare)
        model.base_model.set_adapter(["default", "other"])
        assert _apart(layer(x) - bare, parts[0] + parts[1]) <= 1e-10
        expected = _out(model, x)
        model.merge_adapter()
        assert _apart(_out(model, x), expected) <= 1e-10
        model.unmerge_adapter()
        assert torch.equal(_out(model, x), expected)
        model.merge_adapter()
        with model.disable_adapter():
            assert torch.equal(layer(x), bare), "disabling left what was merged"

    def test_a_copy_is_a_copy(self) -> None:
        case = self.one()
        model = self.adapted(case)
        _settle(model)
        expected = _out(model, case.sample)
        twin = copy.deepcopy(model)
        _settle(model)
        assert torch.equal(_out(twin, case.sample), expected)
        _settle(twin)
        assert torch.equal(_out(twin, case.sample), _out(model, case.sample))
        trained = _trained(twin)
        model.delete_adapter("default")
        twin.set_adapter("default")
        assert _trained(twin) == trained, "one model changed what trains in the other"

    # -- quantized bases -----------------------------------------------------------------------

    @pytest.mark.parametrize("bits", [8, 4])
    def test_it_sits_on_a_quantized_base(self, bits: int, tmp_path: Path) -> None:
        dense = self.linear()
        case = Case("Linear", lambda: quantized(dense.make(), bits), dense.sample)
        model, x = self.adapted(case), case.sample
        start = 2e-2 if bits == 8 else 1e-4  # 8-bit products round the activations too
        if not self.changes_at_start:
            assert _apart(_out(model, x), _out(case.net(), x)) <= start
        model.train()
        model(x, labels=torch.tensor([0, 1, 2, 0]))["loss"].backward()
        model.eval()
        assert any(p.grad is not None for p in model.parameters() if p.requires_grad)
        _settle(model)
        expected = _out(model, x)
        model.save_pretrained(str(tmp_path))
        twin = peft.PeftModel.from_pretrained(case.net(), str(tmp_path)).eval()
        assert torch.equal(_out(twin, x), expected)
        if self.tuner.tuner_layer_cls.additive:
            model.merge_adapter()
            assert _apart(_out(model, x), expected) <= 0.2  # quantized again
            model.unmerge_adapter()
            assert torch.equal(_out(model, x), expected)

    # -- what is refused leaves no trace -------------------------------------------------------

    def refused(self, case: Case, match: str, name: str = "default", **more: Any) -> None:
        """The configuration is refused in one line and the network is as before."""
        net = case.net()
        before = _structure(net)
        with pytest.raises(InputError, match=match) as caught:
            peft.get_peft_model(net, self.configured(case, **more), adapter_name=name)
        assert "\n" not in str(caught.value)
        assert _structure(net) == before
        assert not hasattr(net, "peft_config")

    def test_targets_that_match_nothing_are_refused(self) -> None:
        self.refused(self.one(), "target_modules must name layers", target_modules=["nowhere"])

    def test_a_layer_it_cannot_adapt_is_refused_before_any_is_replaced(self) -> None:
        case = self.one()
        net = case.net()
        net.third = nn.Bilinear(2, 2, 2)
        before = _structure(net)
        config = self.configured(case, target_modules=["first", "third"])
        with pytest.raises(InputError, match="third: Bilinear") as caught:
            peft.get_peft_model(net, config)
        assert "\n" not in str(caught.value)
        assert _structure(net) == before

    def test_a_name_that_peft_would_lose_is_refused(self) -> None:
        self.refused(self.one(), "must not be part of", name=self.config.kind.lower())

    def test_a_parametrized_layer_is_refused(self) -> None:
        case = self.one()
        if case.kind in MODULES:
            pytest.skip("the tuner takes modules of several layers")
        weighted = nn.utils.parametrizations.weight_norm
        self.refused(Case(case.kind, lambda: weighted(case.make()), case.sample), "parametrized")

    def test_a_second_method_of_the_name_is_refused(self) -> None:
        stranger = type("Stranger", (AdapterTuner,), {"tuner_layer_cls": None})
        with pytest.raises(ParsimonyError, match="already"):
            register(self.config)(stranger)

    def test_batches_of_mixed_adapters_are_refused(self) -> None:
        case = self.one()
        with pytest.raises(InputError, match="one set of adapters per batch"):
            self.adapted(case)(case.sample, adapter_names=["default"] * 4)

    def test_a_tied_head_is_not_merged(self) -> None:
        if not self.tuner.tuner_layer_cls.additive:
            pytest.skip("the tuner does not merge")
        case = self.linear()
        model = pretrained.build(tiny.config("gpt2"), "causal-lm")
        assert model.config.tie_word_embeddings
        adapted = peft.get_peft_model(model, self.configured(case, target_modules=["lm_head"]))
        with pytest.raises(InputError, match="tied weights"):
            adapted.merge_and_unload()

    # -- the ecosystem -------------------------------------------------------------------------

    def test_transformers_trainer_trains_it(self, tmp_path: Path) -> None:
        case = self.one()
        model = self.adapted(case)
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        rows = [{"x": case.sample[i], "labels": torch.tensor(i % 3)} for i in range(4)]
        arguments = TrainingArguments(
            output_dir=str(tmp_path), max_steps=3, learning_rate=1e-2, use_cpu=True,
            report_to=[], disable_tqdm=True, save_strategy="no", remove_unused_columns=False,
        )  # fmt: skip
        Trainer(model=model, args=arguments, train_dataset=rows).train()
        for name, parameter in model.named_parameters():
            assert torch.equal(parameter, before[name]) != parameter.requires_grad, name

    def test_transformers_models_take_it_or_say_why_not(self) -> None:
        case = self.linear()
        model = pretrained.build(tiny.config("llama"), "causal-lm")
        target = ["o_proj"]
        assert set(target) <= {name.rpartition(".")[2] for name in linear_modules(model, [])}
        config = self.configured(case, target_modules=target)
        if self.tuner.uses_shared_state:
            with pytest.raises(ValueError, match="shared state"):
                model.add_adapter(config)
            return
        ids = torch.tensor([[1, 2, 3]])
        base = model(input_ids=ids).logits
        model.add_adapter(config)
        _settle(model)
        assert not torch.equal(model(input_ids=ids).logits, base)
        model.disable_adapters()
        assert torch.equal(model(input_ids=ids).logits, base)
        model.delete_adapter("default")
        assert not [key for key in model.state_dict() if self.tuner.prefix in key]


# What a user's new process does: import the tuner's module, build the base, load.
_FRESH = """
import sys
from pathlib import Path
import {module}
import peft, torch
from safetensors.torch import load_file
from parsimony.testing.layer_cases import Net, fixed
folder = Path(sys.argv[1])
# A tensor mapped from a file need not be aligned, and products of such may be rounded otherwise.
tensors = {{k: v.clone() for k, v in load_file(folder / "case.safetensors").items()}}
weights = {{k[4:]: v for k, v in tensors.items() if k.startswith("net.")}}
net = Net(fixed("{kind}", {size}).make, tensors["x"])
net.load_state_dict(weights)
model = peft.PeftModel.from_pretrained(net, str(folder / "adapter")).eval()
with torch.no_grad():
    found = model(tensors["x"])["logits"]
assert torch.equal(found, tensors["y"]), (found - tensors["y"]).abs().max()
"""
