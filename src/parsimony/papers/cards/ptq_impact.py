# Long because every figure of the sheet is a claim of its own.
"""Understanding the Impact of Post-Training Quantization on Large Language Models.

Of the paper only the abstract could be read: its prompts, grid and tables could not be checked. How
its promises are measured here is this project's own way, and not the paper's.
"""

from __future__ import annotations

import functools
import itertools
from typing import TYPE_CHECKING, Any

from parsimony.papers.claim import Measurement, claim
from parsimony.papers.counting import build

if TYPE_CHECKING:
    import numpy as np

    from parsimony.core.trials import Interval

CARD = {
    "slug": "ptq-impact",
    "title": "Understanding the Impact of Post-Training Quantization on Large Language Models",
    "authors": ("Somnath Roy",),
    "year": 2023,
    "arxiv": "2309.05210",
    "venue": "preprint",
    "areas": ("compress",),
    "mechanism": "compress/quantize, generation study",
    "summary": (
        "Says which quantizer is the safest at the generation settings one uses, and what it "
        "costs in memory and speed."
    ),
    "official_code": (),
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
LLAMA_13B = {
    **LLAMA_7B,
    "hidden_size": 5120,
    "intermediate_size": 13824,
    "num_hidden_layers": 40,
    "num_attention_heads": 40,
}
FALCON_7B = {
    "config": "FalconConfig",
    "model": "FalconForCausalLM",
    "vocab_size": 65024,
    "hidden_size": 4544,
    "num_hidden_layers": 32,
    "num_attention_heads": 71,
    "multi_query": True,
    "new_decoder_architecture": False,
    "parallel_attn": True,
    "bias": False,
    "alibi": False,
}

OURS = "our protocol, not the paper's: stdlib-lm, "
TEMPERATURES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 1.2)
MIDDLE = (0.5, 0.6, 0.7, 0.8)


def _bits(name: str) -> Measurement:
    from parsimony.compress.codebooks import BlockGrid

    return Measurement(BlockGrid.parse(name).bits_per_weight(), note="of a large tensor")


def _bits_of_a_square(block: int, double: bool) -> float:
    """Of 1024 x 1024 weights, the 1 KiB code of absmax counted and the 16 codes of weights not."""
    from parsimony.compress.codebooks import BlockGrid

    grid = BlockGrid("nf4", block, double, saves=False)
    return grid.bits_per_weight(1024 * 1024) - 8 * 4 * 16 / 1024**2


def _error(name: str) -> float:
    """Relative root-mean-square error on N(0, 0.02)."""
    import torch

    from parsimony.compress.codebooks import BlockGrid

    weight = 0.02 * torch.randn(1024, 1024, generator=torch.Generator().manual_seed(0))
    rounded = BlockGrid.parse(name).codes(weight).weight()
    return float((rounded - weight).norm() / weight.norm())


def _gaussian(name: str) -> Measurement:
    return Measurement(_error(name), note="1024 x 1024 values of N(0, 0.02), seed 0")


@functools.cache
def _weights(name: str) -> tuple[int, int]:
    """Of the linear layers in blocks, and all others."""
    from parsimony.core.prunable import block_linears

    model = build({"llama-7b": LLAMA_7B, "llama-13b": LLAMA_13B, "falcon-7b": FALCON_7B}[name])
    linear = sum(int(layer.weight.numel()) for layer in block_linears(model).values())  # type: ignore[union-attr,operator]
    return linear, sum(p.numel() for p in model.parameters()) - linear


def _gigabytes(name: str, spec: str | None, *roles: str) -> Measurement:
    """Stored bytes of these roles, the parts that are not quantized in bf16."""
    import torch

    from parsimony.compress.generation_study.study import stored_bytes
    from parsimony.compress.quantizer import Spec

    architecture = {"llama-7b": LLAMA_7B, "llama-13b": LLAMA_13B}[name]
    model = build(architecture).to(torch.bfloat16)
    found = stored_bytes(model, None if spec is None else Spec.parse(spec)) or {}
    rest = ", ".join(f"{role} {n / 1e9:.4f}" for role, n in found.items() if role not in roles)
    note = f"{', '.join(roles)}, on the meta device" + (f"; beside it {rest} GB" if rest else "")
    return Measurement(sum(found.get(role, 0) for role in roles) / 1e9, note=note)


