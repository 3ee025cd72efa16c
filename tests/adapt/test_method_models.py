"""Methods on other architectures: each either trains a step or says why it cannot."""

from __future__ import annotations

import pytest
import transformers

from parsimony.adapt.method import Facts, method, methods
from parsimony.core import cost, pretrained
from parsimony.core.errors import InputError

_SHAPE = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
CONFIGS = {
    "distilbert": transformers.DistilBertConfig(
        vocab_size=50, dim=32, hidden_dim=64, n_layers=2, n_heads=2, max_position_embeddings=64
    ),
    "roberta": transformers.RobertaConfig(**_SHAPE),
    "electra": transformers.ElectraConfig(embedding_size=16, **_SHAPE),
    "modernbert": transformers.ModernBertConfig(**_SHAPE),
    "t5": transformers.T5Config(
        vocab_size=50, d_model=32, d_ff=64, num_layers=2, num_heads=2, d_kv=16, pad_token_id=0,
        decoder_start_token_id=0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(CONFIGS))
@pytest.mark.parametrize("name", sorted(methods()))
def test_a_method_trains_or_refuses(kind: str, name: str) -> None:
    config = CONFIGS[kind]
    facts = Facts.of(config, "text-classification")
    way = methods()[name]
    if way.refusal(facts) or not way.sizes(facts):
        pytest.skip(way.refusal(facts) or "no size suits this model")
    model = way.apply(pretrained.build(config, facts.task), facts, way.sizes(facts)[0])
    batch = cost.text_batch(config, facts.task, 4, 8)()
    model(**batch).loss.backward()
    gradients = [p.grad for p in model.parameters() if p.requires_grad and p.grad is not None]
    assert any(bool(g.ne(0).any()) for g in gradients)


def test_the_head_is_whatever_peft_saves() -> None:
    """peft matches the head by the end of a name, so a pre-classifier belongs to it."""
    distilbert = Facts.of(CONFIGS["distilbert"], "text-classification")
    assert distilbert.head == ("classifier", "pre_classifier")
    roberta = Facts.of(CONFIGS["roberta"], "text-classification")
    assert roberta.head == ("classifier",)
    for facts in (distilbert, roberta):
        assert not [name for name in facts.linear if "classifier" in name]


@pytest.mark.parametrize(
    ("name", "kind", "task", "text"),
    [
        ("prefix", "distilbert", "text-classification", "keys and values"),
        ("prefix", "t5", "text-classification", "encoder-decoder"),
        ("prompt", "t5", "text-classification", "encoder-decoder"),
        ("bias", "modernbert", "text-classification", "with a bias"),
        ("prompt", "gpt2", "text-classification", "last token"),
        ("bias", "gpt2", "causal-lm", "Conv1D"),
        ("loha", "gpt2", "causal-lm", "Conv1D"),
        ("lokr", "gpt2", "causal-lm", "Conv1D"),
        ("oft", "gpt2", "causal-lm", "Conv1D"),
        ("linear-probe", "gpt2", "causal-lm", "no head"),
    ],
)
def test_refusals_say_why(name: str, kind: str, task: str, text: str) -> None:
    gpt2 = transformers.GPT2Config(vocab_size=50, n_embd=32, n_layer=1, n_head=2, pad_token_id=0)
    reason = methods()[name].refusal(Facts.of(CONFIGS.get(kind, gpt2), task))
    assert reason and text in reason


def test_models_without_what_a_method_needs_are_refused() -> None:
    facts = Facts.of(CONFIGS["roberta"], "text-classification")
    bare = Facts(**{**vars(facts), "linear": {}, "conv1d": (), "biased": (), "norms": ()})
    for name in ("lora", "dora", "rslora", "vera", "loha", "lokr", "oft", "ia3", "bias"):
        assert "no linear layer" in (methods()[name].refusal(bare) or ""), name
    assert "no trainable normalisation" in (methods()["ln-tuning"].refusal(bare) or "")


def test_an_architecture_peft_does_not_know_gets_every_linear_layer() -> None:
    facts = Facts.of(CONFIGS["distilbert"], "text-classification")
    unknown = [name for name in facts.linear if facts.targeted(facts.targets())[name]]
    assert facts.targets() == unknown
    known = Facts.of(CONFIGS["roberta"], "text-classification")
    assert known.targets() == ["query", "value"]
    assert len(known.targeted(["query", "value"])) == 4
    assert list(known.targeted(r".*layer\.1\..*(query|key)")) == [
        f"roberta.encoder.layer.1.attention.self.{part}" for part in ("query", "key")
    ]


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"unknown method, but got 'lorra'.*'lora'"):
        method("lorra")
