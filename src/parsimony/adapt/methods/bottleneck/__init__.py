"""Bottleneck adapters: a small network beside the output of each sub-layer of a frozen transformer.

h + up(act(down(h))), d -> k -> d, after attention and feed-forward (Houlsby et al. 2019, arXiv
1902.00751, figure 2) or after the feed-forward alone (Pfeiffer et al. 2021, arXiv 2005.00247);
in parallel to the sub-layer (He et al. 2022, arXiv 2110.04366); after the whole block with a
factor per channel (Adapter+, Steitz and Roth 2024, arXiv 2406.06820); with a convolution over the
tokens inside (Cappellazzo et al. 2024, arXiv 2312.03694).

What is ours: adapters wrap the output projection, which gives the published function without
touching the model's code, before dropout and the residual addition; those after a sub-layer do
not add the residual twice, as Pfeiffer's do. The last projection starts at zero.

They cannot be merged into the base weights: there is a non-linearity inside. Fused sub-layers,
such as some mixtures of experts, cannot be adapted.
"""

import peft

from parsimony.adapt.method import RANKS, Facts, Method
from parsimony.adapt.methods.bottleneck.placement import PLACES
from parsimony.adapt.methods.bottleneck.sublayer import (
    ADAPTERHUB,
    SublayerConfig,
    SublayerLayer,
    SublayerModel,
    takes_adapterhub_names,
)
from parsimony.adapt.methods.bottleneck.tuner import (
    BottleneckConfig,
    BottleneckLayer,
    BottleneckModel,
)

__all__ = [
    "ADAPTERHUB",
    "Bottleneck",
    "BottleneckConfig",
    "BottleneckLayer",
    "BottleneckModel",
    "ConformerAdapter",
    "Houlsby",
    "OnSublayers",
    "SublayerConfig",
    "SublayerLayer",
    "SublayerModel",
    "takes_adapterhub_names",
]


class OnSublayers(Method):
    """Shared by the methods whose size is the width of a bottleneck."""

    size_name = "k"
    has_dropout = True
    mergeable = False

    def refusal(self, facts: Facts) -> str | None:
        places = PLACES.get(facts.config.model_type)
        if places is None:
            return f"the sub-layers of '{facts.config.model_type}' are not known"
        if not facts.targeted(places.pattern("attention+ffn", "serial") or ""):
            return "the model has no linear layer outside its head"
        return None

    def sizes(self, facts: Facts) -> list[int]:
        return [k for k in RANKS if k <= facts.width]


class Bottleneck(OnSublayers):
    """One dense adapter a block, after the feed-forward (Pfeiffer's place)."""

    name = "bottleneck"
    source = "arXiv 2005.00247"
    # Dense adapters were published with 3e-4 (Karimi Mahabadi et al. 2021) to 5e-3 (Cappellazzo
    # et al. 2024); Houlsby et al. 2019 choose among 3e-5, 3e-4 and 3e-3.
    learning_rates = (3e-4, 5e-3)

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return BottleneckConfig(
            task_type=facts.task_type, placement="ffn", width=size, dropout=dropout
        )


class ConformerAdapter(OnSublayers):
    """A convolution over the tokens beside every feed-forward, with the norms of the model."""

    name = "conformer"
    source = "arXiv 2312.03694"
    learning_rates = (1e-3, 1e-2)  # the paper trains at 5e-3
    kernel = 8  # the paper's best for short sounds; 31 where there are minutes

    def refusal(self, facts: Facts) -> str | None:
        if facts.task != "audio-classification":
            return "its convolution runs over the patches of a spectrogram"
        return super().refusal(facts)

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return BottleneckConfig(
            task_type=facts.task_type,
            placement="ffn",
            order="parallel",
            block="conformer",
            kernel=self.kernel,
            norm="group",  # as many parameters as the paper's, without statistics over a batch
            width=size,
            dropout=dropout,
            train_norms=True,
        )


class Houlsby(OnSublayers):
    """Two dense adapters a block, after attention and feed-forward, and all norms."""

    name = "houlsby"
    source = "arXiv 1902.00751"
    learning_rates = Bottleneck.learning_rates

    def refusal(self, facts: Facts) -> str | None:
        return super().refusal(facts) if facts.norms else "the model has no norms to train"

    def config(self, facts: Facts, size: int, dropout: float) -> peft.PeftConfig:
        return BottleneckConfig(
            task_type=facts.task_type, width=size, dropout=dropout, train_norms=True
        )
