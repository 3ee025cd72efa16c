"""Any torch module inside a random subspace of all its trainable tensors."""

from __future__ import annotations

import copy
import hashlib
import warnings
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load, save
from torch import nn
from torch.func import functional_call

from parsimony.adapt.methods.subspace.projections import check_dimension, projection
from parsimony.core import artifacts
from parsimony.core.errors import ArtifactError, InputError


class Subspace(nn.Module):
    """theta = theta_0 + P v over all tensors of ``module`` that require gradients.

    The tensors are taken in the order of ``named_parameters``, tied ones once; running statistics
    are not among them and are kept as usual. Only ``v`` trains, from zero, in float32, and so is
    the sum formed. To regularise theta rather than v, add a multiple of
    ``sum(t.square().sum() for t in model.theta().values())`` to the loss, as the paper does.

    Args:
        module: with its initial or pre-trained values, theta_0; frozen by this.
        d: length of v, 1 to D.
        kind: ``"sparse"``, ``"fastfood"``, ``"dense"`` or ``"orthonormal"``. Sparse is the
            fastest while d is below a few thousand, fastfood takes memory O(D) for any d, dense
            and orthonormal O(D d).
        seed: of P.

    Raises:
        InputError: nothing in ``module`` requires gradients; an unknown kind; d out of range.
    """

    accepts_loss_kwargs = False  # to transformers' Trainer: forward takes what ``module`` takes

    def __init__(self, module: nn.Module, d: int, kind: str = "sparse", seed: int = 0) -> None:
        super().__init__()
        trained = _trained(module)
        sizes = [p.numel() for p in trained.values()]
        check_dimension(d, sum(sizes))
        self.projection = projection(kind, sizes, d, seed)
        if kind == "dense" and d > sum(sizes) / 2:
            warnings.warn(
                f"d={d} is above half of D={sum(sizes)}: training the module itself is cheaper "
                "and reaches every point",
                stacklevel=2,
            )
        if not any(p.any() for p in trained.values()):
            warnings.warn(
                "theta_0 is all zeros: units of a layer stay equal to each other; initialise it",
                stacklevel=2,
            )
        self.kind, self.seed = kind, seed
        self.names = tuple(trained)
        self.module = module.requires_grad_(False)
        self.v = nn.Parameter(torch.zeros(d, device=next(iter(trained.values())).device))

    @property
    def D(self) -> int:  # noqa: N802 - the paper's name
        """Number of parameters that the subspace lies in."""
        return self.projection.n

    @property
    def d(self) -> int:
        """Number of parameters that train."""
        return self.projection.d

    def theta(self) -> dict[str, torch.Tensor]:
        """The parameters in use, by name."""
        parts = self.projection(self.v).split(self.projection.sizes)
        found = {}
        for name, part in zip(self.names, parts, strict=True):
            start = self.module.get_parameter(name)
            found[name] = (start + part.view(start.shape)).to(start.dtype)
        return found

    def forward(self, *args: Any, **options: Any) -> Any:
        """What ``module`` gives with the parameters in use."""
        return functional_call(self.module, self.theta(), args, options)

    def export(self) -> nn.Module:
        """An ordinary module with the parameters in use; gives the same outputs to the bit."""
        plain = copy.deepcopy(self.module)
        with torch.no_grad():
            for name, value in self.theta().items():
                plain.get_parameter(name).copy_(value).requires_grad_(True)
        return plain

    def save(self, folder: Path) -> None:
        """Write v, what is not parameters, and from what P and theta_0 can be made again.

        Frozen parameters of the module are not written: they are part of theta_0's module.
        """
        parameters = {name for name, _ in self.module.named_parameters(remove_duplicate=False)}
        tensors = {"v": self.v.detach()}
        for name, value in self.module.state_dict().items():
            if name not in parameters:
                tensors[f"module.{name}"] = value
        contiguous = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        artifacts.write_bytes(folder / "subspace.safetensors", save(contiguous))
        record = {
            "kind": self.kind, "seed": self.seed, "d": self.d, "D": self.D,
            "parameters": list(self.names), "theta_0": _fingerprint(self.module, self.names),
        }  # fmt: skip
        artifacts.write_json(folder / "subspace.json", record)

    @classmethod
    def restore(cls, module: nn.Module, folder: Path) -> Self:
        """The saved subspace around ``module``, which has theta_0; theta is the same to the bit.

        To the bit on the same platform; elsewhere the products may be rounded otherwise.

        Raises:
            ArtifactError: ``module`` has other parameters, or other values of them.
        """
        record = artifacts.read_json(folder / "subspace.json")
        trained = _trained(module)
        total = sum(p.numel() for p in trained.values())
        if (total, list(trained)) != (record["D"], record["parameters"]):
            raise ArtifactError(
                f"the subspace was saved with D = {record['D']} in {len(record['parameters'])} "
                f"tensors, and this module has D = {total} in {len(trained)}",
                hint="Build the module that it was trained with",
            )
        if _fingerprint(module, tuple(trained)) != record["theta_0"]:
            raise ArtifactError(
                "the module must hold the values that training started from",
                hint="Build it from the same seed or checkpoint",
            )
        found = cls(module, record["d"], record["kind"], record["seed"])
        tensors = load((folder / "subspace.safetensors").read_bytes())
        with torch.no_grad():
            found.v.copy_(tensors.pop("v"))
        rest = {name.removeprefix("module."): value for name, value in tensors.items()}
        found.module.load_state_dict(rest, strict=False)
        return found


def _trained(module: nn.Module) -> dict[str, nn.Parameter]:
    """What enters theta, by name."""
    found = {name: p for name, p in module.named_parameters() if p.requires_grad}
    if not found:
        raise InputError("a subspace needs a module with parameters that require gradients")
    return found


def _fingerprint(module: nn.Module, names: tuple[str, ...]) -> str:
    """SHA-256 of the named parameters."""
    digest = hashlib.sha256()
    for name in names:
        value = module.get_parameter(name).detach().cpu().contiguous()
        digest.update(value.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
