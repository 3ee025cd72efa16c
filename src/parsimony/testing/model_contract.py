"""The contract of every architecture in ``parsimony.models``; inherit it to test one.

    from parsimony.testing.model_contract import ModelContract

    class TestMine(ModelContract):
        auto = AutoModelForMaskedLM
        config = MineConfig(hidden_size=32, ...)

It checks what transformers, ``core.cost`` and ``core.training`` ask of a model of tokens: found by
the Auto classes, saved and loaded exactly, counted without weights, padded without a change, and
trained by the one trainer, which ends in the same bytes however often it is stopped.
"""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import nn
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel

from parsimony.core import cost, registry
from parsimony.core.training import TrainSettings, train

LENGTH, ROWS = 12, 8

_FRESH_PROCESS = """
import sys
import torch, transformers
import parsimony.models
model = getattr(transformers, sys.argv[1]).from_pretrained(sys.argv[2])
ids = torch.arange(1, 7)[None]
print(type(model).__name__, model.eval()(input_ids=ids).logits.double().sum().item().hex())
"""


class ModelContract:
    """What is relied on; set ``auto`` and ``config`` in the class that inherits it."""

    auto: ClassVar[Any]
    """transformers' Auto class that finds the model."""
    config: ClassVar[PretrainedConfig]
    """Of a small model, at least ten tokens in its vocabulary; no dropout."""

    def build(self, seed: int = 0) -> PreTrainedModel:
        """Random weights; no vector is left at its start of 0 or 1."""
        torch.manual_seed(seed)
        model: PreTrainedModel = self.auto.from_config(copy.deepcopy(self.config))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=0.02)
        return model

    def ids(self, rows: int = 2, length: int = LENGTH) -> torch.Tensor:
        """Token ids that may occur in a text; [rows, length]."""
        return torch.randint(0, 10, (rows, length), generator=torch.Generator().manual_seed(1))

    def logits(self, model: nn.Module, **inputs: torch.Tensor) -> torch.Tensor:
        """In evaluation mode."""
        with torch.no_grad():
            found: torch.Tensor = model.eval()(**inputs).logits
        return found

    def gradients(self, model: PreTrainedModel) -> dict[str, torch.Tensor]:
        """Of one training step."""
        torch.manual_seed(0)
        model.train()
        model.zero_grad()
        ids = self.ids()
        model(input_ids=ids, labels=ids).loss.backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    def test_the_registry_imports_its_module(self) -> None:
        module = type(self.config).__module__
        names = registry.modules("parsimony.models")
        assert any(f"{module}.".startswith(f"{name}.") for name in names)

    def test_auto_classes_find_it(self) -> None:
        made = AutoConfig.for_model(self.config.model_type)
        assert type(made) is type(self.config)
        assert type(self.build().config) is type(self.config)

    def test_it_is_saved_as_safetensors_and_loaded_exactly(self, tmp_path: Path) -> None:
        model = self.build()
        model.save_pretrained(tmp_path)
        suffixes = {file.suffix for file in tmp_path.iterdir()}
        assert ".safetensors" in suffixes and suffixes <= {".json", ".safetensors"}
        loaded = self.auto.from_pretrained(tmp_path)
        assert type(loaded) is type(model)
        assert loaded.config.to_diff_dict() == model.config.to_diff_dict()
        saved, found = model.state_dict(), loaded.state_dict()
        assert list(saved) == list(found)
        assert all(torch.equal(saved[name], found[name]) for name in saved)
        assert torch.equal(*(self.logits(m, input_ids=self.ids()) for m in (model, loaded)))

    def test_a_fresh_process_loads_it_once_the_models_are_imported(self, tmp_path: Path) -> None:
        model = self.build()
        model.save_pretrained(tmp_path)
        command = [sys.executable, "-c", _FRESH_PROCESS, self.auto.__name__, str(tmp_path)]
        done = subprocess.run(  # noqa: S603 - our own interpreter on our own text
            command, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        total = self.logits(model, input_ids=torch.arange(1, 7)[None]).double().sum().item().hex()
        assert done.stdout.split() == [type(model).__name__, total]

    def test_parameters_are_counted_without_weights(self) -> None:
        meta = cost.on_meta(lambda: self.auto.from_config(self.config))
        assert all(p.is_meta for p in meta.parameters())
        assert cost.count(meta) == cost.count(self.build())

    def test_a_training_step_is_traced_without_weights(self) -> None:
        meta = cost.on_meta(lambda: self.auto.from_config(copy.deepcopy(self.config)))
        ids = self.ids()
        found = cost.trace_step(
            meta, lambda: {"input_ids": ids, "labels": ids}, lambda p: torch.optim.AdamW(list(p))
        )
        assert found.peak_bytes > 3 * found.weight_bytes and found.flops > 0

    def test_padding_changes_nothing(self) -> None:
        model, ids = self.build(), self.ids(length=LENGTH)
        mask = torch.ones_like(ids)
        mask[0, LENGTH // 2 :] = 0
        padded = self.logits(model, input_ids=ids, attention_mask=mask)
        alone = self.logits(model, input_ids=ids[:1, : LENGTH // 2])
        torch.testing.assert_close(padded[:1, : LENGTH // 2], alone)
        torch.testing.assert_close(padded[1:], self.logits(model, input_ids=ids[1:]))

    def test_every_trainable_tensor_gets_a_gradient(self) -> None:
        model = self.build()
        found = self.gradients(model)
        assert found.keys() == {n for n, p in model.named_parameters() if p.requires_grad}
        assert [name for name, value in found.items() if not value.any()] == []

    def test_checkpointing_changes_no_gradient(self) -> None:
        model = self.build()
        plain = self.gradients(model)
        model.gradient_checkpointing_enable({"use_reentrant": False})
        assert model.is_gradient_checkpointing
        found = self.gradients(model)
        assert plain.keys() == found.keys()
        assert all(torch.equal(plain[name], found[name]) for name in plain)

    def test_a_training_stopped_twice_ends_in_the_same_bytes(self, tmp_path: Path) -> None:
        rows: Any = [{"input_ids": row} for row in self.ids(ROWS)]

        def collate(some: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
            ids = torch.stack([row["input_ids"] for row in some])
            return {"input_ids": ids, "labels": ids}

        files = []
        for folder, stops in (("once", (6,)), ("twice", (1, 4, 6))):
            for stop in stops:
                train(
                    self.build(), rows, collate, TrainSettings(0.01, 6, batch_size=2),
                    tmp_path / folder, stop_after=stop,
                )  # fmt: skip
            last = tmp_path / folder / "checkpoints/checkpoint-6"
            files.append([(last / name).read_bytes() for name in
                          ("model.safetensors", "optimizer.pt")])  # fmt: skip
            files[-1].append((tmp_path / folder / "events.jsonl").read_bytes())
        assert files[0] == files[1]
