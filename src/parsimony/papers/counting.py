"""Counts parameters of named architectures without weights, for cards that claim counts.

Models are built on the meta device from a configuration alone: no memory, no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from parsimony.core.errors import require
from parsimony.papers.claim import Measurement

if TYPE_CHECKING:
    from torch import nn


def build(architecture: Mapping[str, Any]) -> nn.Module:
    """A transformers model without weights.

    Args:
        architecture: ``config`` and ``model``, the names of the two classes, such as
            ``"LlamaConfig"`` and ``"LlamaForCausalLM"``; every other key goes to the config.

    Raises:
        MissingExtraError: transformers or torch is not installed.
    """
    torch, transformers = require("torch", "adapt"), require("transformers", "adapt")
    settings = dict(architecture)
    model = getattr(transformers, settings.pop("model"))
    config = getattr(transformers, settings.pop("config"))
    with torch.device("meta"):
        built: nn.Module = model(config(**settings))
    return built


def adapted(model: nn.Module, adapter: str | type[Any], **settings: Any) -> Measurement:
    """Trainable parameters of ``model`` under a peft method, the task head included.

    Args:
        model: as ``build`` returns it; changed in place.
        adapter: the configuration class, or its name in peft, such as ``"LoraConfig"``.
        settings: what that configuration takes.

    Raises:
        MissingExtraError: peft or torch is not installed.
    """
    torch, peft = require("torch", "adapt"), require("peft", "adapt")
    kind = getattr(peft, adapter) if isinstance(adapter, str) else adapter
    with torch.device("meta"):
        wrapped = peft.get_peft_model(model, kind(**settings))
    return count(wrapped, f"trainable under {kind.__name__}, head included when there is one")


def count(model: nn.Module, note: str) -> Measurement:
    """Parameters that receive gradients; tied tensors count once."""
    return Measurement(sum(p.numel() for p in model.parameters() if p.requires_grad), note=note)
