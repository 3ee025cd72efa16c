"""Peak memory of a pass beside its prediction; ``python measured_pass.py FOLDER``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from parsimony.compress import memory
from parsimony.compress.pruning import prune
from parsimony.core import meter


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    config = LlamaConfig(
        vocab_size=64, hidden_size=256, intermediate_size=512, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=64,
    )  # fmt: skip
    found = LlamaForCausalLM(config)
    count, length, batch = 512, 64, 8
    ids = torch.randint(0, 64, (count, length))
    # What the first use of everything costs does not belong to the pass.
    prune(LlamaForCausalLM(config), "0.5", "sparsegpt", ids[:16], batch=batch)
    predicted = memory.predict(found, count, length, batch, curvature=True, targets=True)
    meter.forget_peak()
    before = meter.peak_memory().value
    prune(found, "0.5", "sparsegpt", ids, batch=batch, journal=folder, key="k")
    grown = meter.peak_memory().value - before
    expected = predicted.total - predicted.model  # the model is there already
    print(json.dumps({"grown": grown, "predicted": expected}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