def _falcon_untied(name: str | None) -> float:
    """Gigabytes of Falcon-7B with an output projection of its own, as litgpt has it."""
    from parsimony.compress.codebooks import BlockGrid

    linear, others = _weights("falcon-7b")
    bits = 16.0 if name is None else 8.0
    if name not in (None, "int8"):
        bits = BlockGrid.parse(str(name)).bits_per_weight()
    head = FALCON_7B["vocab_size"] * FALCON_7B["hidden_size"]  # type: ignore[operator]
    return (linear * bits / 8 + 2 * (others + head)) / 1e9


def _litgpt(name: str | None) -> Measurement:
    return Measurement(
        _falcon_untied(name),
        note="computed weights alone, embedding and output in 16 bit; litgpt measured a run",
    )


@functools.cache
def _predictions() -> dict[str, dict[str, Any]]:
    """What ``compress generation`` keeps of each method's predictions, on more text."""
    from parsimony.compress.generation_study import study
    from parsimony.compress.generation_study.design import METHODS, Request
    from parsimony.core.console import Console

    request = Request(
        methods=METHODS, temperatures=TEMPERATURES, top_k=(None,), windows=256, device="cpu"
    )
    job = study.read(request, Console(quiet=True))
    return {m: study.predictions(job, study.Subject(job, m)) for m in job.methods}


def _nats(method: str) -> np.ndarray:
    import numpy as np

    return np.array([_predictions()[method]["nats"]])


def _distance(method: str, temperature: float) -> np.ndarray:
    import numpy as np

    rows = _predictions()[method]["divergence"]
    return np.array([next(r["kl"] for r in rows if r["temperature"] == temperature)])


def _more(worse: str, better: str) -> Measurement:
    """How much more loss one method brings than another; it must be seen."""
    from parsimony.core.trials import paired

    gap = paired(_nats(worse), _nats(better))
    return Measurement(
        gap.estimate,
        (gap.low, gap.high),
        f"{OURS}256 held-out windows, paired; holds where the interval lies above 0",
        holds=gap.low > 0,
    )


def _apart(first: Any, second: Any) -> float:
    """Relative difference of two means."""
    return abs(float(first.mean()) / float(second.mean()) - 1)


def _doubled(method: str) -> Measurement:
    plain, double = (_nats(name) - _nats("fp32") for name in (method, f"{method}-dq"))
    far = _apart(_distance(f"{method}-dq", 1.0), _distance(method, 1.0))
    note = (
        f"{OURS}change of the loss {plain.mean():+.5f}, doubly quantized {double.mean():+.5f}; "
        f"KL at temperature 1 differs by {far:.2%}"
    )
    return Measurement(100 * _apart(double, plain), note=note)


def _falls(method: str) -> Measurement:
    """Steps between neighbouring temperatures at which the divergence is not seen to fall."""
    from parsimony.core.trials import paired

    steps = itertools.pairwise(TEMPERATURES)
    gaps = [paired(_distance(method, low), _distance(method, high)) for low, high in steps]
    curve = ", ".join(f"{t:g}: {_distance(method, t).mean():.4f}" for t in TEMPERATURES)
    missing = sum(gap.low <= 0 for gap in gaps)
    return Measurement(
        missing,
        note=f"{OURS}of {len(gaps)} steps, by paired 95 % intervals; KL {curve}",
        holds=missing == 0,
    )


def _peak(method: str) -> Measurement:
    """KL times T in the middle, over what it is below and above: the smaller excess."""
    from parsimony.core.trials import paired

    def scaled(temperatures: tuple[float, ...]) -> np.ndarray:
        return sum(t * _distance(method, t) for t in temperatures) / len(temperatures)  # type: ignore[return-value]

    middle = scaled(MIDDLE)
    excesses: list[Interval] = [
        paired(middle, scaled(tuple(t for t in TEMPERATURES if side(t))))
        for side in (lambda t: t < MIDDLE[0], lambda t: t > MIDDLE[-1])
    ]
    least = min(excesses, key=lambda gap: gap.estimate)
    return Measurement(
        least.estimate,
        (least.low, least.high),
        f"{OURS}the smaller excess over the temperatures below and above; no peak unless both "
        "intervals lie above 0",
        holds=any(gap.low <= 0 for gap in excesses),
    )


