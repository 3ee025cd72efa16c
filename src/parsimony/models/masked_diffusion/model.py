"""Config and model of masked diffusion, as transformers' Auto classes find them.

``AutoModelForMaskedLM`` finds the language model and ``AutoModel`` the stack without its head. It
is no causal language model: logits at a position are of the token there, not of the next, so tools
that take ``AutoModelForCausalLM`` would score and write nonsense without a word.
"""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForMaskedLM, LlamaConfig
from transformers.modeling_outputs import MaskedLMOutput
from transformers.models.llama.modeling_llama import LlamaModel, LlamaPreTrainedModel

from parsimony.core.errors import InputError
from parsimony.core.evaluating import evaluating
from parsimony.models.masked_diffusion.noise import diffusion_loss, draw_masks


class MaskedDiffusionConfig(LlamaConfig):
    """Shape of the network and of its noise; the defaults are LLaDA-8B's shape.

    Llama's fields mean what they mean there.

    Attributes:
        mask_token_id: what stands for a masked token; in the vocabulary, and not the padding.
        noise_floor: eps, the least share of tokens masked in training, in (0, 1].
        short_batches: share of training batches that are cut to a length drawn from 1 to their
            own, in [0, 1]; 0.01 in LLaDA's pre-training.

    Raises:
        InputError: one of these is out of its range; a causal mask is asked for.
    """

    model_type = "masked_diffusion"

    vocab_size: int = 126_464
    hidden_size: int = 4096
    intermediate_size: int = 12_288
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    max_position_embeddings: int = 4096
    rms_norm_eps: float = 1e-5
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = 126_081
    use_cache: bool = False
    is_causal: bool = False  # transformers' masks heed it
    mask_token_id: int = 126_336
    noise_floor: float = 1e-3
    short_batches: float = 0.0

    def __post_init__(self, **kwargs: Any) -> None:
        super().__post_init__(**kwargs)
        if self.mask_token_id not in range(self.vocab_size):
            raise InputError(
                f"mask_token_id must be in the vocabulary, 0 to {self.vocab_size - 1}",
                got=self.mask_token_id,
                hint="Add the mask token to the vocabulary and count it in vocab_size",
            )
        if self.mask_token_id == self.pad_token_id:
            raise InputError(
                "mask_token_id must not be pad_token_id: padding would be filled like a mask",
                got=self.mask_token_id,
                hint="Give the mask a token of its own",
            )
        if not 0 < self.noise_floor <= 1:
            raise InputError("noise_floor must be in (0, 1]", got=self.noise_floor)
        if not 0 <= self.short_batches <= 1:
            raise InputError("short_batches must be in [0, 1]", got=self.short_batches)
        if self.is_causal:
            raise InputError(
                "masked diffusion reads in both directions: is_causal must be False", got=True,
                hint="For a causal model use LlamaForCausalLM",
            )  # fmt: skip


class MaskedDiffusionModel(LlamaModel):
    """Llama's stack, every position seeing every other but the padding."""

    config_class = MaskedDiffusionConfig

    def __init__(self, config: MaskedDiffusionConfig) -> None:
        super().__init__(config)
        # Answers may be padded with a token whose prediction is learned, such as the end of text.
        self.embed_tokens.padding_idx = None
        for layer in self.layers:
            layer.self_attn.is_causal = False


