"""Diffusers' UNets with a text context: the names of their parts, and what each part costs.

Blocks are D0, D1, ... (down), M (middle) and U0, U1, ... (up); inside one, ``D1.0.R`` is the first
resnet and ``D1.0.T`` the transformer after it, whose parts are ``SA`` and ``CA`` (self- and
cross-attention) and ``FF`` (feed-forward); ``D1.down`` and ``U1.up`` change the resolution.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from parsimony.core.errors import InputError, nearest

NAME = "UNet2DConditionModel"
BLOCKS = (
    "CrossAttnDownBlock2D", "DownBlock2D", "UNetMidBlock2DCrossAttn", "UpBlock2D",
    "CrossAttnUpBlock2D",
)  # fmt: skip
_SUPPORTED = f"Supported: a {NAME} of {', '.join(BLOCKS)}, as Stable Diffusion 1 and 2 have"
_PARTS = {"SA": "attn1", "CA": "attn2", "FF": "ff"}
_CONV_LINEAR = {"aten.convolution", "aten.addmm", "aten.mm"}


def check(unet: nn.Module) -> None:
    """Refuse networks whose parts have other names, or that read more than a context of tokens.

    Raises:
        InputError: another class (diffusion transformers, ``UNet2DModel``), SDXL, other blocks.
    """
    if NAME not in {kind.__name__ for kind in type(unet).__mro__}:
        raise InputError(f"the network must be a {NAME}", got=type(unet).__name__, hint=_SUPPORTED)
    config: Any = unet.config
    if config.addition_embed_type is not None:
        raise InputError(
            "the network must read a context of tokens alone",
            got=f"addition_embed_type={config.addition_embed_type}, as SDXL has",
            hint=_SUPPORTED,
        )
    middle = [] if config.mid_block_type is None else [config.mid_block_type]
    kinds = [*config.down_block_types, *middle, *config.up_block_types]
    if other := [kind for kind in kinds if kind not in BLOCKS]:
        raise InputError("unknown kind of block", got=other[0], hint=_SUPPORTED)


def blocks(unet: nn.Module) -> dict[str, str]:
    """Path of every block by its name, in the order in which they run.

    Raises:
        InputError: see ``check``.
    """
    check(unet)
    found = {f"D{i}": f"down_blocks.{i}" for i, _ in enumerate(_children(unet, "down_blocks"))}
    if unet.mid_block is not None:
        found["M"] = "mid_block"
    return found | {f"U{i}": f"up_blocks.{i}" for i, _ in enumerate(_children(unet, "up_blocks"))}


def sites(unet: nn.Module) -> dict[str, tuple[str, ...]]:
    """Paths of the modules of every part by its name; more than one where a transformer is deep.

    Raises:
        InputError: see ``check``.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name, path in blocks(unet).items():
        block = unet.get_submodule(path)
        found[name] = (path,)
        for j, _ in enumerate(_children(block, "resnets")):
            found[f"{name}.{j}.R"] = (f"{path}.resnets.{j}",)
        for j, transformer in enumerate(_children(block, "attentions")):
            inside = f"{path}.attentions.{j}"
            found[f"{name}.{j}.T"] = (inside,)
            depth = range(len(_children(transformer, "transformer_blocks")))
            for part, attribute in _PARTS.items():
                found[f"{name}.{j}.{part}"] = tuple(
                    f"{inside}.transformer_blocks.{k}.{attribute}" for k in depth
                )
        for part in ("down", "up"):
            if _children(block, f"{part}samplers"):
                found[f"{name}.{part}"] = (f"{path}.{part}samplers.0",)
    return found


def named(names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse names that the network does not have.

    Raises:
        InputError: names the nearest.
    """
    there = list(known)
    for name in names:
        if name not in there:
            raise InputError("the network has no such part", got=name, hint=nearest(name, there))


@dataclass(frozen=True)
class Cost:
    """Of a part in one forward pass.

    Attributes:
        parameters: tied ones once.
        macs: multiply-adds of convolutions and of all matrix products, those of attention included.
        conv_linear_macs: without the products of attention, as many counters do.
    """

    parameters: int
    macs: int
    conv_linear_macs: int


class Counted:
    """The cost of a network's parts, counted without memory.

    Args:
        unet: on the meta device, as ``core.cost.on_meta`` returns it.
        tokens: of the context.
        latent: height and width of the latents; by default what the network is made for.
        batch: images at a time.

    Raises:
        InputError: see ``check``; a network that is not on the meta device.
    """

    def __init__(
        self, unet: nn.Module, *, tokens: int = 77, latent: int | None = None, batch: int = 1
    ) -> None:
        check(unet)
        self._unet = unet
        device = next(unet.parameters()).device
        if device.type != "meta":
            raise InputError("a network is counted on the meta device", got=str(device),
                             hint="Build it with core.cost.on_meta")  # fmt: skip
        config: Any = unet.config
        size = latent or config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        sample = torch.empty(batch, config.in_channels, height, width, device=device)
        context = torch.empty(batch, tokens, context_width(unet), device=device)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            unet(sample, torch.zeros(1, device=device), context)
        self._flops: Mapping[str, Mapping[Any, int]] = counter.get_flop_counts()

    def of(self, *paths: str) -> Cost:
        """Of modules by path; of the whole network without one."""
        parameters = {
            id(p): p.numel() for path in paths or [""]
            for p in self._unet.get_submodule(path).parameters()
        }  # fmt: skip
        root = type(self._unet).__name__
        counts = [
            (str(operator), flops)
            for path in paths or [""]
            for operator, flops in self._flops.get(".".join(filter(None, [root, path])), {}).items()
        ]
        return Cost(
            sum(parameters.values()),
            sum(flops for _, flops in counts) // 2,
            sum(flops for operator, flops in counts if operator in _CONV_LINEAR) // 2,
        )


def context_width(unet: nn.Module) -> int:
    """Width of the tokens of the context."""
    config: Any = unet.config
    width = config.cross_attention_dim
    return int(width if isinstance(width, int) else width[0])


def _children(module: nn.Module, name: str) -> list[nn.Module]:
    """The members of a list of modules; none where there is no list."""
    found: Iterable[nn.Module] | None = getattr(module, name, None)
    return list(found or [])
