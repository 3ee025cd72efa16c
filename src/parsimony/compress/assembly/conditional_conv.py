"""Multi-expert conditional convolution: a kernel per image, mixed of several by what it reads.

    r = sigmoid(W mean(x) + b)                in R^E, one for each image
    y = (sum_e r_e K_e) * x + bias            a grouped convolution over the batch

Capacity grows with the experts; a convolution at resolution h x w costs E / (h w) more. After
CondConv (Yang et al. 2019, arXiv 1904.04971), which A-SDM (arXiv 2406.00210) puts into compressed
UNets. At the start W = 0, b = 0, every r is 1/2 and every kernel is scaled by 2 / E, so that the
experts are averaged.

Experts that start as copies of one kernel stay equal in training, since their gradients are:
then only their common gain depends on the image. The kernels of layers that were dropped differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from parsimony.compress.assembly.light_blocks import origins
from parsimony.core import artifacts, unets
from parsimony.core.errors import ArtifactError, InputError

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

FILE = "conditional_unet.safetensors"
"""Weights of a UNet that has such convolutions. diffusers does not look for this name, so it
refuses the folder rather than draw the missing kernels at random."""


class ConditionalConv2d(nn.Module):
    """A convolution whose kernel is mixed of experts for each image.

    Args:
        like: a convolution without groups; its bias, stride, padding and dilation are taken.
        kernels: of the experts, each shaped like ``like.weight``; scaled by 2 / E and copied.

    Attributes:
        kernels: [E, outputs, inputs, height, width].
        router: from the mean of each channel to the experts' weights before the sigmoid.

    Raises:
        InputError: fewer than two kernels, another shape, a grouped convolution.
    """

    def __init__(self, like: nn.Conv2d, kernels: Sequence[Tensor]) -> None:
        super().__init__()
        if len(kernels) < 2:
            raise InputError("a conditional convolution needs at least 2 experts", got=len(kernels))
        if like.groups != 1 or like.padding_mode != "zeros":
            raise InputError("only plain convolutions can be made conditional", got=str(like))
        if wrong := [tuple(k.shape) for k in kernels if k.shape != like.weight.shape]:
            raise InputError(f"every expert must have the shape {tuple(like.weight.shape)}",
                             got=wrong[0])  # fmt: skip
        experts, weight = len(kernels), like.weight
        self.kernels = nn.Parameter(torch.stack([k.detach() for k in kernels]) * (2 / experts))
        self.bias = None if like.bias is None else nn.Parameter(like.bias.detach().clone())
        self.router = nn.Linear(
            like.in_channels, experts, device=weight.device, dtype=weight.dtype
        )  # fmt: skip
        nn.init.zeros_(self.router.weight)
        nn.init.zeros_(self.router.bias)
        self._geometry = {
            "stride": like.stride, "padding": like.padding, "dilation": like.dilation,
        }  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """[batch, inputs, h, w] -> [batch, outputs, h, w], as the convolution it stands for."""
        batch, inputs, height, width = x.shape
        outputs = self.kernels.shape[1]
        routing = torch.sigmoid(self.router(x.mean(dim=(2, 3))))
        mixed = (routing @ self.kernels.flatten(1)).view(
            batch * outputs, inputs, *self.kernels.shape[3:]
        )
        y = nn.functional.conv2d(
            x.reshape(1, batch * inputs, height, width), mixed, groups=batch, **self._geometry
        )
        y = y.view(batch, outputs, *y.shape[2:])
        return y if self.bias is None else y + self.bias.view(-1, 1, 1)

    def extra_repr(self) -> str:
        """Number of experts and shape of a kernel."""
        return f"experts={len(self.kernels)}, kernel={tuple(self.kernels.shape[1:])}"


def add_experts(
    student: UNet2DConditionModel, teacher: UNet2DConditionModel, experts: int = 2
) -> list[str]:
    """Make the 3x3 convolutions of the resnets in light blocks conditional, in place.

    Expert 0 is the kept kernel. The next are the kernels of the dropped layers of the block where
    they have its shape, as every second convolution of a resnet does; the rest are copies.

    Args:
        student: assembled from the teacher.
        teacher: whose dropped layers give kernels.
        experts: for each convolution, at least 2.

    Returns:
        Paths of the convolutions in the student.

    Raises:
        InputError: a student of another teacher, or without light blocks.
    """
    paths, known = unets.blocks(teacher), unets.blocks(student)
    done = []
    for name, origin in origins(teacher, student).items():
        block, old = student.get_submodule(known[name]), teacher.get_submodule(paths[origin.name])
        dropped = [old.resnets[layer] for layer in origin.dropped]
        for i, resnet in enumerate(block.resnets if dropped else ()):
            for conv in ("conv1", "conv2"):
                plain = getattr(resnet, conv)
                others = [
                    getattr(gone, conv).weight.to(plain.weight)
                    for gone in dropped
                    if getattr(gone, conv).weight.shape == plain.weight.shape
                ]
                copies = [plain.weight] * experts
                kernels = [plain.weight, *others, *copies][:experts]
                setattr(resnet, conv, ConditionalConv2d(plain, kernels))
                done.append(f"{known[name]}.resnets.{i}.{conv}")
    if not done:
        raise InputError("experts go into light blocks, and the student has none",
                         hint="Name light blocks in the plan")  # fmt: skip
    return done


def save(unet: UNet2DConditionModel, folder: Path) -> None:
    """Write ``config.json`` as diffusers does, and the weights as ``FILE``; ``load`` reads them.

    Args:
        unet: with conditional convolutions; one without is what ``save_pretrained`` is for.
        folder: made where it is not there.

    Raises:
        InputError: a network without conditional convolutions.
    """
    if not any(isinstance(module, ConditionalConv2d) for module in unet.modules()):
        raise InputError("the network has no conditional convolutions",
                         hint="Save it with save_pretrained")  # fmt: skip
    unet.save_config(folder)
    weights = {name: value.contiguous() for name, value in unet.state_dict().items()}
    artifacts.write_bytes(folder / FILE, to_bytes(weights))


def load(folder: Path) -> UNet2DConditionModel:
    """A UNet that ``save`` wrote, in evaluation mode; on the CPU.

    Raises:
        ArtifactError: no such file there, or weights that do not fit the config beside them.
    """
    from diffusers import UNet2DConditionModel

    if not (folder / FILE).is_file():
        raise ArtifactError(f"{folder} must hold {FILE}",
                            hint="Load a UNet without experts with from_pretrained")  # fmt: skip
    weights = load_file(folder / FILE)
    with torch.device("meta"):
        unet: UNet2DConditionModel = UNet2DConditionModel.from_config(
            UNet2DConditionModel.load_config(folder)
        )
        for name, kernels in weights.items():
            path, _, kind = name.rpartition(".")
            if kind == "kernels":
                resnet, _, conv = path.rpartition(".")
                parent = unet.get_submodule(resnet)
                plain = getattr(parent, conv)
                setattr(parent, conv, ConditionalConv2d(plain, [plain.weight] * len(kernels)))
    try:
        unet.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise ArtifactError(f"{folder}: {FILE} must fit config.json ({error})") from None
    return unet.eval()
