"""Which weights of a transformer may be pruned, and how many there are."""

from __future__ import annotations

from torch import Tensor, nn

from parsimony.core.errors import InputError


def prunable(model: nn.Module) -> dict[str, Tensor]:
    """The matrices of all linear layers, the output projection included, by name.

    Embeddings, norms and biases stay, and so does an output projection that is the embedding (Jin
    et al. 2025, arXiv 2501.12486). Works on the meta device.

    Raises:
        InputError: the model has none.
    """
    from transformers.pytorch_utils import Conv1D

    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    found = {
        f"{name}.weight": module.weight
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and id(module.weight) not in embeddings
    }
    if not found:
        raise InputError("the model has no linear layer to prune", got=type(model).__name__)
    return found
