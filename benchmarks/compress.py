"""What ``compress`` costs and yields beside its peers, on one thread.

``python benchmarks/compress.py [--json] [--only PART] [--peer-python PATH]`` prints counts, and
ratios of ours over the peer's with their spread, never an absolute time. Times are processor time;
the two that are compared take turns. In this process, with other weights at every repetition:

* code books: what differs from bitsandbytes, times of both ways. With double quantization the
  bytes of some absmax differ: its CPU kernel does not always find the nearest, ours does;
* magnitude pruning: mask entries that differ from torch.nn.utils.prune's and, for 2:4, from those
  of torch.ao's WeightNormSparsifier; times;
* 2:4 of every pruner on the built-in model, other calibration windows at every repetition:
  matrices that torch's own packing for sparse tensor cores does not give back as they were.

llm-compressor does not install beside the versions that parsimony is tested with. It is run where
``--peer-python`` or the variable PARSIMONY_LLMCOMPRESSOR names a Python of an environment of its
own. Ours and theirs then take turns on the built-in model, every run in a fork of a warm process,
with other calibration windows at every repetition, the same for both:

* time and growth of the process between a loaded model and a compressed one. Theirs includes the
  trace of the model that it begins with, which matters with a model as small as this;
* perplexity on the same held-out windows; in brackets by how many nats per token either is above
  the original, as medians.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import math
import os
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
import transformers
from _apart import Found, Order, Worker, WorkerError
from _rows import FEWEST, Row, ratios, show
from bitsandbytes import functional as bitsandbytes
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.ao.pruning import WeightNormSparsifier
from torch.nn.utils import prune as torch_prune
from torch.sparse import _semi_structured_conversions as semi_structured
from transformers import LlamaForCausalLM

from parsimony.compress.codebooks import BlockCodes, BlockGrid, DoubleScales
from parsimony.compress.pruner import pruners
from parsimony.compress.pruning import prune
from parsimony.compress.walk import matrix
from parsimony.core import data, stdlib_lm
from parsimony.core.inputs.joined import windows
from parsimony.core.prunable import block_linears

TURNS = 2  # of either side a repetition
SIDE = 1024  # rows and columns of a weight that goes into a code book
BOOKS = ("nf4", "fp4", "nf4-dq", "fp4-dq")
WIDE = stdlib_lm.Recipe(width=256, feedforward=512, layers=2)
WINDOW, CALIBRATION, HELD_OUT = 128, 32, 64
RECIPES = (
    "rtn:w4g32", "gptq:w4g32", "awq+rtn:w4g32", "rtn:w8a8", "smoothquant+rtn:w8a8",
    "smoothquant+gptq:w8a8", "wanda:50%", "wanda:2:4", "sparsegpt:50%", "sparsegpt:2:4",
)  # fmt: skip
VARIABLE = "PARSIMONY_LLMCOMPRESSOR"
ENVIRONMENT = (
    "python3.11 -m venv llmc && llmc/bin/pip install torch==2.13.0 llmcompressor==0.14.0.1"
)
HERE = Path(__file__).parent


def differing(ours: Tensor, theirs: Tensor) -> int:
    """How many entries are not equal."""
    return int((ours.flatten() != theirs.flatten()).sum())


def count_rows(label: str, once: Callable[[int], dict[str, int]]) -> list[Row]:
    """What is counted with each seed, as rows."""
    found = [once(seed) for seed in range(FEWEST)]
    return [
        Row(f"{label}: {name}", "count", tuple(counts[name] for counts in found))
        for name in found[0]
    ]


def book_rows(name: str) -> list[Row]:
    """A code book beside bitsandbytes'."""
    grid = BlockGrid.parse(name)

    def weight(seed: int) -> Tensor:
        return torch.randn(SIDE, SIDE, generator=torch.Generator().manual_seed(seed)) * 0.02

    def quantized(w: Tensor) -> tuple[Tensor, bitsandbytes.QuantState]:
        codes, state = bitsandbytes.quantize_4bit(
            w, blocksize=grid.block, quant_type=grid.book, compress_statistics=grid.double
        )
        return codes, state

    def counts(seed: int) -> dict[str, int]:
        w = weight(seed)
        ours, (codes, state) = grid.codes(w), quantized(w)
        found = {f"differing of {codes.numel():,} bytes": differing(ours.values, codes)}
        theirs = state.absmax
        if isinstance(ours.scales, DoubleScales):
            theirs = DoubleScales(state.absmax, state.state2.absmax, state.offset)
            off = [
                (scales.scales() - BlockGrid(grid.book, grid.block).codes(w).scales).abs()
                for scales in (ours.scales, theirs)
            ]
            found |= {
                f"differing of {len(theirs.values):,} bytes of absmax": differing(
                    ours.scales.values, theirs.values
                ),
                "absmax farther from the exact ones": int((off[0] > off[1]).sum()),
                "differing absmax of absmax, and means": differing(
                    ours.scales.absmax, theirs.absmax
                )
                + differing(ours.scales.mean, theirs.mean),
            }
        else:
            found[f"differing of {len(theirs):,} absmax"] = differing(ours.scales, theirs)
        read = BlockCodes(codes.flatten(), theirs, w.shape, w.dtype, grid).weight()
        decoded = bitsandbytes.dequantize_4bit(codes, state)
        return found | {"differing values of the same codes": differing(read, decoded)}

    label, w = f"{name}, ours / bitsandbytes", weight(0)
    ours, theirs = grid.codes(w), quantized(w)
    quantize = ratios(lambda: grid.codes(w), lambda: quantized(w), TURNS)
    decode = ratios(ours.weight, lambda: bitsandbytes.dequantize_4bit(*theirs), TURNS)
    return [
        *count_rows(label, counts),
        Row(f"{label}: time to quantize", "ratio", quantize),
        Row(f"{label}: time to decode", "ratio", decode),
    ]


