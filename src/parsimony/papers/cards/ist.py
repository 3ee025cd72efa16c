# Long because a claim is a function with a literal for each of its fields, and there are twenty.
"""Layer-wise Importance Matters: Less Memory for Better Performance in Parameter-efficient
Fine-tuning of Large Language Models."""

from __future__ import annotations

import copy
import functools
import itertools
import tempfile
from typing import TYPE_CHECKING, Any

from parsimony.core.errors import require
from parsimony.papers.claim import Measurement, claim
from parsimony.papers.counting import adapted, build

if TYPE_CHECKING:
    import numpy as np
    from torch import nn
    from transformers import PreTrainedModel, TrainerCallback

    from parsimony.core.layers import SavedBytes

CARD = {
    "slug": "ist",
    "title": (
        "Layer-wise Importance Matters: Less Memory for Better Performance in Parameter- "
        "efficient Fine-tuning of Large Language Models"
    ),
    "authors": None,
    "year": 2024,
    "arxiv": "2410.11772",
    "venue": "Findings of EMNLP 2024, pages 1977-1992",
    "areas": ("adapt",),
    "mechanism": "adapt/importance_sparse_tuning",
    "summary": (
        "Learns which layers matter while fine-tuning and trains only a quarter of them at "
        "each step, which saves memory and time."
    ),
    "official_code": ("antgroup/importance-aware-sparse-tuning-IST-paper",),
    "licence": None,
}

LLAMA_7B = {
    "config": "LlamaConfig",
    "model": "LlamaForCausalLM",
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
}
SMALL_LLAMA = {
    "config": "LlamaConfig",
    "model": "LlamaForCausalLM",
    "vocab_size": 256,
    "hidden_size": 256,
    "intermediate_size": 688,
    "num_hidden_layers": 16,
    "num_attention_heads": 4,
    "attn_implementation": "eager",
}
LORA = {"r": 32, "target_modules": ["q_proj", "k_proj", "v_proj", "up_proj", "down_proj"]}
BYTES_LORA = {"r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"]}


# -- counts ------------------------------------------------------------------------------------


