"""Conditional convolutions: a kernel per image, the start, what they cost, saving and loading."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from diffusers import UNet2DConditionModel  # noqa: E402
from small_unets import LEVELS, inputs, said, unet  # noqa: E402

from parsimony.compress.assembly import (  # noqa: E402
    ConditionalConv2d,
    Plan,
    add_experts,
    assemble,
    load,
    save,
)
from parsimony.core.cost import on_meta  # noqa: E402
from parsimony.core.errors import ArtifactError, InputError  # noqa: E402
from parsimony.core.unets import Counted  # noqa: E402


def plain(inputs: int = 4, outputs: int = 6, **options: object) -> torch.nn.Conv2d:
    torch.manual_seed(0)
    return torch.nn.Conv2d(inputs, outputs, 3, padding=1, **options)


def conditional(experts: int = 3) -> ConditionalConv2d:
    """With experts and a router of random weights."""
    like = plain()
    found = ConditionalConv2d(like, [torch.randn_like(like.weight) for _ in range(experts)])
    for weight in found.router.parameters():
        torch.nn.init.normal_(weight)
    return found


@pytest.mark.parametrize("stride", [1, 2])
def test_each_image_has_its_own_mixed_kernel(stride: int) -> None:
    like = plain(stride=stride)
    conv = ConditionalConv2d(like, [torch.randn_like(like.weight) for _ in range(3)])
    torch.nn.init.normal_(conv.router.weight)
    images = torch.randn(5, 4, 7, 6)
    found = conv(images)
    assert found.shape == like(images).shape
    for image, y in zip(images.double(), found, strict=True):
        logits = conv.router.weight.double() @ image.mean((1, 2)) + conv.router.bias.double()
        kernel = (torch.sigmoid(logits).view(3, 1, 1, 1, 1) * conv.kernels.double()).sum(0)
        wanted = torch.nn.functional.conv2d(
            image[None], kernel, conv.bias.double(), stride=stride, padding=1
        )
        torch.testing.assert_close(y[None], wanted.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("experts", [2, 3, 5])
def test_copies_are_the_convolution_they_stand_for(experts: int) -> None:
    like, images = plain(), torch.randn(5, 4, 7, 6)
    conv = ConditionalConv2d(like, [like.weight] * experts)
    torch.testing.assert_close(conv(images), like(images), rtol=0, atol=1e-5)


def test_the_start_is_the_average_of_the_experts() -> None:
    like, images = plain(), torch.randn(5, 4, 7, 6)
    other = torch.randn_like(like.weight)
    conv = ConditionalConv2d(like, [like.weight, other])
    mean = torch.nn.functional.conv2d(images, (like.weight + other) / 2, like.bias, padding=1)
    torch.testing.assert_close(conv(images), mean, rtol=0, atol=1e-5)


def test_experts_that_are_copies_stay_equal_in_training() -> None:
    like = plain()
    conv = ConditionalConv2d(like, [like.weight] * 2)
    optimizer = torch.optim.AdamW(conv.parameters(), 1e-2)
    for step in range(3):
        images = torch.randn(4, 4, 5, 5, generator=torch.Generator().manual_seed(step))
        conv(images).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.testing.assert_close(conv.kernels[0], conv.kernels[1])
    assert not torch.allclose(conv.kernels[0], like.weight)


@pytest.mark.parametrize("experts", [2, 4])
def test_parameters_and_costs_follow_their_formulas(experts: int) -> None:
    teacher = on_meta(unet)
    light = assemble(teacher, Plan(LEVELS))
    mixed = assemble(teacher, Plan(LEVELS))
    paths = add_experts(mixed, teacher, experts)
    shapes = [light.get_submodule(path).weight.shape for path in paths]
    old, new = Counted(light, tokens=4).of(), Counted(mixed, tokens=4).of()
    assert len(paths) == 2 * (3 + 6)  # two convolutions of each resnet, 3 down and 3 x 2 up
    assert new.parameters - old.parameters == sum(
        (experts - 1) * (o * i * 9) + experts * (i + 1) for o, i, *_ in shapes
    )
    extra = sum(experts * (o * i * 9) + experts * i for o, i, *_ in shapes)  # mixing, routing
    assert new.macs - old.macs == new.conv_linear_macs - old.conv_linear_macs == extra
    twice = (
        Counted(mixed, tokens=4, batch=2).of().macs - Counted(light, tokens=4, batch=2).of().macs
    )
    assert twice == 2 * extra


def test_the_extra_cost_does_not_depend_on_the_resolution() -> None:
    teacher = on_meta(unet)
    light, mixed = (assemble(teacher, Plan(("D0",))) for _ in range(2))
    add_experts(mixed, teacher)
    small, large = (
        Counted(mixed, latent=size).of().macs - Counted(light, latent=size).of().macs
        for size in (8, 16)
    )
    assert small == large > 0


def test_dropped_layers_give_their_kernels_where_they_fit() -> None:
    teacher = unet()
    student = assemble(teacher, Plan(("D0",)))
    paths = add_experts(student, teacher, experts=3)
    assert {path.rsplit(".", 2)[0] for path in paths} == {
        "down_blocks.0.resnets",
        "up_blocks.2.resnets",
    }
    first = student.down_blocks[0].resnets[0]
    kept, gone = teacher.down_blocks[0].resnets
    for conv in ("conv1", "conv2"):  # 8 channels in and out
        wanted = [
            getattr(kept, conv).weight,
            getattr(gone, conv).weight,
            getattr(kept, conv).weight,
        ]
        torch.testing.assert_close(getattr(first, conv).kernels * 3 / 2, torch.stack(wanted))
    kept, gone, _ = teacher.up_blocks[2].resnets
    up = student.up_blocks[2].resnets[0]
    assert kept.conv1.weight.shape != gone.conv1.weight.shape
    torch.testing.assert_close(up.conv1.kernels[1], up.conv1.kernels[0])
    torch.testing.assert_close(up.conv2.kernels[1] * 3 / 2, gone.conv2.weight)


def test_a_network_of_copies_says_what_the_plain_one_says() -> None:
    teacher = unet()
    student = assemble(teacher, Plan(LEVELS))
    before = said(student)
    same = copy.deepcopy(teacher)
    for name, gone in [("down_blocks", 1), ("up_blocks", 1)]:
        for block in getattr(same, name):
            for conv in ("conv1", "conv2"):  # shaped as no kept kernel, so that copies are taken
                setattr(block.resnets[gone], conv, torch.nn.Conv2d(3, 3, 3))
    add_experts(student, same)
    torch.testing.assert_close(said(student), before, rtol=0, atol=1e-5)


def test_it_is_saved_and_loaded_and_diffusers_alone_refuses_it(tmp_path: Path) -> None:
    teacher = unet()
    student = assemble(teacher, Plan(LEVELS))
    add_experts(student, teacher)
    for conv in student.modules():
        if isinstance(conv, ConditionalConv2d):
            torch.nn.init.normal_(conv.router.weight)
    save(student, tmp_path / "light")
    found = load(tmp_path / "light")
    assert torch.equal(said(found), said(student))
    assert not found.training
    with pytest.raises(OSError, match="no file named diffusion_pytorch_model"):
        UNet2DConditionModel.from_pretrained(tmp_path / "light")


def test_gradients_reach_experts_and_router() -> None:
    conv = conditional()
    conv(inputs()["sample"].expand(3, 4, 8, 8)).square().mean().backward()
    assert all(bool(p.grad.abs().sum() > 0) for p in conv.parameters())


def test_what_cannot_be_made_conditional_is_refused(tmp_path: Path) -> None:
    like, teacher = plain(), unet()
    with pytest.raises(InputError, match=r"at least 2 experts, but got 1"):
        ConditionalConv2d(like, [like.weight])
    with pytest.raises(InputError, match=r"the shape \(6, 4, 3, 3\), but got \(2, 4, 3, 3\)"):
        ConditionalConv2d(like, [like.weight, like.weight[:2]])
    grouped = plain(groups=2)
    with pytest.raises(InputError, match=r"only plain convolutions.*groups=2"):
        ConditionalConv2d(grouped, [grouped.weight] * 2)
    with pytest.raises(InputError, match=r"the student has none. Name light blocks in the plan"):
        add_experts(assemble(teacher, Plan()), teacher)
    with pytest.raises(InputError, match=r"no conditional convolutions. Save it with save_pretr"):
        save(teacher, tmp_path)


def test_a_folder_without_experts_or_of_another_config_is_refused(tmp_path: Path) -> None:
    teacher = unet()
    teacher.save_pretrained(tmp_path / "plain")
    with pytest.raises(ArtifactError, match=r"must hold conditional_unet.safetensors. Load a UNet"):
        load(tmp_path / "plain")
    student = assemble(teacher, Plan(LEVELS))
    add_experts(student, teacher)
    save(student, tmp_path / "light")
    teacher.save_config(tmp_path / "light")
    with pytest.raises(ArtifactError, match=r"conditional_unet.safetensors must fit config.json"):
        load(tmp_path / "light")
