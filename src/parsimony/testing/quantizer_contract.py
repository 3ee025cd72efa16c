"""The contract of every way to quantize; inherit it to test one.

    from parsimony.testing.quantizer_contract import QuantizerContract

    class TestMine(QuantizerContract):
        specs = ("mine:w4g16", "mine:w8a8")

Each check runs for every spec on tiny BERT, GPT-2 and Llama models (``testing.tiny``). A model that
a transform refuses is skipped; it must accept one.
"""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from parsimony.compress import masks as masking
from parsimony.compress.grid import Grid
from parsimony.compress.pruning import prune
from parsimony.compress.quantizer import Call, Coded, Rounding, Spec
from parsimony.compress.quantizing import Quantized, quantize
from parsimony.compress.walk import matrix
from parsimony.core.errors import InputError
from parsimony.core.prunable import block_linears
from parsimony.testing import tiny

WINDOWS = torch.randint(3, 200, (5, 12), generator=torch.Generator().manual_seed(1))
BATCH = 2  # so that the last batch has another size


class Kept(Rounding):
    """Rounds nothing: what a transform alone does."""

    name = "kept"

    def round(self, weight: Tensor, call: Call) -> tuple[Coded, str]:
        return _Kept(weight.clone()), ""

    def pack(self, codes: Any) -> dict[str, Tensor]:
        return {"values": codes.values}

    def unpack(self, tensors: Any, grid: Any, weight: Tensor) -> Coded:
        return _Kept(tensors["values"])


class _Kept:
    def __init__(self, values: Tensor) -> None:
        self.values = values

    def weight(self, dtype: torch.dtype | None = None) -> Tensor:
        return self.values.to(dtype or self.values.dtype)


@torch.no_grad()
def outputs(model: nn.Module, windows: Tensor = WINDOWS) -> Tensor:
    """What a model makes of token ids."""
    found = model(input_ids=windows)
    made: Tensor = found.logits if "logits" in found else found.last_hidden_state
    return made


def apart(found: Tensor, wanted: Tensor) -> float:
    """Relative distance of two tensors, by their norms."""
    return float((found - wanted).norm() / wanted.norm())


@functools.cache
def _accepted(spec: str, architecture: str) -> bool:
    try:
        quantize(tiny.model(architecture), spec, WINDOWS, batch=BATCH)
    except InputError:
        return False
    return True


class Stopped(Exception):  # noqa: N818 (no fault)
    """A pass was stopped on purpose."""


