import warnings

import pytest
import torch
from compressed import model, windows
from correlated import correlated, seen
from hypothesis import given, settings
from hypothesis import strategies as st

from parsimony.compress import masks as masking
from parsimony.compress.prune.sparsegpt import SparseGPT
from parsimony.compress.prune.wanda import Wanda
from parsimony.compress.pruner import Target, keep, pruners
from parsimony.compress.pruning import prune
from parsimony.compress.statistics import Hessian, Norms
from parsimony.compress.walk import matrix
from parsimony.core.errors import InputError
from parsimony.core.prunable import block_linears
from parsimony.testing.pruner_contract import PrunerContract


class TestMagnitude(PrunerContract):
    method = "magnitude"


class TestRandom(PrunerContract):
    method = "random"


class TestWanda(PrunerContract):
    method = "wanda"


class TestSparseGPT(PrunerContract):
    method = "sparsegpt"


def test_two_of_four_is_what_torch_calls_semi_structured():
    weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    pruned = weight * keep(weight.abs(), Target.parse("2:4"))
    assert ((pruned.reshape(-1, 4) != 0).sum(1) <= 2).all()


@given(
    rows=st.integers(1, 5), groups=st.integers(1, 6), seed=st.integers(0, 10),
    share=st.floats(0, 0.99), scope=st.sampled_from(["row", "layer"]), ties=st.booleans(),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_exactly_the_asked_number_goes_and_nothing_kept_is_smaller(
    rows, groups, seed, share, scope, ties
):
    scores = torch.randn(rows, groups * 4, generator=torch.Generator().manual_seed(seed))
    scores = scores.round() if ties else scores
    mask = keep(scores, Target(share, scope=scope))
    for kept, values in zip(mask, scores, strict=True) if scope == "row" else [(mask, scores)]:
        assert int((~kept).sum()) == round(kept.numel() * share)
        if kept.any() and not kept.all():
            assert values[kept].min() >= values[~kept].max()


def test_over_the_whole_model_one_threshold_holds():
    found = model("llama")
    before = {n: matrix(layer).abs() for n, layer in block_linears(model("llama")).items()}
    masks = prune(found, "0.6:model").masks
    kept = torch.cat([before[n][masks[f"{n}.weight"]] for n in before])
    gone = torch.cat([before[n][~masks[f"{n}.weight"]] for n in before])
    assert kept.min() >= gone.max()
    assert len(gone) == round((len(gone) + len(kept)) * 0.6)


def test_wanda_weighs_by_the_norm_of_the_feature_within_a_row():
    weight = torch.tensor([[1.0, -2.0, 3.0], [1.0, 5.0, 0.1]])
    inputs = torch.tensor([[9.0, 1.0, 0.1], [9.0, 1.0, 0.1]])
    pruned, mask = Wanda().prune(weight, seen(Norms, inputs), Target(2 / 3, scope="row"), None)
    assert mask.tolist() == [[True, False, False], [True, False, False]]
    assert pruned.tolist() == [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]


def test_wanda_sees_what_all_layers_of_a_block_read_before_any_of_them_is_pruned():
    dense, found = model("llama"), model("llama")
    name = list(block_linears(dense))[6]
    assert name.endswith("0.mlp.down_proj")  # the last of the first block
    layer = dense.get_submodule(name)
    norms = Norms(matrix(layer).shape[1])
    layer.register_forward_pre_hook(lambda _, args: norms.add(args[0]))
    with torch.no_grad():
        dense(input_ids=windows())
    masks = prune(found, "2:4", "wanda", windows(), batch=len(windows())).masks
    scores = Wanda().scores(matrix(layer), norms, None)
    assert torch.equal(masks[f"{name}.weight"], keep(scores, Target.parse("2:4")))


def test_sparsegpt_is_the_least_squares_answer_for_its_mask_where_only_the_last_columns_go():
    # With columns pruned left to right, the last kept columns are compensated in full only when
    # all that is pruned comes first; there the update is the exact least squares solution.
    inputs = correlated(width=6).double()
    weight = torch.randn(3, 6, generator=torch.Generator().manual_seed(1)).double()
    hessian = seen(Hessian, inputs.float())
    from parsimony.compress.curvature import inverse_factor

    exact = 2 * inputs.T @ inputs / len(inputs)
    upper = inverse_factor(exact, 1e-12).upper
    # Prune the first column by hand with the same recursion, compare with least squares.
    error = weight[:, 0] / upper[0, 0]
    updated = weight - error[:, None] * upper[0]
    best = torch.linalg.lstsq(inputs[:, 1:], inputs @ weight.T).solution.T
    torch.testing.assert_close(updated[:, 1:], best, rtol=1e-6, atol=1e-8)
    assert torch.allclose(hessian.matrix.double(), exact, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("target", ["0.5", "2:4", "0.7"])
def test_on_correlated_inputs_sparsegpt_beats_wanda_beats_magnitude(target):
    wins = []
    for seed in range(3):
        inputs = correlated(seed=seed)
        weight = torch.randn(32, 48, generator=torch.Generator().manual_seed(10 + seed))

        def error(method, inputs=inputs, weight=weight):
            way = pruners()[method]()
            wanted = Target.parse(target, way.scope)
            statistic = way.statistic and seen(way.statistic, inputs)
            pruned, _ = way.prune(weight, statistic, wanted, torch.Generator().manual_seed(0))
            return float((inputs @ (pruned - weight).T).square().mean())

        wins.append([error(m) for m in ("sparsegpt", "wanda", "magnitude", "random")])
    for best, better, plain, chance in wins:
        assert best < better < plain < chance


def test_a_dead_input_costs_nothing_and_a_broken_hessian_falls_back_to_wanda():
    inputs = correlated(width=16)
    inputs[:, 3] = 0
    weight = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    pruned, _ = SparseGPT().prune(weight, seen(Hessian, inputs), Target(0.5), None)
    assert pruned.isfinite().all() and not pruned[:, 3].any()
    broken = seen(Hessian, inputs)
    broken._sum[0, 0] = float("nan")
    broken._sum[1, 0] = float("nan")
    pruned, mask = SparseGPT().prune(weight, broken, Target(0.5, scope="row"), None)
    assert torch.equal(pruned, weight * mask)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: Target.parse("50"), "at least 0 and below 1, but got 50.0. Is it 0.5?"),
        (lambda: Target.parse("1.0"), "below 1"),
        (lambda: Target.parse("half"), "a share such as 0.5 or 50%, one with a scope"),
        (lambda: Target(0.4, (2, 4)), "the pattern 2:4 removes 0.5 of the weights"),
        (lambda: Target.parse("4:4"), "0 < n < m"),
        (lambda: Target.parse("0.5:rows"), "Did you mean 'row'"),
        (lambda: prune(model("llama"), "2:5"), r"layers.0.self_attn.q_proj: the pattern 2:5 needs"),
        (lambda: prune(model("llama"), "0.5", "wander"), "Did you mean 'wanda'"),
        (lambda: prune(model("llama"), "0.5", "wanda"), "wanda needs calibration data"),
        (
            lambda: prune(model("llama"), "0.5:model", "wanda", windows()),
            "the scope 'model' compares all layers at once",
        ),
    ],
)
def test_bad_input_is_explained(call, text):
    with pytest.raises(InputError, match=text):
        call()