@claim(
    name="llama-7b-trainable",
    statement="LoRA of rank 32 on q, k, v, up and down of LLaMA-7B.",
    published=56_098_816,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llama_7b() -> Measurement:
    return adapted(build(LLAMA_7B), "LoraConfig", **LORA)


@claim(
    name="llama-7b-layer",
    statement="The share of one layer of LLaMA-7B, which IST trains or leaves as a whole.",
    published=1_753_088,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llama_7b_layer() -> Measurement:
    return adapted(build({**LLAMA_7B, "num_hidden_layers": 1}), "LoraConfig", **LORA)


@claim(
    name="small-llama-trainable",
    statement="LoRA of rank 32 on the five modules of a Llama of 16 layers, width 256 and 688.",
    published=1_753_088,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def small_llama() -> Measurement:
    return adapted(build(SMALL_LLAMA), "LoraConfig", **LORA)


@claim(
    name="small-llama-layer",
    statement="The share of one of its layers.",
    published=109_568,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def small_llama_layer() -> Measurement:
    return adapted(build({**SMALL_LLAMA, "num_hidden_layers": 1}), "LoraConfig", **LORA)


def _counts(layers: int) -> tuple[int, int]:
    require("torch", "adapt")
    from parsimony.adapt.importance_sparse_tuning import ImportanceSparseTuning

    return ImportanceSparseTuning().counts(layers)


@claim(
    name="trained-of-32",
    statement="Layers of 32 that train at a step.",
    published=8,
    source="official code",
    unit="layers",
    direction="equal",
    level="exact",
)
def trained_of_32() -> Measurement:
    return Measurement(_counts(32)[0], note="the default")


@claim(
    name="damped-of-32",
    statement="Layers of 32 that a probe damps.",
    published=16,
    source="official code",
    unit="layers",
    direction="equal",
    level="exact",
)
def damped_of_32() -> Measurement:
    return Measurement(_counts(32)[1], note="the default")


@claim(
    name="probe-cost",
    statement="Probes cost three extra forward passes every ten steps.",
    published=0.3,
    source="derived",
    unit="forward passes a step",
    direction="equal",
    level="exact",
)
def probe_cost() -> Measurement:
    require("torch", "adapt")
    from parsimony.adapt.importance_sparse_tuning import ImportanceSparseTuning

    usual = ImportanceSparseTuning()
    return Measurement(usual.probes / usual.update_every, note="the defaults")


# -- the law of the draws and the update -------------------------------------------------------


def _lowest(total: int, trained: int) -> Measurement:
    require("torch", "adapt")
    from parsimony.adapt.importance_sparse_tuning import expected_lowest

    return Measurement(expected_lowest(total, trained), note="(L + 1) / (n + 1)")


@claim(
    name="lowest-of-32",
    statement="Mean lowest layer, from 1, of a uniform draw of 8 from 32.",
    published=3.667,
    source="derived",
    unit="layers",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def lowest_of_32() -> Measurement:
    return _lowest(32, 8)


@claim(
    name="lowest-of-12",
    statement="Mean lowest layer, from 1, of a uniform draw of 3 from 12.",
    published=3.25,
    source="derived",
    unit="layers",
    direction="equal",
    level="exact",
)
def lowest_of_12() -> Measurement:
    return _lowest(12, 3)


@claim(
    name="one-update",
    statement="One update from zero with sets {0,1}, {2,3}, {0,2} and losses 1.0, 2.0, 1.5.",
    published=0.0,
    published_text=(
        "rewards 0.125764, -0.106780, -0.018985; s = 0.26695, 0.31441, -0.31441, -0.26695"
    ),
    source="derived",
    unit="largest deviation",
    direction="equal",
    level="exact",
    tolerance=1e-5,
)
def one_update() -> Measurement:
    np = require("numpy", "adapt")
    require("torch", "adapt")
    from parsimony.adapt.importance_sparse_tuning import rewards, updated

    reward = rewards(np.array([1.0, 2.0, 1.5]))
    scores = -updated(np.zeros(4), [(0, 1), (2, 3), (0, 2)], reward)
    found = np.concatenate([reward, scores])
    row = [0.125764, -0.106780, -0.018985, 0.26695, 0.31441, -0.31441, -0.26695]
    return Measurement(float(abs(found - row).max()), note="over the three rewards and four scores")


@functools.cache
def _simulated(updates: int) -> float:
    """Mean AUC over ten seeds; 8 of 32 layers each cost 0.01 where they are damped."""
    np = require("numpy", "adapt")
    require("torch", "adapt")
    from parsimony.adapt.importance_sparse_tuning import distinct_draws, rewards, updated

    found = []
    for seed in range(10):
        random = np.random.default_rng(seed)
        useful = set(random.choice(32, 8, replace=False).tolist())
        importance = np.zeros(32)
        for _ in range(updates):
            sets = distinct_draws(importance, 16, 3, random)
            losses = np.array([2.0 + 0.01 * len(useful & set(chosen)) for chosen in sets])
            importance = updated(importance, sets, rewards(losses))
        found.append(_auc(importance, useful))
    return float(np.mean(found))


def _auc(importance: np.ndarray, useful: set[int]) -> float:
    """How often a useful layer ranks above another."""
    others = [index for index in range(len(importance)) if index not in useful]
    pairs = [(importance[u], importance[o]) for u in useful for o in others]
    return sum((u > o) + (u == o) / 2 for u, o in pairs) / len(pairs)


@claim(
    name="simulated-scorer-50",
    statement="After 50 updates useful layers rank above others: 8 of 32 that cost 0.01 each.",
    published=0.998,
    published_text="from a simulation of the rule, not from the paper",
    source="derived",
    unit="AUC",
    direction="at least",
    level="exact",
    tolerance=0.005,
)
def simulated_50() -> Measurement:
    return Measurement(_simulated(50), note="mean of ten seeds")


@claim(
    name="simulated-scorer-200",
    statement="After 200 updates all useful layers rank above all others.",
    published=1.0,
    published_text="from a simulation of the rule, not from the paper",
    source="derived",
    unit="AUC",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def simulated_200() -> Measurement:
    return Measurement(_simulated(200), note="mean of ten seeds")


# -- memory ------------------------------------------------------------------------------------


@functools.cache
def _saved() -> SavedBytes:
    """What the layers of the small Llama keep for four rows of 128 tokens."""
    torch, peft = require("torch", "adapt"), require("peft", "adapt")
    transformers = require("transformers", "adapt")
    from parsimony.core import layers

    settings = {k: v for k, v in SMALL_LLAMA.items() if k not in ("config", "model")}
    torch.manual_seed(0)
    base = transformers.LlamaForCausalLM(transformers.LlamaConfig(**settings))
    model = peft.get_peft_model(base, peft.LoraConfig(**LORA)).train()
    ids = torch.arange(512).reshape(4, 128) % 256
    found = layers.find(model, trained=True)
    return layers.saved_by_layer(model, {"input_ids": ids, "labels": ids}, found)


def _share(active: Any) -> float:
    saved = _saved()
    return saved.of(active) / saved.of(range(16))


@claim(
    name="small-llama-top",
    statement="Bytes kept for backward with the top 4 of 16 layers, against all.",
    published=0.249,
    published_text="0.249, measured on a Llama whose heads and vocabulary are not known",
    source="derived",
    unit="of all layers' bytes",
    direction="equal",
    level="exact",
    tolerance=0.01,
)
def small_llama_top() -> Measurement:
    return Measurement(_share(range(12, 16)), note="saved-tensor hooks, layer by layer")


@claim(
    name="small-llama-bottom",
    statement="Bytes kept for backward with the bottom 4 of 16 layers, against all.",
    published=0.811,
    published_text="0.811, measured on a Llama whose heads and vocabulary are not known",
    source="derived",
    unit="of all layers' bytes",
    direction="equal",
    level="exact",
    tolerance=0.01,
)
def small_llama_bottom() -> Measurement:
    return Measurement(_share(range(4)), note="saved-tensor hooks, layer by layer")


@claim(
    name="small-llama-random",
    statement="Mean bytes kept for backward with 4 random layers of 16, against all.",
    published=0.67,
    published_text="mean 0.67, 0.44 to 0.81 over 12 draws",
    source="derived",
    unit="of all layers' bytes",
    direction="equal",
    level="exact",
    tolerance=0.03,
)
def small_llama_random() -> Measurement:
    shares = [_share(chosen) for chosen in itertools.combinations(range(16), 4)]
    mean = sum(shares) / len(shares)
    return Measurement(
        mean, note=f"all 1,820 draws, {min(shares):.2f} to {max(shares):.2f}; 12 of them have a "
        "standard error of 0.03"
    )  # fmt: skip


# -- trainings ---------------------------------------------------------------------------------


def _train(
    model: nn.Module,
    rows: Any,
    steps: int,
    rate: float,
    *callbacks: TrainerCallback,
    collate: Any = None,
    batch: int = 8,
    seed: int = 0,
) -> None:
    """Train ``model`` in place, without checkpoints."""
    from transformers import Trainer, TrainingArguments

    with tempfile.TemporaryDirectory() as scratch:
        arguments = TrainingArguments(
            scratch, max_steps=steps, learning_rate=rate, per_device_train_batch_size=batch,
            save_strategy="no", logging_strategy="no", report_to=[], disable_tqdm=True,
            use_cpu=True, remove_unused_columns=False, seed=seed,
        )  # fmt: skip
        Trainer(model, arguments, collate, train_dataset=rows, callbacks=list(callbacks)).train()


@claim(
    name="scorer-finds-trained-layers",
    statement="Importances rank the layers whose LoRA was trained above those still at zero.",
    published=0.9,
    published_text="at least 0.9, asked for here; damping a layer at zero changes nothing",
    source="derived",
    unit="AUC",
    direction="at least",
    level="cpu",
)
def scorer_finds_trained_layers() -> Measurement:
    torch, peft = require("torch", "adapt"), require("peft", "adapt")
    transformers, np = require("transformers", "adapt"), require("numpy", "adapt")
    from parsimony.adapt.importance_sparse_tuning import ImportanceSparseTuning

    found = []
    for seed in range(2):
        torch.manual_seed(seed)
        config = transformers.LlamaConfig(
            vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=12,
            num_attention_heads=2,
        )  # fmt: skip
        lora = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj", "up_proj", "down_proj"])
        model = peft.get_peft_model(transformers.LlamaForCausalLM(config), lora)
        ids = (torch.randint(0, 64, (256, 1)) + 5 * torch.arange(12)) % 64  # learnable
        rows = [{"input_ids": row, "labels": row} for row in ids]
        useful = set(np.random.default_rng(seed).choice(12, 4, replace=False).tolist())
        _train(model, rows, 150, 1e-2, ImportanceSparseTuning("fixed", fixed=sorted(useful)))
        scorer = ImportanceSparseTuning(update_every=1, seed=seed)
        _train(model, rows, 201, 0.0, scorer)  # at rate zero: 200 updates, no training
        found.append(_auc(np.array(scorer.importance), useful))
    return Measurement(
        float(np.mean(found)),
        (min(found), max(found)),
        "4 of 12 layers of a small Llama trained, 200 updates; mean and range of 2 seeds",
    )


def _bytes_llama() -> PreTrainedModel:
    """A Llama of 8 layers over bytes, random."""
    torch, transformers = require("torch", "adapt"), require("transformers", "adapt")

    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=258, hidden_size=64, intermediate_size=128, num_hidden_layers=8,
        num_attention_heads=4, max_position_embeddings=64, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    model: PreTrainedModel = transformers.LlamaForCausalLM(config)
    return model


@functools.cache
def _adapted_to_bytes(rows: int, steps: int) -> dict[str, np.ndarray]:
    """Loss of 200 other rows under LoRA and under IST on it; shape (5 seeds, 200).

    A Llama over bytes that has learnt half of the docstrings of the standard library is adapted
    to some rows of the other half, at the same learning rate.
    """
    torch, peft = require("torch", "adapt"), require("peft", "adapt")
    transformers, tokenizers = require("transformers", "adapt"), require("tokenizers", "adapt")
    np, pandas = require("numpy", "adapt"), require("pandas", "adapt")
    from parsimony.adapt.importance_sparse_tuning import ImportanceSparseTuning
    from parsimony.core.data.builtins import stdlib_docs
    from parsimony.core.scoring import Collator, EncodedRows, score

    split = tokenizers.pre_tokenizers.ByteLevel
    names = ["<start>", "<end>", *sorted(split.alphabet())]
    vocabulary = {name: index for index, name in enumerate(names)}
    core = tokenizers.Tokenizer(tokenizers.models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = split(add_prefix_space=False)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, model_input_names=["input_ids", "attention_mask"]
    )
    tokenizer.add_special_tokens({"pad_token": "<end>"})
    texts, collate = stdlib_docs().table["text"].tolist(), Collator(tokenizer, "causal-lm")
    first, second, other = (
        EncodedRows(pandas.DataFrame({"text": chosen}), tokenizer, 32)
        for chosen in (texts[::2], texts[1::2][:rows], texts[1::2][-200:])
    )
    base = _bytes_llama()
    _train(base, first, 150, 3e-3, collate=collate, batch=16)
    found: dict[str, list[np.ndarray]] = {"lora": [], "ist": []}
    for name, losses in found.items():
        for seed in range(5):
            torch.manual_seed(seed)
            model = peft.get_peft_model(copy.deepcopy(base), peft.LoraConfig(**BYTES_LORA))
            sparse = [ImportanceSparseTuning(seed=seed)] if name == "ist" else []
            _train(model, second, steps, 1e-2, *sparse, collate=collate, seed=seed)
            losses.append(score(model, other, collate, "causal-lm").scores)
    return {name: np.stack(losses) for name, losses in found.items()}


def _gap(rows: int, steps: int) -> Measurement:
    from parsimony.core.trials import paired

    found = _adapted_to_bytes(rows, steps)
    gap = paired(found["lora"], found["ist"])
    return Measurement(
        gap.estimate,
        (gap.low, gap.high),
        f"loss with IST {found['ist'].mean():.3f}, LoRA {found['lora'].mean():.3f}; 2 of 8 layers "
        f"a step, {steps} steps of 8 rows out of {rows}, 5 seeds, paired",
        holds=gap.high >= 0,
    )


@claim(
    name="not-worse-on-few-rows",
    statement="At equal steps IST on LoRA is not worse than LoRA, where rows come back many times.",
    published=None,
    published_text="better accuracy than updating all layers alike (abstract)",
    source="abstract",
    unit="nats a byte below LoRA",
    direction="at least",
    level="cpu",
)
def not_worse_on_few_rows() -> Measurement:
    return _gap(rows=40, steps=120)


@claim(
    name="not-worse-on-fresh-rows",
    statement="At equal steps IST on LoRA is not worse than LoRA, where no row comes twice.",
    published=None,
    published_text="better accuracy than updating all layers alike (abstract)",
    source="abstract",
    unit="nats a byte below LoRA",
    direction="at least",
    level="cpu",
)
def not_worse_on_fresh_rows() -> Measurement:
    return _gap(rows=800, steps=80)


@functools.cache
def _kept() -> dict[str, list[float]]:
    """Over 60 steps, as shares of LoRA's: bytes kept for backward, of gradients, of moments."""
    torch, peft = require("torch", "adapt"), require("peft", "adapt")
    transformers = require("transformers", "adapt")
    from parsimony.adapt.importance_sparse_tuning import ImportanceSparseTuning
    from parsimony.core import layers

    model = peft.get_peft_model(_bytes_llama(), peft.LoraConfig(**BYTES_LORA)).train()
    rows = [{"input_ids": ids, "labels": ids} for ids in torch.randint(2, 258, (64, 32))]
    batch = {key: torch.stack([row[key] for row in rows[:8]]) for key in rows[0]}
    trained = [p for p in model.parameters() if p.requires_grad]
    size, all_saved = sum(p.nbytes for p in trained), layers.saved_bytes(model, batch)
    found: dict[str, list[float]] = {"activations": [], "gradients": [], "moments": []}

    class Watch(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            found["activations"].append(layers.saved_bytes(model, batch) / all_saved)

        def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
            held = sum(p.grad.nbytes for p in trained if p.grad is not None)
            found["gradients"].append(held / size)

        def on_step_end(self, *_: Any, optimizer: Any = None, **__: Any) -> None:
            states = (optimizer.state[p] for p in trained if p in optimizer.state)
            held = sum(s["exp_avg"].nbytes + s["exp_avg_sq"].nbytes for s in states)
            found["moments"].append(held / (2 * size))

    _train(model, rows, 60, 1e-2, ImportanceSparseTuning(drop_moments_after=4), Watch())
    return found


def _mean_share(kind: str) -> Measurement:
    shares = _kept()[kind]
    mean = sum(shares) / len(shares)
    return Measurement(
        mean,
        (min(shares), max(shares)),
        f"2 of 8 layers a step, mean of 60 steps, range; the peak is {max(shares):.2f}",
        holds=mean < 1,
    )


@claim(
    name="fewer-activations",
    statement="IST on LoRA keeps fewer bytes for the backward pass than LoRA, on average.",
    published=None,
    published_text="less memory (abstract)",
    source="abstract",
    unit="of LoRA's bytes",
    direction="at most",
    level="cpu",
)
def fewer_activations() -> Measurement:
    return _mean_share("activations")


@claim(
    name="fewer-gradients",
    statement="IST on LoRA keeps the gradients of the drawn layers alone.",
    published=None,
    published_text="less memory (abstract)",
    source="abstract",
    unit="of LoRA's bytes",
    direction="at most",
    level="cpu",
)
def fewer_gradients() -> Measurement:
    return _mean_share("gradients")


@claim(
    name="fewer-moments",
    statement="Where moments of layers that rest for four steps are freed, AdamW keeps fewer.",
    published=None,
    published_text="less memory (abstract); the official code keeps all moments",
    source="abstract",
    unit="of LoRA's bytes",
    direction="at most",
    level="cpu",
)
def fewer_moments() -> Measurement:
    return _mean_share("moments")