@functools.cache
def _written() -> dict[str, Any]:
    """Cells of texts at two temperatures inside and two outside of 0.5 to 0.8."""
    import numpy as np

    from parsimony.compress.generation_study import study
    from parsimony.compress.generation_study.design import Request
    from parsimony.core.console import Console

    request = Request(
        methods=("nf4", "fp4"), temperatures=(0.2, 0.5, 0.8, 1.1), top_k=(None,), prompts=48,
        device="cpu",
    )  # fmt: skip
    job = study.read(request, Console(quiet=True))
    found: dict[str, Any] = {}
    for method in job.methods:
        subject, values = study.Subject(job, method), {}
        for cell in job.design.cells(method):
            key = cell.sampling.temperature
            values.setdefault(key, []).append(study.write(job, subject, cell)["nats"])
        found[method] = {t: np.array(rows) for t, rows in values.items()}
    return found


def _more_in_the_middle(method: str) -> Measurement:
    from parsimony.core.trials import bootstrap

    mine, base = _written()[method], _written()["fp32"]
    gap = {t: abs((mine[t] - base[t]).mean(0, keepdims=True)) for t in base}
    found = bootstrap((gap[0.5] + gap[0.8]) / 2 - (gap[0.2] + gap[1.1]) / 2)
    means = ", ".join(f"{t:g}: {(mine[t] - base[t]).mean():+.3f}" for t in base)
    return Measurement(
        found.estimate,
        (found.low, found.high),
        f"{OURS}48 prompts, 3 seeds, 64 tokens; size of the change in nats per token under the "
        "original (the chance of drawing is in it), 0.5 and 0.8 less 0.2 and 1.1; mean changes "
        f"{means}",
        holds=found.low > 0,
    )


@claim(
    name="bits-block-32",
    statement="Bits per weight of a 4-bit code book in blocks of 32.",
    published=5.0,
    source="derived",
    unit="bits",
    direction="equal",
    level="exact",
)
def bits_block_32() -> Measurement:
    return _bits("nf4b32")


@claim(
    name="bits-block-64",
    statement="Bits per weight of a 4-bit code book in blocks of 64.",
    published=4.5,
    source="derived",
    unit="bits",
    direction="equal",
    level="exact",
)
def bits_block_64() -> Measurement:
    return _bits("nf4")


@claim(
    name="bits-block-128",
    statement="Bits per weight of a 4-bit code book in blocks of 128.",
    published=4.25,
    source="derived",
    unit="bits",
    direction="equal",
    level="exact",
)
def bits_block_128() -> Measurement:
    return _bits("nf4b128")


@claim(
    name="bits-block-256",
    statement="Bits per weight of a 4-bit code book in blocks of 256.",
    published=4.125,
    source="derived",
    unit="bits",
    direction="equal",
    level="exact",
)
def bits_block_256() -> Measurement:
    return _bits("nf4b256")