def test_too_few_tokens_for_a_hessian_are_told_with_their_count():
    few = windows(count=2, length=12)
    with pytest.warns(UserWarning, match="24 tokens of calibration are fewer than the 64 inputs"):
        prune(model("llama"), "0.5", "sparsegpt", few)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prune(model("llama"), "0.5", "wanda", few)


def test_a_quantized_model_is_refused():
    found = model("llama")
    layer = found.model.layers[1].mlp.up_proj
    layer.weight = torch.nn.Parameter(layer.weight.data.to(torch.int8), requires_grad=False)
    with pytest.raises(InputError, match=r"layers.1.mlp.up_proj: pruning needs floating-point"):
        prune(found, "0.5")


def test_masks_survive_the_disk_and_know_a_kept_zero(tmp_path):
    found = model("gpt2")
    masks = prune(found, "0.37").masks
    with torch.no_grad():
        name, mask = next(iter(masks.items()))
        found.get_parameter(name).view(-1)[mask.reshape(-1).nonzero()[0]] = 0  # kept, and zero
    masking.save(masks, tmp_path)
    read = masking.load(tmp_path)
    assert all(torch.equal(read[name], masks[name]) for name in masks) and len(read) == len(masks)
    bits = sum(mask.numel() for mask in masks.values())
    assert bits / 8 <= (tmp_path / masking.NAME).stat().st_size < bits / 8 + 2000  # and a header
    with torch.no_grad():
        for parameter in found.parameters():
            parameter.add_(1)
    assert not masking.intact(found, masks)
    masking.apply(found, masks)
    assert masking.intact(found, masks)
    assert masking.load(tmp_path / "none") == {}