def _by_layers(layers: dict[str, nn.Module]) -> None:
    for layer in layers.values():
        torch_prune.l1_unstructured(layer, "weight", 0.5)


def _over_the_model(layers: dict[str, nn.Module]) -> None:
    pairs = [(layer, "weight") for layer in layers.values()]
    torch_prune.global_unstructured(pairs, torch_prune.L1Unstructured, amount=0.5)


def _by_torch_ao(layers: dict[str, nn.Module]) -> None:
    sparsifier = WeightNormSparsifier(1.0, sparse_block_shape=(1, 4), zeros_per_block=2)
    holder = nn.ModuleList(layers.values())
    sparsifier.prepare(holder, [{"tensor_fqn": f"{i}.weight"} for i in range(len(holder))])
    sparsifier.step()


MAGNITUDE = {
    "50%": ("torch.nn.utils.prune", _by_layers),
    "50%:model": ("torch.nn.utils.prune", _over_the_model),
    "2:4": ("torch.ao.pruning", _by_torch_ao),
}


def _mask(layer: nn.Module) -> Tensor:
    """Of a layer that torch has pruned."""
    found = getattr(layer, "weight_mask", None)
    mask: Tensor = layer.parametrizations.weight[0].mask if found is None else found  # type: ignore[union-attr,index]
    return mask.bool()


def magnitude_rows(target: str) -> list[Row]:
    """Magnitude pruning beside torch's own."""
    peer, theirs = MAGNITUDE[target]

    def model(seed: int) -> LlamaForCausalLM:
        return stdlib_lm.untrained(dataclasses.replace(WIDE, seed=seed))

    def counts(seed: int) -> dict[str, int]:
        masks, layers = prune(model(seed), target).masks, block_linears(model(seed))
        theirs(layers)
        pairs = [(masks[f"{name}.weight"], _mask(layer)) for name, layer in layers.items()]
        total = sum(mask.numel() for mask, _ in pairs)
        return {f"differing of {total:,} mask entries": sum(differing(*pair) for pair in pairs)}

    mine, other = (iter([copy.deepcopy(model(0)) for _ in range(FEWEST * TURNS)]) for _ in range(2))
    times = ratios(
        lambda: prune(next(mine), target), lambda: theirs(block_linears(next(other))), TURNS
    )
    label = f"magnitude:{target}, ours / {peer}"
    return [*count_rows(label, counts), Row(f"{label}: time", "ratio", times)]


def unpacked_as_it_was(weight: Tensor) -> bool:
    """Whether torch's packing of 2:4 matrices, [outputs, inputs], loses nothing of this one."""
    half = weight.bfloat16()  # the type it is for; no value but zero becomes zero
    packed = semi_structured.sparse_semi_structured_from_dense_cutlass(half)
    return torch.equal(semi_structured.sparse_semi_structured_to_dense_cutlass(*packed), half)


def pattern_rows(original: LlamaForCausalLM, draws: list[Tensor]) -> list[Row]:
    """2:4 as torch reads it, of the original and of what every pruner makes of it."""

    def counts(method: str, seed: int) -> dict[str, int]:
        model = copy.deepcopy(original)
        if method != "dense":
            prune(model, "2:4", method, draws[seed], seed=seed)
        layers = [matrix(layer) for layer in block_linears(model).values()]
        return {
            f"matrices of {len(layers)} not 2:4": sum(not unpacked_as_it_was(w) for w in layers)
        }

    return [
        row
        for method in ("dense", *pruners())
        for row in count_rows(f"{method}, torch's 2:4 packing", lambda s, m=method: counts(m, s))
    ]