@claim(
    name="bits-double",
    statement="Bits per weight in blocks of 64 with double quantization, of a large tensor.",
    published=4.127,
    source="derived",
    unit="bits",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def bits_double() -> Measurement:
    return _bits("nf4-dq")


@claim(
    name="bits-double-1024",
    statement="The same of 1024 x 1024 weights, the 1 KiB code of the absmax counted.",
    published=4.1348,
    source="derived",
    unit="bits",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def bits_double_1024() -> Measurement:
    return Measurement(_bits_of_a_square(64, True), note="the 16 codes of weights not counted")


@claim(
    name="bits-double-saves",
    statement="What double quantization saves in blocks of 64.",
    published=0.373,
    source="derived",
    unit="bits",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def bits_double_saves() -> Measurement:
    return Measurement(_bits("nf4").value - _bits("nf4-dq").value, note="of a large tensor")


@claim(
    name="bits-large-block-double",
    statement="Double quantization in blocks of 4096 of 1024 x 1024 weights.",
    published=4.0098,
    source="derived",
    unit="bits",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def bits_large_block_double() -> Measurement:
    return Measurement(_bits_of_a_square(4096, True), note="refused by quantize: it costs more")


@claim(
    name="bits-large-block",
    statement="The same without double quantization, which is less.",
    published=4.0078,
    source="derived",
    unit="bits",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def bits_large_block() -> Measurement:
    return Measurement(_bits_of_a_square(4096, False), note="the 16 codes of weights not counted")


@claim(
    name="error-nf4-64",
    statement="Relative error of nf4 in blocks of 64 on Gaussian weights.",
    published=0.092,
    source="derived",
    unit="relative RMSE",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def error_nf4_64() -> Measurement:
    return _gaussian("nf4")


@claim(
    name="error-nf4-32",
    statement="Relative error of nf4 in blocks of 32 on Gaussian weights.",
    published=0.0873,
    source="derived",
    unit="relative RMSE",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def error_nf4_32() -> Measurement:
    return _gaussian("nf4b32")


@claim(
    name="error-nf4-128",
    statement="Relative error of nf4 in blocks of 128 on Gaussian weights.",
    published=0.0956,
    source="derived",
    unit="relative RMSE",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def error_nf4_128() -> Measurement:
    return _gaussian("nf4b128")


@claim(
    name="error-nf4-256",
    statement="Relative error of nf4 in blocks of 256 on Gaussian weights.",
    published=0.0988,
    source="derived",
    unit="relative RMSE",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def error_nf4_256() -> Measurement:
    return _gaussian("nf4b256")


@claim(
    name="error-nf4-1024",
    statement="Relative error of nf4 in blocks of 1024 on Gaussian weights.",
    published=0.1045,
    source="derived",
    unit="relative RMSE",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def error_nf4_1024() -> Measurement:
    return _gaussian("nf4b1024")


@claim(
    name="error-fp4-64",
    statement="Relative error of fp4 in blocks of 64 on Gaussian weights.",
    published=0.1219,
    source="derived",
    unit="relative RMSE",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def error_fp4_64() -> Measurement:
    return _gaussian("fp4")


@claim(
    name="error-fp4-32",
    statement="Relative error of fp4 in blocks of 32 on Gaussian weights.",
    published=0.1142,
    source="derived",
    unit="relative RMSE",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def error_fp4_32() -> Measurement:
    return _gaussian("fp4b32")


@claim(
    name="error-fp4-128",
    statement="Relative error of fp4 in blocks of 128 on Gaussian weights.",
    published=0.1287,
    source="derived",
    unit="relative RMSE",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def error_fp4_128() -> Measurement:
    return _gaussian("fp4b128")


@claim(
    name="error-fp4-256",
    statement="Relative error of fp4 in blocks of 256 on Gaussian weights.",
    published=0.1347,
    source="derived",
    unit="relative RMSE",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def error_fp4_256() -> Measurement:
    return _gaussian("fp4b256")


@claim(
    name="error-fp4-1024",
    statement="Relative error of fp4 in blocks of 1024 on Gaussian weights.",
    published=0.1464,
    source="derived",
    unit="relative RMSE",
    direction="equal",
    level="exact",
    tolerance=5e-05,
)
def error_fp4_1024() -> Measurement:
    return _gaussian("fp4b1024")


@claim(
    name="error-double",
    statement="What double quantization adds to the relative error of nf4.",
    published=3e-05,
    source="derived",
    unit="relative RMSE",
    direction="equal",
    level="exact",
    tolerance=5e-06,
)
def error_double() -> Measurement:
    return Measurement(_error("nf4-dq") - _error("nf4"), note="1024 x 1024, seed 0")


@claim(
    name="error-int8",
    statement="Relative error of a layer's output, weights in 8 bits by row, as torch draws them.",
    published=0.004,
    source="derived",
    unit="relative error",
    direction="equal",
    level="exact",
    tolerance=1e-4,
)
def error_int8() -> Measurement:
    import torch

    from parsimony.compress.llm_int8 import Int8Rows

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 1024, generator=generator)

    def error(weight: torch.Tensor) -> float:
        wanted = x @ weight.T
        return float((x @ Int8Rows().codes(weight).weight().T - wanted).norm() / wanted.norm())

    even = 2 * torch.rand(1024, 1024, generator=generator) - 1
    gaussian = error(torch.randn(1024, 1024, generator=generator))
    note = f"uniform weights, whose closed form is 1/254; Gaussian ones give {gaussian:.4f}"
    return Measurement(error(even), note=note)


@claim(
    name="llama-7b-linears",
    statement="Weights of the linear layers of Llama-2-7B.",
    published=6476005376,
    source="derived",
    unit="weights",
    direction="equal",
    level="exact",
)
def llama_7b_linears() -> Measurement:
    return Measurement(_weights("llama-7b")[0], note="the output projection is not one of them")


@claim(
    name="llama-7b-others",
    statement="All other parameters of Llama-2-7B.",
    published=262410240,
    source="derived",
    unit="parameters",
    direction="equal",
    level="exact",
)
def llama_7b_others() -> Measurement:
    return Measurement(_weights("llama-7b")[1], note="embedding, output projection, norms")


@claim(
    name="llama-7b-bf16",
    statement="Stored size of Llama-2-7B in bf16.",
    published=13.477,
    source="derived",
    unit="GB",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def llama_7b_bf16() -> Measurement:
    return _gigabytes("llama-7b", None, "dense")


@claim(
    name="llama-7b-int8",
    statement="Stored size of Llama-2-7B in int8.",
    published=7.0,
    source="derived",
    unit="GB",
    direction="equal",
    level="exact",
    tolerance=0.005,
)
def llama_7b_int8() -> Measurement:
    return _gigabytes("llama-7b", "int8", "dense", "codes")


@claim(
    name="llama-7b-nf4",
    statement="Stored size of Llama-2-7B in nf4.",
    published=4.168,
    source="derived",
    unit="GB",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def llama_7b_nf4() -> Measurement:
    return _gigabytes("llama-7b", "nf4", "dense", "codes", "scales")


@claim(
    name="llama-7b-nf4-dq",
    statement="Stored size of Llama-2-7B in nf4-dq.",
    published=3.866,
    source="derived",
    unit="GB",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def llama_7b_nf4_dq() -> Measurement:
    return _gigabytes("llama-7b", "nf4-dq", "dense", "codes", "scales")


@claim(
    name="llama-13b-bf16",
    statement="Stored size of Llama-2-13B in bf16.",
    published=26.03,
    source="derived",
    unit="GB",
    direction="equal",
    level="exact",
    tolerance=0.005,
)
def llama_13b_bf16() -> Measurement:
    return _gigabytes("llama-13b", None, "dense")


@claim(
    name="llama-13b-int8",
    statement="Stored size of Llama-2-13B in int8.",
    published=13.34,
    source="derived",
    unit="GB",
    direction="equal",
    level="exact",
    tolerance=0.005,
)
def llama_13b_int8() -> Measurement:
    return _gigabytes("llama-13b", "int8", "dense", "codes")


@claim(
    name="llama-13b-nf4",
    statement="Stored size of Llama-2-13B in nf4.",
    published=7.793,
    source="derived",
    unit="GB",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def llama_13b_nf4() -> Measurement:
    return _gigabytes("llama-13b", "nf4", "dense", "codes", "scales")


@claim(
    name="llama-13b-nf4-dq",
    statement="Stored size of Llama-2-13B in nf4-dq.",
    published=7.201,
    source="derived",
    unit="GB",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def llama_13b_nf4_dq() -> Measurement:
    return _gigabytes("llama-13b", "nf4-dq", "dense", "codes", "scales")


@claim(
    name="falcon-7b-linears",
    statement="Weights of the linear layers of Falcon-7B.",
    published=6625951744,
    source="derived",
    unit="weights",
    direction="equal",
    level="exact",
)
def falcon_7b_linears() -> Measurement:
    return Measurement(_weights("falcon-7b")[0], note="71 heads of 64, one key and value head")


@claim(
    name="falcon-7b-double-saves",
    statement="What double quantization saves on Falcon-7B.",
    published=0.309,
    source="derived",
    unit="GB",
    direction="equal",
    level="exact",
    tolerance=0.0005,
)
def falcon_7b_double_saves() -> Measurement:
    return Measurement(_falcon_untied("nf4") - _falcon_untied("nf4-dq"), note="blocks of 64")


@claim(
    name="falcon-7b-nf4",
    statement="Falcon-7B in nf4 with embedding and output projection in 16 bit.",
    published=4.91,
    source="derived",
    unit="GB",
    direction="equal",
    level="exact",
    tolerance=0.001,
)
def falcon_7b_nf4() -> Measurement:
    return Measurement(_falcon_untied("nf4"), note="the output projection is its own")


@claim(
    name="litgpt-double-saves",
    statement="What litgpt saw double quantization save on Falcon-7B, beside the computed.",
    published=0.34,
    published_text="5.72 and 5.38 GB, falcon-7b on an A100, litgpt's tutorial",
    source="public benchmark",
    unit="GB",
    direction="equal",
    level="exact",
    tolerance=0.035,
)
def litgpt_double_saves() -> Measurement:
    return Measurement(
        _falcon_untied("nf4") - _falcon_untied("nf4-dq"),
        note="5.72 less 5.38 GB measured; computed from the bits",
    )


@claim(
    name="litgpt-memory-bf16",
    statement="Computed weights of Falcon-7B in bf16 fit what litgpt measured while writing.",
    published=14.5,
    published_text="14.50 GB, falcon-7b on an A100, 256 new tokens, litgpt's tutorial",
    source="public benchmark",
    unit="GB",
    direction="at most",
    level="exact",
)
def litgpt_memory_bf16() -> Measurement:
    return _litgpt(None)


@claim(
    name="litgpt-memory-int8",
    statement="Computed weights of Falcon-7B in int8 fit what litgpt measured while writing.",
    published=8.7,
    published_text="8.70 GB, falcon-7b on an A100, 256 new tokens, litgpt's tutorial",
    source="public benchmark",
    unit="GB",
    direction="at most",
    level="exact",
)
def litgpt_memory_int8() -> Measurement:
    return _litgpt("int8")


@claim(
    name="litgpt-memory-nf4",
    statement="Computed weights of Falcon-7B in nf4 fit what litgpt measured while writing.",
    published=5.72,
    published_text="5.72 GB, falcon-7b on an A100, 256 new tokens, litgpt's tutorial",
    source="public benchmark",
    unit="GB",
    direction="at most",
    level="exact",
)
def litgpt_memory_nf4() -> Measurement:
    return _litgpt("nf4")


@claim(
    name="litgpt-memory-nf4-dq",
    statement="Computed weights of Falcon-7B in nf4-dq fit what litgpt measured while writing.",
    published=5.38,
    published_text="5.38 GB, falcon-7b on an A100, 256 new tokens, litgpt's tutorial",
    source="public benchmark",
    unit="GB",
    direction="at most",
    level="exact",
)
def litgpt_memory_nf4_dq() -> Measurement:
    return _litgpt("nf4-dq")


@claim(
    name="loss-nf4-over-int8",
    statement="nf4 loses more than int8.",
    published=None,
    published_text="int8 far below nf4",
    source="derived",
    unit="nats per token",
    direction="at least",
    level="cpu",
)
def loss_nf4_over_int8() -> Measurement:
    return _more("nf4", "int8")


@claim(
    name="loss-fp4-over-nf4",
    statement="fp4 loses more than nf4.",
    published=None,
    published_text="nf4 below fp4",
    source="derived",
    unit="nats per token",
    direction="at least",
    level="cpu",
)
def loss_fp4_over_nf4() -> Measurement:
    return _more("fp4", "nf4")


@claim(
    name="loss-int4-over-nf4",
    statement="Rounding to nearest on even codes in the same blocks loses more than nf4.",
    published=None,
    published_text="nf4 should win",
    source="derived",
    unit="nats per token",
    direction="at least",
    level="cpu",
)
def loss_int4_over_nf4() -> Measurement:
    return _more("int4", "nf4")


@claim(
    name="loss-random-over-nf4",
    statement="Codes drawn at random in the same blocks lose more than nf4.",
    published=None,
    published_text="nf4 should win",
    source="derived",
    unit="nats per token",
    direction="at least",
    level="cpu",
)
def loss_random_over_nf4() -> Measurement:
    return _more("random4", "nf4")


@claim(
    name="double-like-plain-nf4",
    statement="Double quantization leaves the loss that nf4 brings within 2 percent.",
    published=2.0,
    source="derived",
    unit="percent",
    direction="at most",
    level="cpu",
)
def double_like_plain_nf4() -> Measurement:
    return _doubled("nf4")


@claim(
    name="double-like-plain-fp4",
    statement="Double quantization leaves the loss that fp4 brings within 2 percent.",
    published=2.0,
    source="derived",
    unit="percent",
    direction="at most",
    level="cpu",
)
def double_like_plain_fp4() -> Measurement:
    return _doubled("fp4")


@claim(
    name="divergence-falls-nf4",
    statement="The divergence of nf4 falls with every rise of the temperature.",
    published=None,
    published_text="steadily, about as 1/T",
    source="derived",
    unit="steps",
    direction="at most",
    level="cpu",
)
def divergence_falls_nf4() -> Measurement:
    return _falls("nf4")


@claim(
    name="divergence-falls-fp4",
    statement="The divergence of fp4 falls with every rise of the temperature.",
    published=None,
    published_text="steadily, about as 1/T",
    source="derived",
    unit="steps",
    direction="at most",
    level="cpu",
)
def divergence_falls_fp4() -> Measurement:
    return _falls("fp4")


@claim(
    name="no-peak-nf4",
    statement="The divergence of nf4, times T, has no peak at temperatures 0.5 to 0.8.",
    published=None,
    published_text="no special peak, against the abstract",
    source="derived",
    unit="nats",
    direction="at most",
    level="cpu",
)
def no_peak_nf4() -> Measurement:
    return _peak("nf4")


@claim(
    name="no-peak-fp4",
    statement="The divergence of fp4, times T, has no peak at temperatures 0.5 to 0.8.",
    published=None,
    published_text="no special peak, against the abstract",
    source="derived",
    unit="nats",
    direction="at most",
    level="cpu",
)
def no_peak_fp4() -> Measurement:
    return _peak("fp4")


@claim(
    name="texts-sensitive-nf4",
    statement="Texts of nf4 differ more from the original's at temperatures 0.5 to 0.8.",
    published=None,
    published_text="4-bit models are more sensitive at temperatures 0.5-0.8",
    source="abstract",
    unit="nats per token",
    direction="at least",
    level="cpu",
)
def texts_sensitive_nf4() -> Measurement:
    return _more_in_the_middle("nf4")


@claim(
    name="texts-sensitive-fp4",
    statement="Texts of fp4 differ more from the original's at temperatures 0.5 to 0.8.",
    published=None,
    published_text="4-bit models are more sensitive at temperatures 0.5-0.8",
    source="abstract",
    unit="nats per token",
    direction="at least",
    level="cpu",
)
def texts_sensitive_fp4() -> Measurement:
    return _more_in_the_middle("fp4")


@claim(
    name="top-1-is-greedy",
    statement="Drawing from one token at any temperature writes what greedy decoding does.",
    published=0,
    source="derived",
    unit="texts that differ",
    direction="equal",
    level="cpu",
)
def top_1_is_greedy() -> Measurement:
    import torch
    from transformers import GenerationConfig

    from parsimony.compress.generation_study import study
    from parsimony.compress.generation_study.design import Request
    from parsimony.core.console import Console
    from parsimony.core.generation import Sampling, answers

    job = study.read(Request(methods=("nf4",), device="cpu"), Console(quiet=True))
    model, ids = study.Subject(job, "nf4").model, torch.tensor(job.prompts)
    greedy = answers(model, job.prompts, tokens=64, stops=[])
    ours = answers(model, job.prompts, tokens=64, stops=[], sampling=Sampling(1.2, 1, seed=5))
    drawn = GenerationConfig(
        max_new_tokens=64, do_sample=True, top_k=1, temperature=1.2, eos_token_id=2**31 - 1,
        pad_token_id=0, use_cache=True,
    )  # fmt: skip
    with torch.no_grad():
        theirs = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=drawn
        )[:, ids.shape[1] :].tolist()
    differ = sum(g != a or g != b for g, a, b in zip(greedy, ours, theirs, strict=True))
    return Measurement(differ, note=f"{OURS}nf4, 32 prompts; transformers' own sampler beside ours")
