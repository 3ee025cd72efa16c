"""Lighter blocks for a UNet, cut out of a teacher: fewer layers, no middle, fewer levels.

A light down block keeps its first layer; a light up block keeps its first and its last layer and
loses the skip connections that the others read. What is left is an ordinary diffusers UNet, whose
config says all: ``layers_per_block=(1, 1, 2, 2)``, ``mid_block_type=None``. The idea is A-SDM's
(arXiv 2406.00210); which layers stay follows BK-SDM (arXiv 2305.15798), whose Base, Small and Tiny
are plans here.

A level with one layer is light already. Only UNets with a text context are known, not SDXL's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from parsimony.core import unets
from parsimony.core.errors import InputError

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

# Settings of a config that are one value for all levels or one value per level, outermost first.
_PER_LEVEL = (
    "block_out_channels", "down_block_types", "layers_per_block", "only_cross_attention",
    "cross_attention_dim", "transformer_layers_per_block", "attention_head_dim",
)  # fmt: skip
_PER_LEVEL_REVERSED = ("up_block_types", "reverse_transformer_layers_per_block")


@dataclass(frozen=True)
class Plan:
    """What of a teacher is made lighter. The default changes nothing.

    A down block and the up block of its level share skip connections, so either name means both:
    of four levels, ``D0`` and ``U3`` are one.

    Attributes:
        light: names of blocks that keep their outer layers alone.
        removed: ``M``, or names of blocks of the innermost levels, that go.
    """

    light: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    def config(self, teacher: UNet2DConditionModel) -> dict[str, Any]:
        """The config of the lighter UNet, as ``UNet2DConditionModel.from_config`` reads it.

        Raises:
            InputError: a network that is not supported; a name that it does not have; a middle made
                light; a level that has one layer, is removed as well or is not innermost; a level
                removed that is not as wide as the one before it.
        """
        # Underscored: notes of diffusers, one of which lets settings fall back to defaults.
        config = {k: v for k, v in teacher.config.items() if not k.startswith("_")}
        layers = layers_of(teacher)
        for level in self._light(teacher):
            layers[level] = 1
        depth = len(layers) - self._levels_removed(teacher)
        config["layers_per_block"] = tuple(layers)
        for name in _PER_LEVEL:
            if isinstance(config[name], tuple | list):
                config[name] = tuple(config[name][:depth])
        for name in _PER_LEVEL_REVERSED:
            if isinstance(config[name], tuple | list):
                config[name] = tuple(config[name][len(layers) - depth :])
        if "M" in self.removed:
            config["mid_block_type"] = None
        return config

    def _light(self, teacher: UNet2DConditionModel) -> set[int]:
        """Levels that become light, checked."""
        layers = layers_of(teacher)
        unets.named(self.light, [name for name in unets.blocks(teacher) if name != "M"])
        found = {_level(name, len(layers)) for name in self.light}
        for name in self.light:
            if layers[_level(name, len(layers))] == 1:
                raise InputError("a block of one layer cannot be made lighter", got=name)
        return found

    def _levels_removed(self, teacher: UNet2DConditionModel) -> int:
        """How many of the innermost levels go, checked."""
        unets.named(self.removed, unets.blocks(teacher))
        total = len(layers_of(teacher))
        gone = {_level(name, total) for name in self.removed if name != "M"}
        if both := gone & self._light(teacher):
            raise InputError("a level is made light or removed, not both", got=f"D{min(both)}")
        if gone != set(range(total - len(gone), total)) or len(gone) == total:
            raise InputError(
                "only the innermost levels can be removed, and one must stay",
                got=[f"D{level}" for level in sorted(gone)],
                hint=f"Name D{total - 1} first, then the one before it",
            )
        widths = teacher.config.block_out_channels
        if len(set(widths[total - len(gone) - 1 :])) > 1:
            raise InputError(
                "a level can be removed where it is as wide as the one before it",
                got=list(widths),
                hint="Make it light instead",
            )
        return len(gone)


def layers_of(unet: UNet2DConditionModel) -> list[int]:
    """Layers of each level's down block, outermost first; its up block has one more."""
    layers = unet.config.layers_per_block
    return [layers] * len(unet.down_blocks) if isinstance(layers, int) else list(layers)


def _level(name: str, levels: int) -> int:
    number = int(name[1:])
    return number if name[0] == "D" else levels - 1 - number


def assemble(teacher: UNet2DConditionModel, plan: Plan) -> UNet2DConditionModel:
    """The lighter UNet of a plan with the teacher's weights, copied; on the teacher's device.

    ``save_pretrained`` and ``from_pretrained`` of diffusers save and load it.

    Args:
        teacher: any type and device, the meta device included; not changed.
        plan: what is made lighter.

    Raises:
        InputError: see ``Plan.config``.
    """
    config = plan.config(teacher)
    with torch.device("meta"):  # nothing is drawn, and nothing is held twice
        student: UNet2DConditionModel = type(teacher).from_config(config)
    weights = teacher.state_dict()
    student.load_state_dict(
        {name: weights[source].clone() for name, source in sources(teacher, student).items()},
        assign=True,
    )
    return student.train(teacher.training)


@dataclass(frozen=True)
class Origin:
    """Where a block of a student comes from.

    Attributes:
        name: of the teacher's block.
        kept: its layers that the student has.
        dropped: its other layers.
    """

    name: str
    kept: tuple[int, ...]
    dropped: tuple[int, ...] = ()


def origins(teacher: UNet2DConditionModel, student: UNet2DConditionModel) -> dict[str, Origin]:
    """What each block of the student comes from, by the student's name of it.

    Raises:
        InputError: a student that was not assembled from such a teacher.
    """
    _check_pair(teacher, student)
    before, after = layers_of(teacher), layers_of(student)
    found = {}
    for name in unets.blocks(student):
        if name == "M":
            found[name] = Origin(name, tuple(range(len(student.mid_block.resnets))))
            continue
        level = _level(name, len(after))
        if name[0] == "D":
            whole, kept, old = range(before[level]), range(after[level]), name
        else:
            whole = range(before[level] + 1)
            kept = whole if after[level] == before[level] else (0, whole[-1])
            old = f"U{int(name[1:]) + len(before) - len(after)}"
        dropped = tuple(layer for layer in whole if layer not in kept)
        found[name] = Origin(old, tuple(kept), dropped)
    return found


def sources(teacher: UNet2DConditionModel, student: UNet2DConditionModel) -> dict[str, str]:
    """Name in the teacher of every weight of the student, by its name there.

    Raises:
        InputError: a student that was not assembled from such a teacher.
    """
    known = origins(teacher, student)
    found = {}
    for name in student.state_dict():
        words = name.split(".")
        if words[0] == "up_blocks":
            origin = known[f"U{words[1]}"]
            words[1] = origin.name[1:]
            if words[2] in ("resnets", "attentions"):
                words[3] = str(origin.kept[int(words[3])])
        found[name] = ".".join(words)
    return found


def _check_pair(teacher: UNet2DConditionModel, student: UNet2DConditionModel) -> None:
    unets.check(teacher)
    unets.check(student)
    for name in ("in_channels", "out_channels", "cross_attention_dim", "block_out_channels"):
        old, new = teacher.config[name], student.config[name]
        if isinstance(old, tuple | list) and isinstance(new, tuple | list):
            old = tuple(old)[: len(new)]
        if old != (tuple(new) if isinstance(new, list) else new):
            raise InputError(
                f"a student must have its teacher's {name} {old}", got=new,
                hint="Make it with assemble(teacher, plan)",
            )  # fmt: skip