def peer_rows(what: str, peer: str, pairs: list[tuple[Found, Found]], dense: float) -> list[Row]:
    """One recipe beside llm-compressor's.

    Args:
        what: the recipe.
        peer: its name and version.
        pairs: ours and theirs.
        dense: loss of the original.
    """
    label = f"{what}, ours / {peer}"
    above = (
        statistics.median(side.loss for side in sides) - dense for sides in zip(*pairs, strict=True)
    )
    return [
        Row(f"{label}: time", "ratio", tuple(a.seconds / b.seconds for a, b in pairs)),
        Row(f"{label}: memory", "ratio", tuple(a.growth / b.growth for a, b in pairs)),
        Row(
            f"{label}: perplexity ({{:+.4f}} / {{:+.4f}})".format(*above),
            "ratio",
            tuple(math.exp(a.loss - b.loss) for a, b in pairs),
        ),
    ]


def beside_llm_compressor(
    python: str, model: Path, files: list[Path]
) -> tuple[list[Row], list[str]]:
    """Rows, and what could not be run with the reason.

    Args:
        python: that has llm-compressor.
        model: folder of the original.
        files: windows, one per repetition.

    Raises:
        WorkerError: that Python does not start it.
    """
    rows, failed = [], []
    with ExitStack() as stack:
        ours = stack.enter_context(Worker(sys.executable, HERE / "_parsimony.py"))
        theirs = stack.enter_context(Worker(python, HERE / "_llmcompressor.py"))
        peer = f"llm-compressor {theirs.versions['llmcompressor']}"
        dense = ours(Order(str(model), str(files[0]), "")).loss
        for what in RECIPES:
            orders = [Order(str(model), str(file), what) for file in files]
            try:
                found = [_in_turns(ours, theirs, i, order) for i, order in enumerate(orders)]
            except WorkerError as error:
                failed.append(f"{what}, ours / {peer}: {error}")
                continue
            rows += peer_rows(what, peer, found, dense)
    return rows, failed


def _in_turns(ours: Worker, theirs: Worker, turn: int, order: Order) -> tuple[Found, Found]:
    """What came of ours and of theirs; the first of a turn changes."""
    if turn % 2:
        second = theirs(order)
        return ours(order), second
    return ours(order), theirs(order)


def measure(only: str | None, python: str | None, folder: Path) -> tuple[list[Row], list[str]]:
    """All rows, or those of one part; and what was not run."""
    rows, not_run = [], []
    if only in (None, "books"):
        rows += [row for name in BOOKS for row in book_rows(name)]
    if only in (None, "magnitude"):
        rows += [row for target in MAGNITUDE for row in magnitude_rows(target)]
    peer = only in (None, "llm-compressor") and python is not None
    if only in (None, "2:4") or peer:
        home, texts = stdlib_lm.folder(), data.load("stdlib-code").splits
        words = stdlib_lm.tokenizer(WINDOW)
        train, test = (list(texts[split]["text"]) for split in ("train", "test"))
        count = FEWEST * CALIBRATION
        draws = list(windows(train, words, WINDOW, count).split(CALIBRATION))
    if only in (None, "2:4"):
        rows += pattern_rows(LlamaForCausalLM.from_pretrained(home, dtype=torch.float32), draws)
    if peer:
        held_out = windows(test, words, WINDOW, HELD_OUT)
        files = [folder / f"{seed}.safetensors" for seed in range(FEWEST)]
        for file, drawn in zip(files, draws, strict=True):
            save_file({"calibration": drawn.clone(), "held_out": held_out}, file)
        found, not_run = beside_llm_compressor(python, home, files)
        rows += found
    elif only in (None, "llm-compressor"):
        not_run = [
            f"{', '.join(RECIPES)} beside llm-compressor. Make an environment that has it, "
            f"{ENVIRONMENT}, and add --peer-python llmc/bin/python"
        ]
    return rows, not_run


PARTS = ("books", "magnitude", "2:4", "llm-compressor")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compression beside its peers.")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--only", choices=PARTS, help="the one part to measure")
    parser.add_argument(
        "--peer-python", default=os.environ.get(VARIABLE), help="a Python that has llm-compressor"
    )
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # libraries' notes to their own developers
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        try:
            rows, not_run = measure(options.only, options.peer_python, Path(folder))
        except WorkerError as error:
            sys.exit(f"--peer-python {options.peer_python} must have llm-compressor: {error}")
    show(rows, options.json, not_run)


if __name__ == "__main__":
    main()
