"""FLoRA: the Tucker form, its two forwards, ranks per axis, and updates turned into it."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any, ClassVar

import peft
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from parsimony.adapt.methods.flora import (
    FloraConfig,
    FloraLayer,
    extract,
    multiply,
    tucker_extract,
)
from parsimony.core.errors import InputError
from parsimony.testing.adapter_contract import AdapterContract, Case

pytestmark = pytest.mark.filterwarnings("ignore:ranks larger than their axis")


class TestTuner(AdapterContract):
    config = FloraConfig
    settings: ClassVar = {"r": 3, "scale": 0.7}

    def count(self, case: Case, layer: nn.Module, config: Any) -> int:
        """Sum of d_i r_i and the product of r_i."""
        ranks = [min(3, d) for d in layer.shape[:2]] + [min(2, d) for d in layer.shape[2:]]
        return sum(d * r for d, r in zip(layer.shape, ranks, strict=True)) + math.prod(ranks)

    def test_a_transposed_convolution_is_refused_by_name(self) -> None:
        case = self.one()
        net = case.net()
        net.third = nn.ConvTranspose2d(4, 4, 3)
        with pytest.raises(InputError, match=r"flora adapts Linear, .*third: ConvTranspose2d"):
            peft.get_peft_model(net, self.configured(case, target_modules=["first", "third"]))


def adapted(layer: nn.Module, **given: Any) -> peft.PeftModel:
    """A layer under FLoRA with a random core, in float64."""
    torch.manual_seed(0)
    given = {"r": 3, **given}
    model = peft.get_peft_model(nn.Sequential(layer), FloraConfig(target_modules=["0"], **given))
    model = model.double()
    flora(model).flora_G["default"].data.normal_()
    return model


def flora(model: nn.Module) -> FloraLayer:
    return next(layer for layer in model.modules() if isinstance(layer, FloraLayer))


EQUATIONS = {
    2: "ab,oa,ib->oi",
    3: "abc,oa,ib,hc->oih",
    4: "abcd,oa,ib,hc,wd->oihw",
    5: "abcde,oa,ib,hc,wd,ze->oihwz",
}


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(6, 8), (2, 3, 6)),
        (nn.Linear(6, 8, bias=False), (6,)),
        (Conv1D(8, 6), (2, 3, 6)),
        (nn.Conv1d(6, 8, 5, stride=2, padding=3, padding_mode="circular"), (2, 6, 9)),
        (nn.Conv2d(6, 8, 1), (2, 6, 5, 5)),
        (nn.Conv2d(6, 8, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2)), (2, 6, 12, 14)),
        (nn.Conv2d(6, 8, 3, padding="same", padding_mode="reflect"), (6, 7, 7)),
        (nn.Conv2d(6, 8, 3, groups=2), (2, 6, 5, 5)),
        (nn.Conv2d(6, 12, 7, groups=6, padding=3), (2, 6, 9, 9)),
        (nn.Conv3d(6, 8, (1, 3, 2), padding=1), (2, 6, 4, 5, 6)),
    ],
    ids=str,
)
def test_both_forwards_are_the_base_layer_s_under_the_published_weight(
    layer: nn.Module, shape: tuple[int, ...]
) -> None:
    model = adapted(layer, scale=0.7)
    ours, x = flora(model), torch.randn(*shape, dtype=torch.float64)
    thin = ours.thin("default")
    update = 0.7 * torch.einsum(EQUATIONS[len(thin)], ours.flora_G["default"], *thin)
    plain = copy.deepcopy(ours.base_layer)
    plain.weight.data += update.T if isinstance(layer, Conv1D) else update
    expected = plain(x)
    assert torch.allclose(model(x), expected, rtol=1e-10, atol=1e-10)
    formed = ours.base_layer(x) + ours.apply_weight(x, 0.7 * ours.delta("default"))
    assert torch.allclose(formed, expected, rtol=1e-10, atol=1e-10)


def test_an_embedding_gets_a_matrix_per_axis() -> None:
    model = adapted(nn.Embedding(9, 6, padding_idx=0), scale=0.7)
    ours, ids = flora(model), torch.tensor([[0, 3], [8, 3]])
    rows, columns = ours.thin("default")
    expected = ours.base_layer.weight + 0.7 * rows @ ours.flora_G["default"] @ columns.T
    assert torch.allclose(model(ids), expected[ids], rtol=1e-12)


def test_the_cheap_forward_keeps_narrow_activations() -> None:
    """A 64-channel 3 x 3 layer: per position r_in + r_out channels for backward, and the input."""
    layer = nn.Conv2d(64, 64, 3, padding=1)
    ours, x = flora(adapted(layer, r=4).float()), torch.randn(1, 64, 8, 8)
    kept = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.shape[-2:] == (8, 8):
            kept.append(tensor.shape[1])
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        ours.update("default", x)
    assert sorted(kept) == [4, 4, 64]


def test_it_starts_as_the_authors_code() -> None:
    for init, expected in (("kaiming", math.sqrt(0.5 / 8)), ("normal", 0.02)):
        model = peft.get_peft_model(
            nn.Sequential(nn.Conv2d(512, 512, 3)), FloraConfig(target_modules=["0"], init=init)
        )
        ours = flora(model)
        assert not ours.flora_G["default"].any()
        for matrix in ours.thin("default")[:2]:
            assert matrix.std().item() == pytest.approx(expected, rel=0.03)


def test_the_count_of_the_official_layer() -> None:
    model = adapted(nn.Conv2d(8, 12, 3), r=[5, 4, 2, 2])
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 184


@pytest.mark.parametrize(
    ("layer", "given", "scale"),
    [
        (nn.Linear(8, 8), {}, 2.0),
        (nn.Conv2d(8, 8, 3), {}, 4.0),
        (nn.Conv2d(8, 8, 3), {"scale": 1.5}, 1.5),
        (nn.Conv2d(8, 8, 3), {"alpha": 6.0, "r": [2, 4, 1, 1]}, 1.5),
    ],
)
def test_the_scale(layer: nn.Module, given: dict[str, Any], scale: float) -> None:
    assert flora(adapted(layer, **given)).scaling["default"] == scale


def test_dropout_acts_on_the_adapter_s_input_alone() -> None:
    model = adapted(nn.Conv2d(6, 8, 3), dropout=0.5).train()
    x = torch.randn(2, 6, 8, 8, dtype=torch.float64)
    torch.manual_seed(4)
    found = model(x)
    torch.manual_seed(4)
    ours, dropped = flora(model), functional.dropout(x, 0.5)
    update = functional.conv2d(dropped, ours.get_delta_weight("default"))
    assert torch.allclose(found, ours.base_layer(x) + update, rtol=1e-10, atol=1e-10)


def test_layers_may_have_ranks_of_their_own() -> None:
    net = nn.ModuleDict({"a": nn.Conv2d(8, 8, 3), "b": nn.Linear(8, 8), "c": nn.Linear(8, 8)})
    config = FloraConfig(
        r=2, rank_pattern={"a": [3, 4, 1, 2], "b": 5}, target_modules=["a", "b", "c"]
    )
    model = peft.get_peft_model(net, config).base_model.model
    assert [tuple(model[k].flora_G["default"].shape) for k in "abc"] == [
        (3, 4, 1, 2),
        (5, 5),
        (2, 2),
    ]


# -- a given update ----------------------------------------------------------------------------


def tucker(shape: tuple[int, ...], ranks: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    """A random tensor of these multilinear ranks and unit norm, in float64."""
    random = torch.Generator().manual_seed(seed)
    core = torch.randn(*ranks, generator=random, dtype=torch.float64)
    thin = [
        torch.randn(d, r, generator=random, dtype=torch.float64)
        for d, r in zip(shape, ranks, strict=True)
    ]
    found = multiply(core, thin)
    return found / found.norm()


def test_what_has_the_ranks_is_recovered_exactly_where_matrices_need_more() -> None:
    target = tucker((32, 24, 5, 5), (4, 4, 2, 2))
    core, thin, error = tucker_extract(target, [4, 4, 2, 2])
    assert core.numel() + sum(u.numel() for u in thin) == 308 and error <= 1e-12
    for u in thin:
        assert torch.allclose(u.T @ u, torch.eye(u.shape[1], dtype=torch.float64), atol=1e-12)
    # Both LoRA forms as matrices: (k out) x (k in), and out x (in k k).
    flattened = torch.linalg.matrix_rank(target.permute(0, 2, 1, 3).reshape(160, 120))
    assert flattened == 8 and 8 * (160 + 120) == 2240
    assert torch.linalg.matrix_rank(target.flatten(1)) == 4 and 4 * (32 + 24 * 25) == 2528


@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(
    shape=st.lists(st.integers(1, 6), min_size=2, max_size=5),
    data=st.data(),
    seed=st.integers(0, 9),
)
def test_the_error_is_within_what_the_unfoldings_leave(
    shape: list[int], data: st.DataObject, seed: int
) -> None:
    ranks = [data.draw(st.integers(1, d)) for d in shape]
    target = torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()
    core, thin, error = tucker_extract(target, ranks)
    assert torch.isclose(
        (target - multiply(core, thin)).norm() / target.norm(),
        torch.tensor(error, dtype=torch.float64),
        atol=1e-9,
    )
    left = [
        torch.linalg.svdvals(target.movedim(axis, 0).flatten(1))[r:].square().sum()
        for axis, r in enumerate(ranks)
    ]
    worst, bound = max(left).sqrt() / target.norm(), sum(left).sqrt() / target.norm()
    assert worst - 1e-9 <= error <= bound + 1e-9


def test_a_tuned_network_becomes_a_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    base = nn.Sequential(nn.Conv2d(4, 6, 3), nn.Flatten(), nn.Linear(96, 8))
    tuned = copy.deepcopy(base)
    tuned[0].weight.data += tucker((6, 4, 3, 3), (2, 3, 2, 1)).float()
    tuned[2].weight.data += tucker((8, 96), (2, 2)).float()
    config = FloraConfig(
        target_modules=["0", "2"], r=2, rank_pattern={"0": [2, 3, 2, 1]}, alpha=6.0
    )
    model = peft.get_peft_model(copy.deepcopy(base), config)
    table = extract(model, tuned)
    assert list(table.layer) == ["0", "2"] and table.error.max() <= 1e-5
    assert table.ranks[0] == [2, 3, 2, 1]
    model.save_pretrained(str(tmp_path))
    twin, x = peft.PeftModel.from_pretrained(base, str(tmp_path)), torch.randn(5, 4, 6, 6)
    assert torch.allclose(twin(x), tuned(x), atol=1e-5)

    tuned[2] = nn.Linear(96, 7)
    with pytest.raises(InputError, match=r"2 of the tuned model must have the shape \(8, 96\)"):
        extract(model, tuned)
    with pytest.raises(InputError, match="no FLoRA adapter of that name, but got 'other'"):
        extract(model, tuned, adapter="other")


@pytest.mark.parametrize("ranks", [[2, 2], [2, 2, 2, 4], [0, 2, 2, 2]])
def test_ranks_that_do_not_fit_an_update_are_refused(ranks: list[int]) -> None:
    with pytest.raises(InputError, match="a rank from 1 to the size of each axis, but got"):
        tucker_extract(torch.ones(3, 3, 3, 3), ranks)


def test_an_update_that_is_not_finite_is_refused_and_none_has_no_error() -> None:
    with pytest.raises(InputError, match="must be finite"):
        tucker_extract(torch.tensor([[1.0, math.inf]]), [1, 1])
    assert tucker_extract(torch.zeros(3, 4), [1, 1])[2] == 0.0


# -- what it refuses or tells of ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "given", "message"),
    [
        (nn.Conv2d(8, 8, 3), {"r": [2, 2]}, r"0 \(Conv2d\) takes 4 ranks: outputs, inputs, kh, kw"),
        (nn.Conv3d(8, 8, 3), {"r": [2] * 4}, "takes 5 ranks: outputs, inputs, kd, kh, kw, but got"),
        (nn.Linear(8, 8), {"r": [2] * 4}, r"Linear. takes 2 ranks: outputs, inputs, but got \[2"),
        (nn.Embedding(8, 8), {"r": [2]}, r"\(Embedding\) takes 2 ranks: rows, columns"),
        (nn.Embedding(8, 8), {"dropout": 0.1}, "takes no dropout, since its input is an index"),
        (nn.Embedding(8, 8, max_norm=1.0), {}, "must have no max_norm"),
        (nn.Linear(8, 8), {"r": 0}, "a rank must be a whole number of at least 1, but got 0"),
        (nn.Linear(8, 8), {"r": [2, -1]}, "whole number of at least 1, but got -1"),
        (nn.Linear(8, 8), {"kernel": 0}, "whole number of at least 1, but got 0"),
        (nn.Linear(8, 8), {"init": "kaimin"}, "init must be kaiming or normal.*kaiming"),
        (nn.Linear(8, 8), {"scale": 1.0, "alpha": 2.0}, "scale and alpha exclude each other"),
        (
            nn.Conv2d(8, 8, (3, 1)),
            {"strict": True},
            r"a rank may not be larger than its axis.*0 \[3, 3, 2, 2\] to \[3, 3, 2, 1\]",
        ),
    ],
)
def test_what_it_refuses(layer: nn.Module, given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        adapted(layer, **given)


def test_lowered_ranks_are_told_once() -> None:
    net = nn.Sequential(*[nn.Conv2d(8, 8, 1) for _ in range(5)])
    config = FloraConfig(target_modules=[str(n) for n in range(5)], r=4)
    with pytest.warns(UserWarning, match=r"lowered: 0 \[4, 4, 2, 2\] to \[4, 4, 1, 1\].* 2 more"):
        peft.get_peft_model(net, config)
