"""Prompts and prefixes for models that read patches: images, and spectrograms of sound.

Trained vectors among the patch tokens of a frozen transformer: at its input (shallow) or anew at
every block (deep) (Jia et al. 2022, arXiv 2203.12119, section 3.2), or as keys and values of every
attention (prefix); for spectrograms by Cappellazzo et al. 2024, arXiv 2312.03694.

What is ours: prompts stand behind the patches, where attention sees them just as well, and the
special tokens that the head reads keep their places (the published code puts prompts in place of
the distillation token). peft's own prompts and prefixes need word embeddings and caches.

None can be merged into the base weights: they are tokens, not an update of a weight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import peft
import torch
from torch import nn

from parsimony.adapt.method import Facts, Method
from parsimony.adapt.methods.prompt import TOKENS
from parsimony.core.errors import InputError
from parsimony.core.peft_border import (
    AdapterConfig,
    AdapterLayer,
    AdapterTuner,
    register,
    weight_shape,
)

FAMILIES = {
    "audio-spectrogram-transformer": "AST",
    "deit": "DeiT",
    "dinov2": "Dinov2",
    "vit": "ViT",
}
"""transformers' prefix of the classes of each architecture that reads patches, by model type."""


def classes(part: str) -> tuple[str, ...]:
    """Names of the classes of one part: ``"Layer"`` gives ASTLayer and the others."""
    return tuple(f"{family}{part}" for family in FAMILIES.values())


@dataclass
class PatchTokensConfig(AdapterConfig):
    """Shared by the three.

    Attributes:
        num_virtual_tokens: m, trained vectors at the input, per block, or per attention.
        width: of the hidden states; ``None`` for the model's ``hidden_size``.
        patch_size: p; initial values are uniform within sqrt(6 / (3 p^2 + width)).
    """

    num_virtual_tokens: int = 24
    width: int | None = None
    patch_size: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_virtual_tokens < 1:
            raise InputError("num_virtual_tokens must be at least 1", got=self.num_virtual_tokens)
        if self.dropout:
            raise InputError("prompts know no dropout", got=self.dropout, hint="Leave it at 0")

    def draw(self, rows: int, width: int) -> torch.Tensor:
        """Initial vectors; shape (rows, width)."""
        bound = math.sqrt(6 / (3 * self.patch_size**2 + width))
        return torch.empty(rows, width).uniform_(-bound, bound)


@dataclass
class ShallowPromptConfig(PatchTokensConfig):
    """m trained tokens behind the patches at the input: m d parameters."""

    kind: ClassVar[str] = "SHALLOW_PROMPT"


@dataclass
class DeepPromptConfig(PatchTokensConfig):
    """m trained tokens at every block, in place of those of the block before: L m d parameters."""

    kind: ClassVar[str] = "DEEP_PROMPT"


@dataclass
class AttentionPrefixConfig(PatchTokensConfig):
    """m / 2 trained keys and m / 2 trained values in every attention: L m d parameters."""

    kind: ClassVar[str] = "ATTENTION_PREFIX"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_virtual_tokens % 2:
            raise InputError(
                "num_virtual_tokens of a prefix must be even: half keys, half values",
                got=self.num_virtual_tokens,
                hint=f"Take {self.num_virtual_tokens + 1}",
            )


class PatchTokensLayer(AdapterLayer):
    """A frozen module whose tokens get trained company."""

    additive = False

    def present(self) -> list[str]:
        """Active adapters that this module has."""
        if self.disable_adapters:
            return []
        return [adapter for adapter in self.active_adapters if adapter in self.settings]

    def beside(self, values: nn.ParameterDict, tokens: torch.Tensor) -> list[torch.Tensor]:
        """The trained vectors of every adapter at work, for each row; shapes (rows, m, width)."""
        return [
            values[adapter].to(tokens.dtype).expand(len(tokens), -1, -1)
            for adapter in self.present()
        ]

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            base = self.__dict__.get("_modules", {}).get("base_layer")
            if base is None or weight_shape(base):
                raise
            return getattr(base, name)  # a model may ask its modules for their attributes


class ShallowPromptLayer(PatchTokensLayer):
    """[output; prompts]: stands on what makes the first tokens."""

    adapter_layer_names = ("shallow_prompt_tokens",)
    kinds = classes("Embeddings")

    def create(self, adapter: str, config: Any) -> dict[str, Any]:
        return {"shallow_prompt_tokens": config.draw(config.num_virtual_tokens, config.width)}

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        tokens = self.base_layer(*args, **kwargs)
        return torch.cat([tokens, *self.beside(self.shallow_prompt_tokens, tokens)], dim=1)


