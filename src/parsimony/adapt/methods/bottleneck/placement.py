"""Where adapters stand: the sub-layers of transformers by architecture, and their widths."""

from __future__ import annotations

import re
from dataclasses import dataclass

from torch import nn

from parsimony.core.errors import InputError, nearest
from parsimony.core.peft_border import linear_modules, norm_modules, weight_shape

PLACEMENTS = ("attention+ffn", "attention", "ffn", "block")
ORDERS = ("serial", "parallel")


@dataclass(frozen=True)
class Places:
    """Patterns of the paths of an architecture's sub-layers, from a dot to the end.

    Cross-attention gets no adapter, as in the code of Karimi Mahabadi et al. 2021.

    Attributes:
        attention, ffn: the projections that write their outputs to the residual stream; adapters
            in series stand on these, before dropout and the residual addition.
        attention_module, ffn_module: the sub-layers as modules that read the hidden states;
            adapters in parallel stand beside these. ``None`` where it is not one module.
        block: the transformer block.
    """

    attention: str
    ffn: str
    attention_module: str | None
    ffn_module: str | None
    block: str

    def pattern(self, placement: str, order: str) -> str | None:
        """One pattern for a placement and order, or ``None`` where there is no such module."""
        if placement == "block":
            parts = [self.block] if order == "serial" else [None]
        elif order == "serial":
            parts = [getattr(self, part) for part in placement.split("+")]
        else:
            parts = [getattr(self, f"{part}_module") for part in placement.split("+")]
        found = [part for part in parts if part is not None]
        return rf"(?:.*\.)?(?:{'|'.join(found)})" if len(found) == len(parts) else None


_BERT = Places(
    r"attention\.output\.dense", r"layer\.\d+\.output\.dense", None, None, r"layer\.\d+"
)  # fmt: skip
_T5 = Places(
    r"SelfAttention\.o", r"DenseReluDense\.wo", "SelfAttention", "DenseReluDense", r"block\.\d+"
)
_BART = Places(
    r"self_attn\.out_proj", r"layers\.\d+\.fc2", "self_attn", None, r"layers\.\d+"
)  # fmt: skip
_GPT2 = Places(r"attn\.c_proj", r"mlp\.c_proj", "attn", "mlp", r"h\.\d+")
_NEOX = Places(
    r"attention\.dense", r"mlp\.dense_4h_to_h", "attention", "mlp", r"layers\.\d+"
)  # fmt: skip
_LLAMA = Places(
    r"self_attn\.o_proj", r"mlp\.down_proj", "self_attn", "mlp", r"layers\.\d+"
)  # fmt: skip
_VIT = Places(r"attention\.o_proj", r"mlp\.fc2", "attention", "mlp", r"layers?\.\d+")
_CLIP = Places(
    r"self_attn\.out_proj", r"layers\.\d+\.mlp\.fc2", "self_attn", r"layers\.\d+\.mlp",
    r"layers\.\d+",
)  # fmt: skip
_WAV2VEC2 = Places(
    r"attention\.out_proj", r"feed_forward\.output_dense", "attention", "feed_forward",
    r"layers\.\d+",
)  # fmt: skip
_DISTILBERT = Places(
    r"attention\.out_lin", r"ffn\.lin2", "attention", "ffn", r"transformer\.layer\.\d+"
)

_FAMILIES = {
    _BERT: "bert roberta xlm-roberta camembert electra deberta deberta-v2 ernie data2vec-text",
    _T5: "t5 mt5 umt5",
    _BART: "bart mbart marian pegasus opt whisper m2m_100",
    _GPT2: "gpt2 gpt_bigcode",
    _NEOX: "gpt_neox",
    _LLAMA: "llama mistral qwen2 qwen3 gemma gemma2 gemma3_text phi3 olmo olmo2 smollm3",
    _VIT: "vit deit beit dinov2 audio-spectrogram-transformer",
    _CLIP: "clip_vision_model clip_text_model siglip_vision_model",
    _WAV2VEC2: "wav2vec2 hubert",
    _DISTILBERT: "distilbert",
}
PLACES = {model_type: places for places, names in _FAMILIES.items() for model_type in names.split()}


