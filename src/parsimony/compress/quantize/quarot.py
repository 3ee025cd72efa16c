"""QuaRot: the residual stream and the heads are rotated, so that no channel stands out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from parsimony.compress.folding import apart, bias_of, makers, tolerance, unchanged_by
from parsimony.compress.quantizer import Transform
from parsimony.compress.rotations import Rotated, has_hadamard, spread
from parsimony.compress.walk import Block, Group, Walk, matrix
from parsimony.core.errors import InputError


class QuaRot(Transform):
    """Q turns the residual stream: E Q, readers W Q, writers Q^T W, head W Q.

    Ashkboos et al. 2024 (arXiv 2404.00456), section 4: gains of RMS norms are folded into the
    layers that read them first; Q is a Hadamard matrix with random signs, or Haar's where its
    width has none; values and the output projection get a Hadamard matrix per head. The embedding's
    mean is not subtracted, which would change a model with RMS norms. Keys are not turned after
    their rotary embedding: with the queries turned alike, nothing changes until a cache of keys is
    rounded. An output projection that shares its matrix with the embedding gets its own.

    Which layers read and which write is seen when the model runs; whether the output is the same
    is checked at the end.
    """

    name = "quarot"
    keeps_zeros = False
    online: ClassVar[bool] = False

    @torch.no_grad()
    def prepare(self, model: nn.Module, windows: Tensor, seed: int) -> list[str]:
        head = _head(model)
        embedding: Any = model.get_input_embeddings()  # type: ignore[operator]
        width = embedding.weight.shape[1]
        wanted = model(input_ids=windows).logits
        walk = Walk(model, windows, len(windows))
        blocks = [walk.block(index) for index in range(len(walk.layers))]
        grouped = [block.groups() for block in blocks]
        modules = dict(model.named_modules())
        norms = {
            group: norm
            for groups in grouped
            for group in groups
            if isinstance(getattr(norm := modules.get(group.source or ""), "weight", None), Tensor)
        }
        final = _last_norm(model, windows, width)
        for norm in [*norms.values(), final]:
            _check_norm(norm)

        generator = torch.Generator().manual_seed(seed)
        turn = spread(width, generator)
        unknown = set() if has_hadamard(width) else {width}
        for block, groups in zip(blocks, grouped, strict=True):
            _turn_heads(block, groups, _head_size(model), generator)
            for group in groups:
                if group in norms:
                    _fold_gain(norms[group], group.layers.values(), turn)
                    continue
                for writer in group.layers.values():
                    _write(writer, turn)
                    if self.online:
                        _turn_inputs(writer, generator)
                        unknown |= set() if has_hadamard(group.width) else {group.width}
        if head.weight is embedding.weight:
            head.weight = nn.Parameter(head.weight.detach().clone())
            model.config.tie_word_embeddings = False  # type: ignore[union-attr]
        _fold_gain(final, [head], turn)
        _turn(embedding.weight.data, turn)
        if (off := apart(model(input_ids=windows).logits, wanted)) > tolerance(wanted.dtype):
            raise InputError(
                f"{self.name} must leave the output of {type(model).__name__} as it was",
                got=f"a relative difference of {off:.2g}",
                hint="Its blocks are not of the form that can be rotated; load it again and use "
                "smoothquant or duquant",
            )
        return [
            f"{size} channels have no known Hadamard matrix: Haar's is used"
            for size in sorted(unknown)
        ]


class OnlineQuaRot(QuaRot):
    """QuaRot that also turns what no weight before can turn, while the model runs.

    The inputs of the layers that write to the residual stream, such as the hidden state of a
    feed-forward, whose inverse turn is in those layers' weights.
    """

    name = "quarot-online"
    exportable = False
    online = True


def _head(model: nn.Module) -> Any:
    find = getattr(model, "get_output_embeddings", lambda: None)
    head = find()
    if head is None:
        raise InputError(
            "quarot rotates from the embedding to the output projection of a language model",
            got=f"{type(model).__name__}, which has none",
            hint="Use smoothquant or duquant",
        )
    return head


def _head_size(model: nn.Module) -> int:
    config: Any = model.config
    heads: int = config.num_attention_heads
    return getattr(config, "head_dim", None) or config.hidden_size // heads


def _last_norm(model: nn.Module, windows: Tensor, width: int) -> nn.Module:
    """What runs last of all modules with a weight per channel of the residual stream."""
    order: list[nn.Module] = []
    handles = [
        module.register_forward_hook(lambda module, args, output: order.append(module))
        for module in model.modules()
        if getattr(getattr(module, "weight", None), "shape", None) == (width,)
    ]
    try:
        model(input_ids=windows)
    finally:
        for handle in handles:
            handle.remove()
    if not order:
        raise InputError("quarot needs norms with a gain", got=type(model).__name__)
    return order[-1]


def _check_norm(norm: nn.Module) -> None:
    """Refuse all but gain * x / root mean square: a mean is not the same after a rotation."""
    gain: Tensor = norm.weight  # type: ignore[assignment]
    x = 1 + torch.randn(8, len(gain), generator=torch.Generator().manual_seed(0))
    x = x.to(gain)
    plain = x.double() * gain.double() / x.double().square().mean(-1, keepdim=True).sqrt()
    if apart(norm(x), plain) > 0.02:
        raise InputError(
            "quarot needs norms that divide by the root mean square, and no more",
            got=type(norm).__name__,
            hint="Use smoothquant or duquant",
        )


def _turn_heads(
    block: Block, groups: Sequence[Group], size: int, generator: torch.Generator
) -> None:
    """Turn every head's values, and back in the layer that reads them; found by trying."""
    turn = spread(size, generator)
    for group in groups:
        for values in makers(group, groups):
            outputs = matrix(values).shape[0]
            if len(group.layers) > 1 or outputs > group.width or outputs % size:
                continue
            (reader,) = group.layers.values()

            def change(values: nn.Module = values, reader: nn.Module = reader) -> None:
                _write(values, torch.block_diag(*[turn] * (matrix(values).shape[0] // size)))
                _turn(matrix(reader), torch.block_diag(*[turn] * (matrix(reader).shape[1] // size)))

            touched = [matrix(reader), matrix(values), *bias_of(values)]
            if unchanged_by(block, change, touched):
                return


def _turn_inputs(layer: nn.Module, generator: torch.Generator) -> None:
    """Turn what a layer reads while it runs, and its weight to match."""
    turn = spread(matrix(layer).shape[1], generator)
    layer.register_forward_pre_hook(Rotated(turn))
    _turn(matrix(layer), turn)


def _fold_gain(norm: nn.Module, readers: Any, turn: Tensor) -> None:
    gain: Tensor = norm.weight.data  # type: ignore[assignment,union-attr]
    for reader in readers:
        matrix(reader).copy_(matrix(reader).double() * gain.double() @ turn)
    gain.fill_(1)


def _write(layer: nn.Module, turn: Tensor) -> None:
    """Let what a layer puts out be turned."""
    matrix(layer).copy_(turn.T @ matrix(layer).double())
    for bias in bias_of(layer):
        bias.copy_(bias.double() @ turn)


def _turn(weight: Tensor, turn: Tensor) -> None:
    weight.copy_(weight.double() @ turn)