class DeepPromptLayer(PatchTokensLayer):
    """block([input; prompts]) without the places of the prompts, which the next block replaces."""

    adapter_layer_names = ("deep_prompt_tokens",)
    kinds = classes("Layer")

    def create(self, adapter: str, config: Any) -> dict[str, Any]:
        return {"deep_prompt_tokens": config.draw(config.num_virtual_tokens, config.width)}

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        company = self.beside(self.deep_prompt_tokens, hidden_states)
        found = self.base_layer(torch.cat([hidden_states, *company], dim=1), *args, **kwargs)
        return found[:, : hidden_states.shape[1]]


class AttentionPrefixLayer(PatchTokensLayer):
    """Attention over [K; trained keys] and [V; trained values]."""

    adapter_layer_names = ("attention_prefix_keys", "attention_prefix_values")
    kinds = classes("Attention")

    def create(self, adapter: str, config: Any) -> dict[str, Any]:
        attention: Any = self.get_base_layer()
        projections = (attention.k_proj, attention.v_proj)
        return {
            name: config.draw(config.num_virtual_tokens // 2, weight_shape(projection)[0])
            for name, projection in zip(self.adapter_layer_names, projections, strict=True)
        }

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """Empty tokens make room, and their keys and values are replaced on the way.

        The module's own attention runs as it is, so whatever it does to queries, keys and values
        stays its affair; the places of the empty tokens are cut off the output.
        """
        tokens = hidden_states.shape[1]
        keys = self.beside(self.attention_prefix_keys, hidden_states)
        values = self.beside(self.attention_prefix_values, hidden_states)
        room = [hidden_states.new_zeros(*key.shape[:2], hidden_states.shape[2]) for key in keys]

        def behind(trained: list[torch.Tensor]) -> Any:
            return lambda layer, inputs, output: torch.cat([output[:, :tokens], *trained], dim=1)

        base: Any = self.base_layer
        hooks = [
            base.k_proj.register_forward_hook(behind(keys)),
            base.v_proj.register_forward_hook(behind(values)),
        ]
        try:
            found = base(torch.cat([hidden_states, *room], dim=1), *args, **kwargs)
        finally:
            for hook in hooks:
                hook.remove()
        return found[0][:, :tokens], *found[1:]


class PatchTokensModel(AdapterTuner):
    """Finds the modules by architecture, and the width of their tokens.

    Attributes:
        where: pattern of the modules' paths, the same in all ``FAMILIES``.
    """

    where: ClassVar[str]

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args: Any, **kwargs: Any) -> Any:
        config: Any = self.peft_config[adapter_name]
        settings = self.get_model_config(model)
        if config.target_modules is None:
            if settings.get("model_type") not in FAMILIES:
                raise InputError(
                    "trained tokens among patches need a model that reads patches",
                    got=settings.get("model_type"),
                    hint=f"Known: {', '.join(FAMILIES)}; for text take peft's prompt or prefix",
                )
            config.target_modules = rf"(?:.*\.)?{self.where}"
        config.width = config.width or settings.get("hidden_size")
        if config.width is None:
            raise InputError("the model does not say its hidden_size", hint="Give width")
        super().inject_adapter(model, adapter_name, *args, **kwargs)


@register(ShallowPromptConfig)
class ShallowPromptModel(PatchTokensModel):
    """Puts prompts behind the embedded patches."""

    tuner_layer_cls = ShallowPromptLayer
    where = "embeddings"


@register(DeepPromptConfig)
class DeepPromptModel(PatchTokensModel):
    """Puts prompts into every block."""

    tuner_layer_cls = DeepPromptLayer
    where = r"layers?\.\d+"


@register(AttentionPrefixConfig)
class AttentionPrefixModel(PatchTokensModel):
    """Puts trained keys and values into every attention."""

    tuner_layer_cls = AttentionPrefixLayer
    where = "attention"


class PatchTokens(Method):
    """Shared by the methods whose size is a number of trained tokens."""

    source = "arXiv 2312.03694"
    size_name = "tokens"
    learning_rates = (3e-3, 3e-2)  # the paper trains at 1e-2
    mergeable = False
    changes_at_start = True

    def refusal(self, facts: Facts) -> str | None:
        known = facts.config.model_type in FAMILIES
        return None if known else "it stands among patches, and this model reads none"

    def sizes(self, facts: Facts) -> list[int]:
        return TOKENS


class ShallowPrompt(PatchTokens):
    """Trained tokens behind the patches at the input."""

    name = "shallow-prompt"

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return ShallowPromptConfig(task_type=facts.task_type, num_virtual_tokens=size)


class DeepPrompt(PatchTokens):
    """Trained tokens behind the patches, fresh at every block."""

    name = "deep-prompt"

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return DeepPromptConfig(task_type=facts.task_type, num_virtual_tokens=size)


class AttentionPrefix(PatchTokens):
    """Trained keys and values in every attention, as prefix tuning has for text."""

    name = "attention-prefix"

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return AttentionPrefixConfig(task_type=facts.task_type, num_virtual_tokens=size)

    def sizes(self, facts: Facts) -> list[int]:
        return [tokens for tokens in TOKENS if tokens % 2 == 0]
