"""Which weights of a transformer may be pruned, and how many there are."""

from __future__ import annotations

from torch import Tensor, nn

from parsimony.core.errors import InputError


def is_linear(module: nn.Module) -> bool:
    """Whether it multiplies by a matrix: a linear layer, or GPT-2's Conv1D."""
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def prunable(model: nn.Module) -> dict[str, Tensor]:
    """The matrices of all linear layers, the output projection included, by name.

    Embeddings, norms and biases stay, and so does an output projection that is the embedding (Jin
    et al. 2025, arXiv 2501.12486). Works on the meta device.

    Raises:
        InputError: the model has none.
    """
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    found = {
        f"{name}.weight": module.weight
        for name, module in model.named_modules()
        if is_linear(module) and id(module.weight) not in embeddings
    }
    if not found:
        raise InputError("the model has no linear layer to prune", got=type(model).__name__)
    return found  # type: ignore[return-value]


def block_linears(model: nn.Module) -> dict[str, nn.Module]:
    """The linear layers inside the blocks, by full name; not the output projection, no embedding.

    That is what is pruned and quantized after training (Zimmer et al. 2023, arXiv 2312.15230).

    Raises:
        InputError: there are no blocks, or none has a linear layer.
    """
    from parsimony.core import layers

    found = {
        name: module
        for layer in layers.find(model)
        for name, module in layer.module.named_modules(prefix=layer.name)
        if is_linear(module)
    }
    if not found:
        raise InputError("the model's blocks have no linear layer", got=type(model).__name__)
    return found
