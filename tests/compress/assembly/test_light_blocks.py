"""Assembly: the teacher's weights in place, equality where nothing is cut, refusals."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from diffusers import UNet2DConditionModel, UNet2DModel  # noqa: E402
from small_unets import LEVELS, said, unet  # noqa: E402

from parsimony.compress.assembly import Plan, assemble  # noqa: E402
from parsimony.compress.assembly.light_blocks import origins  # noqa: E402
from parsimony.core.errors import InputError  # noqa: E402


def test_an_untouched_assembly_is_the_teacher() -> None:
    teacher = unet()
    student = assemble(teacher, Plan())
    assert torch.equal(said(student), said(teacher))
    assert not any(
        a.data_ptr() == b.data_ptr()
        for a, b in zip(student.parameters(), teacher.parameters(), strict=True)
    )


def test_a_light_level_keeps_the_outer_layers_of_both_its_blocks() -> None:
    teacher = unet()
    student = assemble(teacher, Plan(light=("D1",)))
    assert student.config.layers_per_block == (2, 1, 2)
    ours, theirs = student.state_dict(), teacher.state_dict()
    for mine, old in [
        ("down_blocks.1.resnets.0", "down_blocks.1.resnets.0"),
        ("down_blocks.1.downsamplers.0.conv", "down_blocks.1.downsamplers.0.conv"),
        ("up_blocks.1.resnets.0", "up_blocks.1.resnets.0"),
        ("up_blocks.1.resnets.1", "up_blocks.1.resnets.2"),
        ("up_blocks.1.attentions.1", "up_blocks.1.attentions.2"),
        ("up_blocks.2.resnets.1", "up_blocks.2.resnets.1"),
    ]:
        names = [name for name in ours if name.startswith(f"{mine}.")]
        assert names
        assert all(torch.equal(ours[n], theirs[n.replace(mine, old, 1)]) for n in names)


def test_either_block_of_a_level_names_it() -> None:
    teacher = unet()
    one, other = (assemble(teacher, Plan(light=(name,))) for name in ("D0", "U2"))
    assert torch.equal(said(one), said(other))


def test_removed_levels_are_the_inner_ones() -> None:
    teacher = unet()
    student = assemble(teacher, Plan(light=("D0",), removed=("M", "U0")))
    assert student.mid_block is None
    assert student.config.layers_per_block == (1, 2)
    assert student.config.down_block_types == ("CrossAttnDownBlock2D",) * 2
    assert {k: (o.name, o.kept, o.dropped) for k, o in origins(teacher, student).items()} == {
        "D0": ("D0", (0,), (1,)),
        "D1": ("D1", (0, 1), ()),
        "U0": ("U1", (0, 1, 2), ()),
        "U1": ("U2", (0, 2), (1,)),
    }
    old = teacher.up_blocks[1].resnets[2].conv1.weight
    assert torch.equal(student.up_blocks[0].resnets[2].conv1.weight, old)
    assert said(student).shape == said(teacher).shape


@pytest.mark.parametrize("plan", [Plan(LEVELS), Plan(("D0",), ("M", "D2"))])
def test_diffusers_alone_loads_what_it_saved(tmp_path: Path, plan: Plan) -> None:
    student = assemble(unet(), plan)
    student.save_pretrained(tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {
        "config.json",
        "diffusion_pytorch_model.safetensors",
    }
    assert torch.equal(said(UNet2DConditionModel.from_pretrained(tmp_path)), said(student))


def test_the_type_and_the_mode_stay() -> None:
    teacher = unet().to(torch.bfloat16).train()
    student = assemble(teacher, Plan(LEVELS))
    assert student.training
    assert {p.dtype for p in student.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (Plan(("d0",)), r"no such part, but got 'd0'. Did you mean 'D0'\? Known: D0, D1, D2, U0"),
        (Plan(("M",)), r"no such part, but got 'M'. Known: D0"),
        (Plan((), ("D3",)), r"no such part, but got 'D3'. Did you mean"),
        (Plan((), ("D1",)), r"only the innermost levels.*but got \['D1'\]. Name D2 first"),
        (Plan((), LEVELS), r"only the innermost levels can be removed, and one must stay"),
        (Plan(("U0",), ("D2",)), r"made light or removed, not both, but got 'D2'"),
        (Plan((), ("D2", "D1")), r"as wide as the one before it, but got \[8, 16, 16\]"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(plan: Plan, text: str) -> None:
    with pytest.raises(InputError, match=text):
        assemble(unet(), plan)


def test_a_light_block_is_not_made_lighter() -> None:
    once = assemble(unet(), Plan(("D1",)))
    with pytest.raises(InputError, match=r"one layer cannot be made lighter, but got 'U1'"):
        assemble(once, Plan(("U1",)))


def test_other_networks_are_refused_with_what_is_supported() -> None:
    other = UNet2DModel(
        sample_size=8, block_out_channels=(8,), down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",), norm_num_groups=4, layers_per_block=1,
    )  # fmt: skip
    with pytest.raises(InputError, match=r"got 'UNet2DModel'. Supported: a UNet2DConditionModel"):
        assemble(other, Plan())


def test_a_student_of_another_teacher_is_refused() -> None:
    student = assemble(unet(), Plan(LEVELS))
    with pytest.raises(InputError, match=r"teacher's block_out_channels \(8, 8, 8\), but got"):
        origins(unet(block_out_channels=(8, 8, 8)), student)
