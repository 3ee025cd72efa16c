"""AWQ: the contract, its scales, and its searches."""

import pytest
import torch
from compressed import model, windows
from correlated import correlated, seen

from parsimony.compress.grid import Grid
from parsimony.compress.quantize.awq import CLIPS, RATIOS, best_clip, scales
from parsimony.compress.quantizing import quantize
from parsimony.compress.statistics import Hessian
from parsimony.testing.quantizer_contract import QuantizerContract


class TestAWQ(QuantizerContract):
    specs = ("awq:w3g16-asym", "awq+gptq:w4")


def test_the_scales_by_hand():
    assert RATIOS[:2] == [0, 0.05] and RATIOS[-1] == 0.95
    assert scales(torch.tensor([1.0, 4.0, 16.0]), 0.5).tolist() == pytest.approx([0.5, 1, 2])
    assert scales(torch.tensor([1.0, 4.0, 16.0]), 0.0).tolist() == [1, 1, 1]
    assert scales(torch.tensor([0.0, 1.0]), 0.5).isfinite().all()


@pytest.mark.parametrize("grid", [Grid(2, 16), Grid(3, None, False)], ids=str)
def test_a_group_is_clipped_to_the_least_error_of_its_part_of_the_output(grid):
    inputs = correlated()
    weight = torch.randn(4, 48, generator=torch.Generator().manual_seed(2))
    clips = best_clip(weight, seen(Hessian, inputs).matrix, grid)
    groups = grid.groups(48)
    assert clips.shape == (4, groups, 1)
    parts = inputs.double().unflatten(1, (groups, -1))
    errors = []
    for clip in CLIPS:
        off = (grid.codes(weight, clip=clip).weight() - weight).double().unflatten(1, (groups, -1))
        errors.append(torch.einsum("tgs,ogs->tog", parts, off).square().sum(0))
    best = torch.tensor(CLIPS)[torch.stack(errors).argmin(0)]
    assert torch.equal(clips[..., 0], best)
    assert len(best.unique()) > 1


def test_queries_and_keys_are_not_clipped_and_the_ratios_are_told():
    from parsimony.compress.quantize.awq import AWQ
    from parsimony.compress.walk import Walk

    block = Walk(model("llama"), windows(), 4).block(0)
    folded = AWQ().fold(block, block.groups(), Grid(3, 16), 0)
    assert {name.rpartition(".")[2] for name in folded.clips} == {
        "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    }  # fmt: skip
    assert {name.rpartition(".")[2] for name in folded.skipped} == {"o_proj"}
    ratios = quantize(model("llama"), "awq:w3g16", windows()).blocks[0]["ratios"]
    assert set(ratios.values()) <= set(RATIOS) and any(ratios.values())