def pattern(model_type: str | None, placement: str, order: str, model: nn.Module) -> str:
    """The pattern of the modules that adapters of ``model`` stand on or beside.

    Raises:
        InputError: an architecture that is not known, or none of whose modules can carry the
            placement; candidates are named.
    """
    places = PLACES.get(model_type or "")
    found = places.pattern(placement, order) if places else None
    if found is None:
        hint = f"Name modules in target_modules; candidates: {_candidates(model, order)}"
        if places is None:
            raise InputError(
                "adapters need to know where the sub-layers are", got=model_type, hint=hint
            )
        raise InputError(
            f"'{model_type}' must have a module for placement '{placement}' in {order} order",
            got=None,
            hint=f"{hint}; or choose order='serial'",
        )
    return found


def _candidates(model: nn.Module, order: str) -> list[str]:
    """Endings of the modules that could carry an adapter, at most eight."""
    if order == "serial":
        widths = norm_widths(model)
        linear = linear_modules(model, [])
        names = [n for n, (_, outputs) in linear.items() if not widths or outputs in widths]
    else:
        names = [n for n, m in model.named_modules() if n and _stands_beside(n, m)]
    return sorted({".".join(n.split(".")[-2:]) for n in names if re.search(r"\.\d+\.", n)})[:8]


def _stands_beside(path: str, module: nn.Module) -> bool:
    if isinstance(module, nn.ModuleList) or weight_shape(module):
        return False
    try:
        width_of(path, module, "parallel")
    except InputError:
        return False
    return True


def norm_widths(model: nn.Module, inner: bool = True) -> set[int]:
    """Sizes of the model's normalisation layers, the width of its residual stream among them.

    Args:
        model: or a part of it.
        inner: count those of queries and keys too.
    """
    names = norm_modules(model)
    if not inner:
        names = [n for n in names if not re.search(r"(^|\.)(q|k|query|key)_[^.]*norm$", n)]
    return {max(p.numel() for p in model.get_submodule(name).parameters()) for name in names}


def width_of(path: str, layer: nn.Module, order: str) -> int:
    """Width of the hidden states that an adapter at ``layer`` transforms.

    Raises:
        InputError: the layer's input and output widths do not suit ``order``; a module of several
            layers whose ends are unequal or unknown, or, in parallel, whose output is normalised.
    """
    shape = weight_shape(layer)
    ends = [(shape[1], shape[0])] if shape else list(linear_modules(layer, []).values())
    if not ends:
        raise InputError(
            f"an adapter must know the width of {path}, which has no linear layer inside",
            got=type(layer).__name__,
            hint="Fused sub-layers cannot be adapted; name another module in target_modules",
        )
    inputs, outputs = ends[0][0], ends[-1][1]
    if inputs != outputs and ends[-1][0] == ends[0][1]:  # written down from back to front
        inputs, outputs = ends[-1][0], ends[0][1]
    if inputs != outputs and not (shape and order == "serial"):
        raise InputError(
            f"an adapter here needs {path} as wide at its input as at its output",
            got=(inputs, outputs),
            hint="Name a whole sub-layer, or with order='serial' its output projection",
        )
    if order == "parallel" and not shape and outputs in norm_widths(layer, inner=False):
        raise InputError(
            f"{path} must be one sub-layer, without the residual and the normalisation after it",
            got=type(layer).__name__,
            hint="Choose order='serial' for post-norm models such as BERT",
        )
    return outputs


def block_index(path: str) -> int | None:
    """Index of the transformer block that ``path`` is in: the first number of the path."""
    found = re.search(r"(?:^|\.)(\d+)(?:\.|$)", path)
    return int(found.group(1)) if found else None


def unknown(field: str, value: object, known: tuple[str, ...]) -> InputError:
    """The error for a value that is none of ``known``."""
    return InputError(f"{field} must be a known one", got=value, hint=nearest(str(value), known))
