"""Distillation: losses against what they are defined as, independence of pieces, refusals."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from small_unets import LEVELS, rows, said, unet  # noqa: E402

from parsimony.compress.assembly import (  # noqa: E402
    Plan,
    Weights,
    add_experts,
    assemble,
    settings,
    train_joint,
    train_pieces,
)
from parsimony.compress.assembly.distillation import Joint, Piece, light  # noqa: E402
from parsimony.compress.assembly.noising import collate  # noqa: E402
from parsimony.core.errors import InputError  # noqa: E402

mse = torch.nn.functional.mse_loss


def batch(count: int = 4) -> dict[str, torch.Tensor]:
    return collate([rows()[i] for i in range(count)])


def state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def changed(network: torch.nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in network.state_dict().items()
            if not torch.equal(value, before[name])}  # fmt: skip


def calls(network: torch.nn.Module, given: dict[str, torch.Tensor], *paths: str) -> list[Any]:
    """What modules hand back in one forward pass."""
    seen: dict[str, Any] = {}
    handles = [
        network.get_submodule(path).register_forward_hook(
            lambda module, args, output, path=path: seen.__setitem__(path, output)
        )
        for path in paths
    ]
    with torch.no_grad():
        network(**{k: v for k, v in given.items() if k not in ("target", "labels")})
    for handle in handles:
        handle.remove()
    return [seen[path] for path in paths]


@pytest.mark.parametrize("name", ["D0", "D2", "M", "U0", "U2"])
def test_a_full_piece_has_no_loss_and_stays_so(name: str) -> None:
    teacher = unet()
    piece = Piece(teacher, assemble(teacher, Plan()), name)
    before = state(piece)
    optimizer = torch.optim.AdamW(piece.parameters(), 1e-2, weight_decay=0.0)
    for _ in range(3):
        loss = piece(**batch())["loss"]
        assert loss.item() == 0
        loss.backward()
        optimizer.step()
    assert not changed(piece, before)


def test_a_down_piece_learns_the_residuals_that_stay() -> None:
    teacher = unet()
    student = assemble(teacher, Plan(("D1",)))
    (before, theirs) = calls(teacher, batch(), "down_blocks.0", "down_blocks.1")
    emb = calls(teacher, batch(), "time_embedding")[0]
    context = batch()["encoder_hidden_states"]
    ours = student.down_blocks[1](hidden_states=before[0], temb=emb, encoder_hidden_states=context)
    wanted = mse(ours[1][0], theirs[1][1]) + mse(ours[0], theirs[0])
    torch.testing.assert_close(Piece(teacher, student, "D1")(**batch())["loss"], wanted)


def test_an_up_piece_reads_the_outer_skip_connections() -> None:
    teacher = unet()
    student = assemble(teacher, Plan(("U1",)))
    first, skips, emb, theirs = calls(
        teacher, batch(), "up_blocks.0", "down_blocks.1", "time_embedding", "up_blocks.1"
    )
    (outer,) = calls(teacher, batch(), "down_blocks.0")
    ours = student.up_blocks[1](
        hidden_states=first, temb=emb, res_hidden_states_tuple=(outer[1][-1], skips[1][1]),
        encoder_hidden_states=batch()["encoder_hidden_states"],
    )  # fmt: skip
    found = Piece(teacher, student, "U1")(**batch())["loss"]
    torch.testing.assert_close(found, mse(ours, theirs))


def test_the_innermost_block_of_fewer_levels_learns_what_came_before_the_downsampler() -> None:
    teacher = unet()
    student = assemble(teacher, Plan(("D1",), ("M", "D2")))
    before, theirs, emb = calls(
        teacher, batch(), "down_blocks.0", "down_blocks.1", "time_embedding"
    )
    ours, _ = student.down_blocks[1](
        hidden_states=before[0], temb=emb,
        encoder_hidden_states=batch()["encoder_hidden_states"],
    )  # fmt: skip
    assert len(theirs[1]) == 3
    found = Piece(teacher, student, "D1")(**batch())["loss"]
    torch.testing.assert_close(found, mse(ours, theirs[1][1]))


def test_the_joint_loss_is_the_weighted_sum_of_three() -> None:
    teacher = unet()
    student = assemble(teacher, Plan(LEVELS, ("M",)))
    given = batch()
    paths = [*(f"down_blocks.{i}" for i in range(3)), *(f"up_blocks.{i}" for i in range(3))]
    theirs, ours = calls(teacher, given, *paths), calls(student, given, *paths)
    feature = sum(mse(a, b) for a, b in zip(ours[3:], theirs[3:], strict=True))
    for a, b in zip(ours[:3], theirs[:3], strict=True):
        feature += sum(mse(mine, old) for mine, old in zip(a[1], b[1][1:], strict=True))
    inputs = {k: v for k, v in given.items() if k not in ("target", "labels")}
    task, output = mse(said(student, **inputs), given["target"]), mse(
        said(student, **inputs), said(teacher, **inputs)
    )  # fmt: skip
    found = Joint(teacher, student, Weights(2.0, 3.0, 0.5))(**given)
    torch.testing.assert_close(found["loss"], 2 * task + 3 * output + 0.5 * feature)
    alone = Joint(None, student, Weights(1.0, 0.0, 0.0))(**given)
    torch.testing.assert_close(alone["loss"], task)


def test_pieces_train_one_by_one_and_know_nothing_of_each_other(tmp_path: Path) -> None:
    teacher = unet()
    before = state(teacher)
    recipe = settings(3, 1e-2, batch_size=4)
    assert light(teacher, assemble(teacher, Plan(LEVELS))) == ["D0", "D1", "D2", "U0", "U1", "U2"]
    all_of_them, one = (assemble(teacher, Plan(("D1",))) for _ in range(2))
    start = state(one)
    steps: list[int] = []
    train_pieces(teacher, all_of_them, rows(), recipe, tmp_path / "all", on_step=steps.append)
    assert {folder.name for folder in (tmp_path / "all").iterdir()} == {"D1", "U1"}
    train_pieces(teacher, one, rows(), recipe, tmp_path / "one", names=["U1"])
    assert steps == [1, 2, 3] * 2
    assert not changed(teacher, before)
    moved = changed(one, start)
    assert moved and all(name.startswith("up_blocks.1.") for name in moved)
    assert {
        name.rsplit("_blocks.")[0] + name.split(".")[1] for name in changed(all_of_them, start)
    } == {"down1", "up1"}
    assert all(torch.equal(one.state_dict()[n], all_of_them.state_dict()[n]) for n in moved)


def test_a_piece_comes_nearer_to_its_teacher(tmp_path: Path) -> None:
    teacher = unet()
    student = assemble(teacher, Plan(("D1",)))
    before = Piece(teacher, student, "U1")(**batch())["loss"].item()
    train_pieces(teacher, student, rows(200), settings(25, 3e-3, batch_size=8), tmp_path,
                 names=["U1"], keep=False)  # fmt: skip
    assert Piece(teacher, student, "U1")(**batch())["loss"].item() < before


def test_the_rate_is_constant_and_no_weight_decays() -> None:
    recipe = settings(50)
    assert (recipe.learning_rate, recipe.warmup, recipe.weight_decay) == (5e-5, 0.0, 0.0)
    parameter = torch.nn.Parameter(torch.zeros(2))
    from parsimony.core.schedules import Course, schedules

    optimizer = torch.optim.AdamW([parameter], recipe.learning_rate)
    course = Course(recipe.learning_rate, 4, 1, 200, recipe.warmup)
    found = schedules()[recipe.schedule].of_run(optimizer, course, recipe.schedule_options)
    rates = []
    for _ in range(50):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        found.expect(4)
        found.step()
    assert set(rates) == {5e-5}


def test_joint_training_moves_the_student_and_its_experts_alone(tmp_path: Path) -> None:
    teacher = unet()
    student = assemble(teacher, Plan(LEVELS, ("M",)))
    add_experts(student, teacher)
    before, start = state(teacher), state(student)
    train_joint(teacher, student, rows(), settings(3, 1e-3, batch_size=4), tmp_path, keep=False)
    assert not changed(teacher, before)
    assert changed(student, start) == set(start)
    events = (tmp_path / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in events] == [1, 2, 3]


def test_a_stopped_training_ends_as_one_that_was_never_stopped(tmp_path: Path) -> None:
    teacher = unet()
    whole = assemble(teacher, Plan(LEVELS))
    parts = copy.deepcopy(whole)
    recipe = settings(4, 1e-3, batch_size=4)
    train_joint(teacher, whole, rows(), recipe, tmp_path / "whole")
    train_joint(teacher, parts, rows(), recipe, tmp_path / "parts", stop_after=2)
    again = assemble(teacher, Plan(LEVELS))
    train_joint(teacher, again, rows(), recipe, tmp_path / "parts")
    assert not changed(again, state(whole))


def test_checkpointing_changes_no_weight_and_is_off_afterwards(tmp_path: Path) -> None:
    teacher = unet()
    plain = assemble(teacher, Plan(LEVELS))
    again = copy.deepcopy(plain)
    recomputed = []
    # Counted on entry: torch stops a recomputation once it has all that the backward pass needs.
    again.down_blocks[0].resnets[0].register_forward_pre_hook(lambda *_: recomputed.append(1))
    for name, student in [("plain", plain), ("again", again)]:
        recipe = settings(2, 1e-3, batch_size=4, checkpointing=name == "again")
        train_joint(teacher, student, rows(), recipe, tmp_path / name, keep=False)
    assert len(recomputed) == 4
    assert not changed(again, state(plain))
    assert not again.is_gradient_checkpointing


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"in_channels": 2},
            r"rows must have 2 channels and contexts of width 8, but got \(1, 8\)",
        ),
        ({"cross_attention_dim": 16}, r"1 channels and contexts of width 16, but got \(1, 8\)"),
    ],
)
def test_rows_that_do_not_fit_are_refused(
    tmp_path: Path, change: dict[str, int], text: str
) -> None:
    teacher = unet(**change)
    with pytest.raises(InputError, match=text):
        train_pieces(teacher, assemble(teacher, Plan(LEVELS)), rows(), settings(2), tmp_path)


def test_what_cannot_be_trained_is_refused(tmp_path: Path) -> None:
    teacher = unet()
    student = assemble(teacher, Plan(LEVELS))
    recipe = settings(2, batch_size=4)
    with pytest.raises(InputError, match=r"no such part, but got 'D9'. Did you mean"):
        train_pieces(teacher, student, rows(), recipe, tmp_path, names=["D9"])
    with pytest.raises(InputError, match=r"must be at least 0, but got Weights\(task=-1"):
        Joint(teacher, student, Weights(task=-1.0))
    with pytest.raises(InputError, match=r"losses to a teacher need one"):
        train_joint(None, student, rows(), recipe, tmp_path)
    narrow = student.to(torch.bfloat16)
    with pytest.raises(InputError, match=r"in float32, but got 'torch.bfloat16'. Call .float()"):
        train_joint(teacher, narrow, rows(), recipe, tmp_path)
