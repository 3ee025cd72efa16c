"""Our side of what ``compress.py`` compares with llm-compressor; see ``_apart``."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

from _apart import serve
from torch import Tensor, nn

from parsimony.compress.pruner import pruners
from parsimony.compress.pruning import prune
from parsimony.compress.quantizer import Spec
from parsimony.compress.quantizing import quantize
from parsimony.compress.recipe import Pruning
from parsimony.core.run import versions


def compress(model: nn.Module, windows: Tensor, what: str) -> None:
    """Prune or quantize in place."""
    if what.partition(":")[0] in pruners():
        pruning = Pruning.parse(what)
        prune(model, pruning.target, pruning.method, windows)
    else:
        spec = Spec.parse(what)
        quantize(model, spec, windows if spec.needs_data else None)


if __name__ == "__main__":
    serve(compress, versions())
