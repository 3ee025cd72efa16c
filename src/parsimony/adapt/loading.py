"""Open what a finished run handed over, on the base model it was trained on and no other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from parsimony.core import artifacts, inputs, peft_border, pretrained
from parsimony.core.errors import ArtifactError
from parsimony.core.inputs import Inputs
from parsimony.core.pretrained import Pretrained
from parsimony.core.run import Run
from parsimony.core.scoring import Collate


@dataclass(frozen=True)
class Loaded:
    """A run's model, ready to use.

    Attributes:
        model: in evaluation mode, on the CPU or CUDA device asked for.
        inputs: what it reads.
        origin: the artifact's ``parsimony.json``.
        adapter: true for an adapter, false for a model trained in full.
    """

    model: nn.Module
    inputs: Inputs
    origin: dict[str, Any]
    adapter: bool

    @property
    def tokenizer(self) -> Any:
        """Of the base model; of a model of sounds, its feature extractor."""
        return self.inputs.processor

    @property
    def collator(self) -> Collate:
        """Makes batches."""
        return self.inputs.collator


def load_run(folder: Path, device: str = "cpu") -> Loaded:
    """Load the recommended artifact of the run in ``folder``.

    Raises:
        ArtifactError: not a complete run; a changed file; another base model than it was
            trained on; a key that is unused or missing.
    """
    run = Run.open(folder)
    if not run.complete:
        Run.open(folder, complete=True)
    artifact = folder / run.read("result.json")["recommendation"]["artifact"]
    artifacts.verify(artifact)
    origin = artifacts.read_json(artifact / "parsimony.json")
    base = _base(origin)
    labels = tuple(origin["labels"])
    adapter = artifact.name == "adapter"
    if adapter:
        model: nn.Module = peft_border.load_adapter(load_base(origin), artifact)
    else:
        whole = Pretrained(str(artifact), artifact, "")
        model = pretrained.load(whole, origin["task"], labels)
    reads = inputs.of(base, origin["task"])
    return Loaded(model.to(device).eval(), reads, origin, adapter)


def load_base(origin: dict[str, Any]) -> nn.Module:
    """The base model that the adapter of ``origin`` was trained on, its head as it was drawn."""
    labels, frames = tuple(origin["labels"]), inputs.frames_of(origin["task"], origin["window"])
    return pretrained.load(_base(origin), origin["task"], labels, origin["seed"], frames)


def _base(origin: dict[str, Any]) -> Pretrained:
    """The base model by its name, else by its path; its weights must hash as recorded."""
    recorded = origin["base_model"]
    named = recorded["name"] in pretrained.BUILTIN or not Path(recorded["path"]).is_dir()
    base = pretrained.find(recorded["name"] if named else recorded["path"])
    if base.sha256 != recorded["sha256"]:
        raise ArtifactError(
            f"the base model '{recorded['name']}' must hash to {recorded['sha256']}",
            got=base.sha256,
            hint="The adapter fits only the weights it was trained on; restore them",
        )
    return base
