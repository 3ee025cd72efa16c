"""Which scalars train: the budget, the pool, and the laws of selection."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from parsimony.core.errors import InputError, nearest
from parsimony.core.peft_border import AdapterConfig

Positions = dict[str, npt.NDArray[np.int64]]
"""Ascending flat positions in tensors as the model stores them, by parameter name."""

UNITS = ("scalar", "tensor")
PARTS = ("weight", "bias")


@dataclass(frozen=True)
class Entry:
    """One tensor of the pool.

    Attributes:
        name: of the parameter.
        tensor: itself.
    """

    name: str
    tensor: torch.Tensor

    @property
    def size(self) -> int:
        return self.tensor.numel()

    @property
    def layer(self) -> str:
        """Path of the layer it belongs to."""
        return self.name.rpartition(".")[0]


# A law shares the budget evenly among groups, and within a group uniformly over the scalars.
GROUPS: dict[str, Callable[[Entry], str]] = {
    "scalars": lambda entry: "",
    "tensors": lambda entry: entry.name,
    "layers": lambda entry: entry.layer,
    "types": lambda entry: entry.layer.rpartition(".")[2],
}
LAWS = (*GROUPS, "magnitude")


@dataclass
class ApetConfig(AdapterConfig):
    """APET on the target layers; all dense layers but the output head unless told otherwise.

    Attributes:
        budget: number of scalars that train, 1 to the size of the pool.
        law: ``"scalars"``: uniform over all scalars of the pool; ``"tensors"``, ``"layers"``,
            ``"types"`` (of equal last name, such as all ``query``): the same number for each,
            uniform within; ``"magnitude"``: those of the largest absolute value.
        unit: ``"scalar"``, or ``"tensor"``: whole tensors in an order drawn at random, each taken
            if it fits into what remains of the budget.
        exact: fill what whole tensors leave of the budget with scalars.
        biases: the layers' biases belong to the pool.
        indices: positions chosen by the user instead, by parameter name, flat in the tensor as
            the model stores it; ``from_mask`` makes them. Their number is then the budget.
        seed: of the choice.
    """

    kind: ClassVar[str] = "APET"

    target_modules: list[str] | set[str] | str | None = "all-linear"
    budget: int = 4096
    law: str = "scalars"
    unit: str = "scalar"
    exact: bool = True
    biases: bool = True
    indices: dict[str, list[int]] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.chosen: Positions = {}  # of the model at hand; not a field, so it is not saved
        for name, value, known in (("law", self.law, LAWS), ("unit", self.unit, UNITS)):
            if value not in known:
                raise InputError(
                    f"{name} must be one of {', '.join(known)}", got=value,
                    hint=nearest(value, known),
                )  # fmt: skip
        if self.unit == "tensor" and self.law != "scalars":
            raise InputError("whole tensors are drawn uniformly", got=self.law,
                             hint="Leave law at 'scalars', or unit at 'scalar'")  # fmt: skip
        if self.dropout:
            raise InputError("apet has no dropout: it changes scalars where they stand",
                             got=self.dropout, hint="Leave dropout at 0")  # fmt: skip
        if self.indices is not None:
            self.budget = sum(map(len, self.indices.values()))
        if self.budget < 1:
            raise InputError("the budget must be at least 1 scalar", got=self.budget)


def from_mask(masks: Mapping[str, torch.Tensor]) -> dict[str, list[int]]:
    """``ApetConfig.indices`` of the true places of boolean masks, by parameter name."""
    places = {name: mask.flatten().nonzero().flatten().tolist() for name, mask in masks.items()}
    return {name: positions for name, positions in places.items() if positions}


def choose(config: ApetConfig, pool: list[Entry]) -> Positions:
    """The positions that train: as many as the budget, the same for the same seed.

    Raises:
        InputError: a budget that the pool cannot give; the nearest that it can is named.
    """
    if config.indices is not None:
        return _of_user(config.indices, pool)
    total = sum(entry.size for entry in pool)
    if config.budget > total:
        raise InputError(
            f"the budget must be at most {total}, the scalars of the chosen layers",
            got=config.budget,
            hint=f"The nearest is {total}; or name more layers in target_modules",
        )
    random = np.random.default_rng([config.seed, config.budget])
    if config.unit == "tensor":
        return _whole(config, pool, random)
    if config.law == "magnitude":
        return _largest(pool, config.budget, random)
    return _even(pool, config.budget, GROUPS[config.law], random)


def _even(
    pool: list[Entry], budget: int, key: Callable[[Entry], str], random: np.random.Generator
) -> Positions:
    groups: dict[str, list[Entry]] = {}
    for entry in pool:
        groups.setdefault(key(entry), []).append(entry)
    sizes = {name: sum(entry.size for entry in group) for name, group in groups.items()}
    found: Positions = {}
    for name, share in _shares(sizes, budget, random).items():
        ends = np.cumsum([entry.size for entry in groups[name]])
        drawn = np.sort(random.choice(sizes[name], share, replace=False, shuffle=False))
        cuts = np.searchsorted(drawn, ends)
        parts = zip(groups[name], np.split(drawn, cuts), ends, strict=False)
        for entry, positions, end in parts:
            if len(positions):
                found[entry.name] = positions - (end - entry.size)
    return found


def _shares(sizes: dict[str, int], budget: int, random: np.random.Generator) -> dict[str, int]:
    """Equal shares of the budget, none larger than its group; odd ones go to groups at random."""
    shares = dict.fromkeys(sizes, 0)
    while budget:
        open_ = [name for name in sizes if shares[name] < sizes[name]]
        if budget < len(open_):
            open_ = [open_[i] for i in random.choice(len(open_), budget, replace=False)]
        each = budget // len(open_)
        for name in open_:
            more = min(each, sizes[name] - shares[name])
            shares[name] += more
            budget -= more
    return {name: share for name, share in shares.items() if share}


def _whole(config: ApetConfig, pool: list[Entry], random: np.random.Generator) -> Positions:
    left, found = config.budget, Positions()
    for i in random.permutation(len(pool)):
        if pool[i].size <= left:
            found[pool[i].name] = np.arange(pool[i].size)
            left -= pool[i].size
    if not left:
        return found
    rest = [entry for entry in pool if entry.name not in found]
    if config.exact:
        return found | _even(rest, left, GROUPS["scalars"], random)
    smallest = min(entry.size for entry in rest)
    if not found:
        raise InputError(
            f"the smallest tensor of the chosen layers has {smallest} scalars", got=config.budget,
            hint=f"The nearest budget of whole tensors is {smallest}; or set exact=True",
        )  # fmt: skip
    reached = config.budget - left
    warnings.warn(
        f"whole tensors give {reached} of the {config.budget} scalars asked for; the next larger "
        f"budget is {reached + smallest}; exact=True would fill the gap with scalars",
        stacklevel=2,
    )
    return found


def _largest(pool: list[Entry], budget: int, random: np.random.Generator) -> Positions:
    if any(entry.tensor.is_meta for entry in pool):  # no values: only the number counts
        return _even(pool, budget, GROUPS["scalars"], random)
    values, places, owners = [], [], []
    for number, entry in enumerate(pool):
        sizes = entry.tensor.detach().flatten().abs().float()
        top = sizes.topk(min(budget, entry.size))
        values.append(top.values.cpu())
        places.append(top.indices.cpu())
        owners.append(torch.full_like(places[-1], number))
    winners = torch.cat(values).topk(budget).indices
    place, owner = torch.cat(places)[winners].numpy(), torch.cat(owners)[winners].numpy()
    return {pool[n].name: np.sort(place[owner == n]) for n in np.unique(owner)}


def _of_user(indices: dict[str, list[int]], pool: list[Entry]) -> Positions:
    sizes = {entry.name: entry.size for entry in pool}
    found = {}
    for name, given in indices.items():
        if name not in sizes:
            raise InputError(
                "indices must name tensors of the target layers", got=name,
                hint=nearest(name, sizes),
            )  # fmt: skip
        positions = np.unique(np.asarray(given, dtype=np.int64))
        if len(positions) < len(given) or not 0 <= positions[0] <= positions[-1] < sizes[name]:
            raise InputError(
                f"indices of {name} must be distinct and from 0 to {sizes[name] - 1}",
                got=(min(given), max(given)),
                hint="They count along the tensor as the model stores it, row after row",
            )
        found[name] = positions
    return found
