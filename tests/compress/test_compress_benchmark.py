"""``benchmarks/compress.py`` without its peer llm-compressor, and with one made up in its place."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from compressed import model, windows

from parsimony.compress.pruner import pruners
from parsimony.compress.quantizer import Spec
from parsimony.compress.recipe import Pruning

FOLDER = Path(__file__).parents[2] / "benchmarks"
linux = pytest.mark.skipif(sys.platform != "linux", reason="a worker reads /proc")

WORKER = """
from _apart import serve

def run(model, windows, what):
    if what == "fail":
        raise ValueError(f"{what} on {tuple(windows.shape)}")
    print("a library says something")
    for parameter in model.parameters():
        parameter.data.zero_()

if __name__ == "__main__":
    serve(run, {"made-up": "1.0"})
"""


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(FOLDER)
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    pytest.importorskip("bitsandbytes")
    return script("compress", monkeypatch)


def test_both_sides_read_every_recipe(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    peer = script("_llmcompressor", monkeypatch)
    for what in bench.RECIPES:
        *_, (modifier, arguments) = peer.recipe(what)
        if what.partition(":")[0] in pruners():
            ours = Pruning.parse(what)
            assert modifier.lower() == f"{ours.method}pruningmodifier".replace(
                "sparsegptpruning", "sparsegpt"
            )
            assert arguments["sparsity"] == ours.target.sparsity
            pattern = ours.target.pattern or (0, 0)
            assert arguments["mask_structure"] == "{}:{}".format(*pattern)
        else:
            spec = Spec.parse(what)
            scheme = arguments["config_groups"]["all"]
            weights, inputs = scheme["weights"], scheme.get("input_activations", {})
            assert (weights["num_bits"], weights["group_size"]) == (spec.grid.bits, spec.grid.group)
            assert inputs.get("num_bits") == spec.activations
            assert (modifier == "GPTQModifier") == (spec.rounding.name == "gptq")
            assert len(peer.recipe(what)) == 1 + (spec.transform is not None)
    with pytest.raises(ValueError, match="no recipe for nf4"):
        peer.recipe("nf4")


def test_the_peers_side_imports_nothing_of_ours() -> None:
    for name in ("_llmcompressor.py", "_apart.py"):
        text = (FOLDER / name).read_text(encoding="utf-8")
        assert not re.search(r"^\s*(import|from) parsimony", text, re.MULTILINE)


def test_without_the_peer_nothing_is_made_up(bench: ModuleType, tmp_path: Path) -> None:
    rows, (reason,) = bench.measure("llm-compressor", None, tmp_path)
    assert rows == []
    assert "gptq:w4g32" in reason and bench.ENVIRONMENT in reason
    assert "--peer-python llmc/bin/python" in reason


def test_a_python_without_the_peer_is_refused(bench: ModuleType) -> None:
    with pytest.raises(bench.WorkerError, match="No such file"):
        bench.Worker("no-such-python", FOLDER / "_llmcompressor.py")
    with pytest.raises(bench.WorkerError, match="llmcompressor"):
        bench.Worker(sys.executable, FOLDER / "_llmcompressor.py")


@linux
def test_a_worker_carries_out_order_after_order_and_tells_of_failures(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import save_file

    worker, home, ids = tmp_path / "worker.py", tmp_path / "model", windows()
    worker.write_text(WORKER, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(FOLDER))
    original = model("llama")
    original.save_pretrained(home)
    save_file({"calibration": ids, "held_out": ids.clone()}, tmp_path / "windows.safetensors")
    order = bench.Order(str(home), str(tmp_path / "windows.safetensors"), "")
    with bench.Worker(sys.executable, worker) as ask:
        assert ask.versions == {"made-up": "1.0"}
        assert ask(order).loss == pytest.approx(_loss(original, ids), rel=1e-5)
        with pytest.raises(bench.WorkerError, match=r"ValueError: fail on \(\d+, \d+\)"):
            ask(order._replace(what="fail"))
        zero = ask(order._replace(what="zero"))
        assert zero.loss == pytest.approx(torch.tensor(float(original.config.vocab_size)).log())
        assert zero.growth >= 0 and zero.seconds > 0


def _loss(found: torch.nn.Module, ids: torch.Tensor) -> float:
    with torch.inference_mode():
        return float(found(input_ids=ids, labels=ids).loss)


def test_rows_compare_ours_with_the_peers(bench: ModuleType) -> None:
    pairs = [(bench.Found(2.0, 300, 1.5), bench.Found(4.0, 100, 1.4))] * 5
    time, memory, perplexity = (
        row.cells() for row in bench.peer_rows("gptq:w4", "peer 1", pairs, 1.3)
    )
    assert time[:2] == ("gptq:w4, ours / peer 1: time", "0.500")
    assert memory[1] == "3.000"
    assert perplexity[0].endswith("perplexity (+0.2000 / +0.1000)")
    assert perplexity[1] == "1.105"


def test_torchs_packing_tells_what_is_two_of_four(bench: ModuleType) -> None:
    weight = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    assert not bench.unpacked_as_it_was(weight)
    weight.view(-1, 4)[:, ::2] = 0
    assert bench.unpacked_as_it_was(weight)
    weight[5, 8:12] = 1e-6  # four kept
    assert not bench.unpacked_as_it_was(weight)
