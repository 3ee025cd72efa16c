"""llm-compressor's side of what ``compress.py`` compares; run by a Python that has it.

Nothing of parsimony is imported: it does not install beside this version of llm-compressor.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

from _apart import serve

BATCH = 8  # windows at a time; parsimony's default
QUANTIZED = re.compile(r"(?:(awq|smoothquant)\+)?(rtn|gptq):w([0-9]+)(?:g([0-9]+))?(?:a([0-9]+))?")
IGNORED = ["re:.*lm_head"]
PRUNED = re.compile(r"(wanda|sparsegpt):(?:([0-9]+)%|([0-9]+:[0-9]+))")


def recipe(what: str) -> list[tuple[str, dict[str, Any]]]:
    """Modifiers by name with their arguments, those of the papers where both sides have a choice.

    Args:
        what: such as ``awq+rtn:w4g32`` or ``wanda:2:4``.

    Raises:
        ValueError: not such a text.
    """
    if found := PRUNED.fullmatch(what):
        name = {"wanda": "WandaPruningModifier", "sparsegpt": "SparseGPTModifier"}[found[1]]
        share = float(found[2]) / 100 if found[2] else 0.5
        return [(name, {"sparsity": share, "mask_structure": found[3] or "0:0", "ignore": IGNORED})]
    if not (found := QUANTIZED.fullmatch(what)):
        raise ValueError(f"no recipe for {what}")
    transform, rounding, bits, group, activations = found.groups()
    weights = {
        "num_bits": int(bits),
        "type": "int",
        "symmetric": True,
        "strategy": "group" if group else "channel",
        "group_size": int(group) if group else None,
        "observer": "memoryless_minmax",
    }
    scheme: dict[str, Any] = {"targets": ["Linear"], "weights": weights}
    if activations:
        scheme["input_activations"] = {
            "num_bits": int(activations),
            "type": "int",
            "symmetric": True,
            "strategy": "token",
            "dynamic": True,
        }
    arguments: dict[str, Any] = {"config_groups": {"all": scheme}, "ignore": IGNORED}
    steps = {
        "awq": [("AWQModifier", {"duo_scaling": False})],
        "smoothquant": [("SmoothQuantModifier", {"smoothing_strength": 0.5})],
    }.get(transform, [])
    if rounding == "gptq":
        return [*steps, ("GPTQModifier", {"actorder": None, **arguments})]
    return [*steps, ("QuantizationModifier", arguments)]


def compress(model: Any, windows: Any, what: str) -> None:
    """Prune or quantize in place."""
    from datasets import Dataset
    from llmcompressor import oneshot
    from llmcompressor.modifiers import gptq, pruning, quantization, transform
    from llmcompressor.pipelines.cache import IntermediatesCache
    from transformers import AutoTokenizer

    # AWQ pins memory for a device even where there is none, and fails; no number depends on it.
    IntermediatesCache.pin_memory = lambda *_: None
    known = {k: v for m in (gptq, pruning, quantization, transform) for k, v in vars(m).items()}
    oneshot(
        model=model,
        tokenizer=AutoTokenizer.from_pretrained(model.config._name_or_path),
        recipe=[known[name](**arguments) for name, arguments in recipe(what)],
        dataset=Dataset.from_dict({"input_ids": windows.tolist()}),
        num_calibration_samples=len(windows),
        max_seq_length=windows.shape[1],
        shuffle_calibration_samples=False,
        batch_size=BATCH,
    )


if __name__ == "__main__":
    serve(compress, {n: importlib.metadata.version(n) for n in ("llmcompressor", "torch")})