class QuantizerContract:
    """Inherit as ``TestX`` and set ``specs``.

    Attributes:
        specs: as users write them.
        blocks_only: whether nothing outside the blocks may change.
    """

    specs: ClassVar[tuple[str, ...]]
    blocks_only: ClassVar[bool] = True

    @pytest.fixture(params=tiny.ARCHITECTURES)
    def architecture(self, request: pytest.FixtureRequest) -> str:
        return str(request.param)

    def pytest_generate_tests(self, metafunc: Any) -> None:
        """pytest's hook: every check for every spec."""
        if "spec" in metafunc.fixturenames:
            metafunc.parametrize("spec", self.specs)

    def quantized(self, spec: str, architecture: str, **how: Any) -> tuple[nn.Module, Quantized]:
        """A fresh model, quantized."""
        if not _accepted(spec, architecture):
            pytest.skip("the transform refuses this model")
        model = tiny.model(architecture)
        return model, quantize(model, spec, WINDOWS, batch=BATCH, **how)

    def test_it_takes_some_model(self, spec: str) -> None:
        assert any(_accepted(spec, architecture) for architecture in tiny.ARCHITECTURES)

    def test_its_text_reads_back(self, spec: str) -> None:
        assert str(Spec.parse(spec)) == str(Spec.parse(str(Spec.parse(spec))))

    def test_codes_are_what_the_model_holds(self, spec: str, architecture: str) -> None:
        model, found = self.quantized(spec, architecture)
        layers = block_linears(model)
        assert list(found.codes) == list(layers)
        for name, layer in layers.items():
            held = matrix(layer)
            assert torch.equal(found.codes[name].weight(held.dtype), held), name

    def test_the_same_again(self, spec: str, architecture: str) -> None:
        first, second = (self.quantized(spec, architecture)[0].state_dict() for _ in range(2))
        assert all(torch.equal(value, second[name]) for name, value in first.items())

    def test_a_stopped_pass_ends_in_the_same_bytes(
        self, spec: str, architecture: str, tmp_path: Path
    ) -> None:
        whole, expected = self.quantized(spec, architecture)
        for after in range(1, 3):
            left = after

            def stop(done: float) -> None:
                nonlocal left
                left -= 1
                if not left:
                    raise Stopped

            journal = tmp_path / str(after)
            with pytest.raises(Stopped):
                self.quantized(spec, architecture, journal=journal, progress=stop)
            model, found = self.quantized(spec, architecture, journal=journal)
            state = whole.state_dict()
            assert all(torch.equal(value, state[n]) for n, value in model.state_dict().items())
            assert torch.equal(outputs(model), outputs(whole)), "hooks are not as they were"
            assert found.blocks == expected.blocks
            assert found.notes == expected.notes
            for name, codes in expected.codes.items():
                assert torch.equal(found.codes[name].weight(), codes.weight()), name

    def test_pruned_weights_stay_zero(self, spec: str, architecture: str) -> None:
        model = tiny.model(architecture)
        masks = prune(model, "0.5").masks
        transform = Spec.parse(spec).transform
        if transform is not None and not transform.keeps_zeros:
            with pytest.raises(InputError, match="pruned weights would not stay zero"):
                quantize(model, spec, WINDOWS, masks=masks, batch=BATCH)
            return
        with torch.no_grad():  # also where they were not zero to begin with
            for name in masks:
                model.get_parameter(name).add_(0.01)
        found = quantize(model, spec, WINDOWS, masks=masks, batch=BATCH)
        assert masking.intact(model, masks)
        for name, layer in block_linears(model).items():
            mask = masks[f"{name}.weight"]
            shaped = mask if isinstance(layer, nn.Linear) else mask.T
            assert not found.codes[name].weight()[~shaped].any(), name

    def test_nothing_outside_the_blocks_changes(self, spec: str, architecture: str) -> None:
        model, _ = self.quantized(spec, architecture)
        if not self.blocks_only:
            pytest.skip("it changes the whole model")
        before = tiny.model(architecture).state_dict()
        inside = {name.rpartition(".")[0] for name in block_linears(model)}
        paths = tuple({name.partition(".0.")[0] + "." for name in inside if ".0." in name})
        for name, value in model.state_dict().items():
            if not name.startswith(paths):
                assert torch.equal(value, before[name]), name

    def test_activations_can_be_left(self, spec: str, architecture: str) -> None:
        model, found = self.quantized(spec, architecture)
        rounded = outputs(model)
        found.leave_activations()
        plain = outputs(model)
        assert torch.equal(rounded, plain) == (found.activations is None)
        assert bool(found.handles) == (found.activations is not None)

    def test_a_second_time_is_refused(self, spec: str, architecture: str) -> None:
        model, _ = self.quantized(spec, architecture)
        with pytest.raises(InputError, match="must not be quantized already"):
            quantize(copy.deepcopy(model), spec, WINDOWS)

    def test_before_rounding_no_output_changes(self, spec: str, architecture: str) -> None:
        transform = Spec.parse(spec).transform
        if transform is None or not _accepted(spec, architecture):
            pytest.skip("nothing but rounding")
        model = tiny.model(architecture).double()
        wanted, state = outputs(model), copy.deepcopy(model.state_dict())
        quantize(model, Spec(Kept(), Grid(4), transform), WINDOWS, batch=BATCH)
        assert apart(outputs(model), wanted) < 1e-5
        after = model.state_dict()
        assert any(not torch.equal(after[name], state[name]) for name in state), "it does nothing"