class MaskedDiffusionLM(LlamaPreTrainedModel):
    """The stack and a head over the vocabulary; see ``forward``."""

    config_class = MaskedDiffusionConfig
    _tied_weights_keys: ClassVar = {"lm_head.weight": "model.embed_tokens.weight"}
    accepts_loss_kwargs = False
    mean_over_rows = True
    """How ``core.training`` weighs parts of a step: by rows, not by tokens."""

    def __init__(self, config: MaskedDiffusionConfig) -> None:
        super().__init__(config)
        self.model = MaskedDiffusionModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        **kwargs: Any,
    ) -> MaskedLMOutput:
        """Logits of every position; with ``labels``, the training loss under freshly drawn masks.

        Args:
            input_ids: token ids, [texts, length]; unmasked where there are labels, and with the
                mask token where a prediction is wanted where there are none.
            attention_mask: 1 for tokens, 0 for padding; [texts, length].
            labels: the ids to learn, -100 at prompts and padding; [texts, length].
            inputs_embeds: in place of ids, [texts, length, width]; without labels.
            generator: of the masks, on the CPU; torch's own stream by default.
            kwargs: of ``LlamaModel``, such as ``position_ids`` and ``output_hidden_states``.

        Returns:
            ``loss``: one draw of an upper bound of the negative log-likelihood, in nats per token
            (see ``noise``); ``logits``: [texts, length, vocabulary], under labels those of the
            masked texts.
        """
        if labels is not None:
            if input_ids is None:
                raise InputError("labels need input_ids, since tokens are what is masked")
            width = self._training_width(labels.shape[1], generator)
            input_ids, labels = input_ids[:, :width], labels[:, :width]
            attention_mask = None if attention_mask is None else attention_mask[:, :width]
            masked, rates = draw_masks(labels, self.config.noise_floor, generator)
            input_ids = input_ids.masked_fill(masked, self.config.mask_token_id)
        kwargs = {**kwargs, "use_cache": False, "return_dict": True}
        found = self.model(
            input_ids=input_ids, attention_mask=attention_mask, inputs_embeds=inputs_embeds,
            **kwargs,
        )  # fmt: skip
        logits = self.lm_head(found.last_hidden_state)
        return MaskedLMOutput(
            loss=None if labels is None else diffusion_loss(logits, labels, masked, rates),
            logits=logits,
            hidden_states=found.hidden_states,
            attentions=found.attentions,
        )

    def _training_width(self, width: int, generator: torch.Generator | None) -> int:
        """``width``, or in ``short_batches`` of all training batches less."""
        share = self.config.short_batches
        if not (self.training and share) or torch.rand((), generator=generator) >= share:
            return width
        return int(torch.randint(1, width + 1, (), generator=generator))

    def noised(self, input_ids: torch.Tensor, seed: int = 0) -> torch.Tensor:
        """Texts as training shows them to the network: each with a rate of masks of its own.

        Args:
            input_ids: token ids, [texts, length].
            seed: of rates and masks.
        """
        generator = torch.Generator().manual_seed(seed)
        masked, _ = draw_masks(input_ids, self.config.noise_floor, generator)
        return input_ids.masked_fill(masked, self.config.mask_token_id)

    def bound(self, input_ids: torch.Tensor, draws: int = 8, seed: int = 0) -> torch.Tensor:
        """Upper bound on the nats per token of each text, [texts]; see ``likelihood.bound``."""
        from parsimony.models.masked_diffusion.likelihood import bound

        return torch.from_numpy(bound(self, input_ids, draws=draws, seed=seed).rows)

    def generate(self, *args: object, **kwargs: object) -> NoReturn:
        """Refused: it would write from left to right.

        Raises:
            InputError: always; names the sampler.
        """
        raise InputError(
            "a masked-diffusion model does not write from left to right, so generate() is refused",
            hint="Use parsimony.models.masked_diffusion.sample(model, prompts, Sampling(...))",
        )


def check_bidirectional(model: nn.Module) -> None:
    """Change the last token of a short text and see whether logits before it change.

    Args:
        model: takes ``input_ids`` and returns ``logits``, such as a checkpoint converted from an
            autoregressive model.

    Raises:
        InputError: they do not: a causal mask was left on.
    """
    device = next(model.parameters()).device
    with evaluating(model), torch.no_grad():
        logits = model(input_ids=torch.tensor([[1, 1, 1, 1], [1, 1, 1, 2]], device=device)).logits
    *before, last = (logits[0] - logits[1]).abs().amax(-1).tolist()
    if max(before) <= 1e-6 * last:
        raise InputError(
            "a masked-diffusion model must read in both directions, but a change of the last token "
            "changes no logits before it: a causal mask was left on",
            got=type(model).__name__,
            hint="Load the weights into MaskedDiffusionLM",
        )


AutoConfig.register(MaskedDiffusionConfig.model_type, MaskedDiffusionConfig)
AutoModel.register(MaskedDiffusionConfig, MaskedDiffusionModel)
AutoModelForMaskedLM.register(MaskedDiffusionConfig, MaskedDiffusionLM)
