"""The shape of a transformer, from numbers or from a transformers config, and its parameters."""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import product

from parsimony.core.errors import InputError, nearest

RULE = (
    "N = 12 L h^2 + 13 L h + V h + s h + 2 h for a GPT: biases, learned positions, tied output; "
    "with grouped keys, gated MLPs or no biases, what those change"
)
"""How ``ModelShape.parameters`` counts."""

FORM_TOLERANCE = 1e-3
"""Largest relative difference between the rule and transformers' count; covers rare biases."""


@dataclass(frozen=True)
class ModelShape:
    """The numbers that decide what training a decoder costs. The defaults are GPT's.

    Attributes:
        layers, hidden, heads: depth L, width h, attention heads a.
        vocabulary: rows V of the embedding.
        positions: rows of a learned position table; 0 for rotary positions.
        ffn: inner width of the MLP; 0 for 4 h.
        kv_heads: heads of keys and values; 0 for as many as ``heads``.
        head_size: width of one head; 0 for h / a.
        gated: the MLP has a third matrix, as in Llama.
        biases: linear layers and norms have them; without, norms are RMSNorms.
        tied: the output layer is the embedding.

    Raises:
        InputError: a number that is not positive, or heads that do not divide.
    """

    layers: int
    hidden: int
    heads: int
    vocabulary: int = 51_200
    positions: int = 2_048
    ffn: int = 0
    kv_heads: int = 0
    head_size: int = 0
    gated: bool = False
    biases: bool = True
    tied: bool = True

    def __post_init__(self) -> None:
        for name in ("layers", "hidden", "heads", "vocabulary"):
            if getattr(self, name) < 1:
                raise InputError(f"a model's {name} must be positive", got=getattr(self, name))
        for name in ("positions", "ffn", "kv_heads", "head_size"):
            if getattr(self, name) < 0:
                raise InputError(f"a model's {name} cannot be negative", got=getattr(self, name))
        if not self.head_size and self.hidden % self.heads:
            raise InputError(
                "the heads must divide the hidden width", got=(self.heads, self.hidden),
                hint="Give head_size where the model has another width",
            )  # fmt: skip

    @property
    def query_width(self) -> int:
        """Values of a token's queries."""
        return self.heads * (self.head_size or self.hidden // self.heads)

    @property
    def key_width(self) -> int:
        """Values of a token's keys; as many for its values."""
        return (self.kv_heads or self.heads) * self.query_width // self.heads

    @property
    def inner(self) -> int:
        """Inner width of the MLP."""
        return self.ffn or 4 * self.hidden

    @property
    def matrices(self) -> int:
        """Parameters in the matrices of one layer: 12 h^2 for a GPT."""
        attention = 2 * self.hidden * (self.query_width + self.key_width)
        return attention + (3 if self.gated else 2) * self.hidden * self.inner

    @property
    def split_biases(self) -> int:
        """Biases of one layer that tensor parallelism splits: 7 h for a GPT."""
        mlp = (2 if self.gated else 1) * self.inner
        return self.biases * (self.query_width + 2 * self.key_width + mlp)

    @property
    def copied(self) -> int:
        """Norms and biases of one layer that every tensor-parallel device holds: 6 h for a GPT."""
        return (6 if self.biases else 2) * self.hidden

    @property
    def final_norm(self) -> int:
        """Parameters of the norm before the output layer."""
        return (2 if self.biases else 1) * self.hidden

    @property
    def core(self) -> int:
        """Parameters in the matrices of all layers: 12 L h^2 for a GPT."""
        return self.layers * self.matrices

    @property
    def parameters(self) -> int:
        """All parameters, a tied output counted once; see ``RULE``."""
        embedding = (1 if self.tied else 2) * self.vocabulary * self.hidden
        layers = self.layers * (self.matrices + self.split_biases + self.copied)
        return layers + embedding + self.positions * self.hidden + self.final_norm


NAMED = {
    "gpt-22b": ModelShape(48, 6144, 48),
    "gpt-175b": ModelShape(96, 12288, 96),
    "gpt-1t": ModelShape(128, 25600, 128),
}
"""The paper's three models (recalled; the parameter counts agree)."""


def read(text: str) -> ModelShape:
    """The shape of a model: a name of ``NAMED``, numbers, a folder, or a hub name.

    Args:
        text: such as ``"gpt-175b"``, ``"layers=24,hidden=2048,heads=16"`` or ``"./my-model"``. Of
            a folder or a hub name the config alone is read.

    Raises:
        InputError: none of these, an unknown number, or an architecture that is no such decoder.
    """
    if text in NAMED:
        return NAMED[text]
    if "=" in text:
        return _from_numbers(text)
    return from_config(text)


def _from_numbers(text: str) -> ModelShape:
    kinds = {field.name: field.type for field in fields(ModelShape)}
    given: dict[str, int] = {}
    for part in text.split(","):
        name, _, value = (word.strip() for word in part.partition("="))
        if name not in kinds:
            raise InputError(f"unknown number '{name}' of a model", hint=nearest(name, kinds))
        if not value.isdecimal():
            raise InputError(f"a model's {name} must be a whole number", got=value)
        given[name] = bool(int(value)) if kinds[name] == "bool" else int(value)
    missing = [name for name in ("layers", "hidden", "heads") if name not in given]
    if missing:
        raise InputError(f"a model needs its {', '.join(missing)}", got=text)
    return ModelShape(**given)


def from_config(name: str) -> ModelShape:
    """The shape of a model with a transformers config, checked against what transformers builds.

    Which form it has (gated, with biases, with learned positions) is found by counting: the form
    whose parameters come nearest to those of the model on the meta device.

    Raises:
        InputError: no such model or config, or no form within ``FORM_TOLERANCE``.
    """
    from parsimony.core import cost, pretrained

    settings = pretrained.read_config(pretrained.find(name, weights=False))
    built = cost.count(cost.on_meta(lambda: pretrained.build(settings, "causal-lm")))[0]
    forms = [
        ModelShape(
            layers=settings.num_hidden_layers,
            hidden=settings.hidden_size,
            heads=settings.num_attention_heads,
            vocabulary=settings.vocab_size,
            positions=positions,
            ffn=getattr(settings, "intermediate_size", None)
            or getattr(settings, "n_inner", 0)
            or 0,
            kv_heads=getattr(settings, "num_key_value_heads", None) or 0,
            head_size=getattr(settings, "head_dim", None) or 0,
            gated=gated,
            biases=biases,
            tied=bool(settings.tie_word_embeddings),
        )
        for positions, gated, biases in product(
            (0, settings.max_position_embeddings), (False, True), (False, True)
        )
    ]
    found = min(forms, key=lambda form: abs(form.parameters - built))
    if abs(found.parameters - built) > FORM_TOLERANCE * built:
        raise InputError(
            f"plan knows decoders of GPT's and Llama's form; of '{settings.model_type}' it counts "
            f"{found.parameters:,} parameters where transformers builds {built:,}",
            got=name,
            hint='Give the nearest such shape in numbers: "layers=...,hidden=...,heads=..."',
        )
    return found
