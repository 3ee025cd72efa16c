"""The contract of every way to prune; inherit it to test one.

    from parsimony.testing.pruner_contract import PrunerContract

    class TestMine(PrunerContract):
        method = "mine"

Each check runs on tiny BERT, GPT-2 and Llama models (``testing.tiny``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from parsimony.compress import masks as masking
from parsimony.compress.pruner import Target, pruner
from parsimony.compress.pruning import Pruned, prune
from parsimony.core.prunable import block_linears
from parsimony.testing import tiny

TARGETS = ("0.5", "2:4", "4:8", "0.3")
WINDOWS = torch.randint(3, 200, (10, 12), generator=torch.Generator().manual_seed(1))


class Stopped(Exception):  # noqa: N818 (no fault)
    """A pass was stopped on purpose."""


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
class PrunerContract:
    """Inherit as ``TestX`` and set ``method``, the name of the way to prune."""

    method: ClassVar[str]

    def pruned(
        self, architecture: str, target: str = "0.5", **how: Any
    ) -> tuple[nn.Module, Pruned]:
        """A fresh model, pruned."""
        model = tiny.model(architecture)
        return model, prune(model, target, self.method, WINDOWS, batch=4, **how)

    @pytest.mark.parametrize("target", TARGETS)
    def test_it_removes_what_is_asked_and_changes_nothing_else(
        self, architecture: str, target: str
    ) -> None:
        model, found = self.pruned(architecture, target)
        wanted, layers = Target.parse(target), block_linears(model)
        assert set(found.masks) == {f"{name}.weight" for name in layers}
        assert masking.intact(model, found.masks)
        assert masking.sparsity(found.masks) == pytest.approx(wanted.sparsity, abs=0.02)
        for name, layer in layers.items():
            mask = found.masks[f"{name}.weight"]
            rows = mask if isinstance(layer, nn.Linear) else mask.T
            if wanted.pattern:
                n, m = wanted.pattern
                assert masking.follows(rows, n, m)
                assert int((~rows).sum()) == rows.numel() * n // m
        before = tiny.model(architecture).state_dict()
        for name, value in model.state_dict().items():
            if name not in found.masks:
                assert torch.equal(value, before[name]), name

    def test_the_same_again(self, architecture: str) -> None:
        first, second = (self.pruned(architecture)[0].state_dict() for _ in range(2))
        assert all(torch.equal(value, second[name]) for name, value in first.items())

    def test_a_stopped_pass_ends_in_the_same_bytes(self, architecture: str, tmp_path: Path) -> None:
        if pruner(self.method).statistic is None:
            pytest.skip("a method without data is done in one go")
        whole, expected = self.pruned(architecture)

        def stop(done: float) -> None:
            raise Stopped

        with pytest.raises(Stopped):
            self.pruned(architecture, journal=tmp_path, progress=stop)
        model, found = self.pruned(architecture, journal=tmp_path)
        state = whole.state_dict()
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
        assert all(torch.equal(mask, found.masks[n]) for n, mask in expected.masks.items())
        assert found.blocks == expected.blocks
