"""Open what a finished run handed over, on the base model it was trained on and no other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from parsimony.adapt.method import Facts, methods
from parsimony.core import artifacts, inputs, peft_border, precision, pretrained
from parsimony.core.errors import ArtifactError
from parsimony.core.inputs import Inputs
from parsimony.core.pretrained import Pretrained
from parsimony.core.run import Run
from parsimony.core.scoring import Collate
from parsimony.core.thrift import PLAIN

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Loaded:
    """A run's model, ready to use.

    Attributes:
        model: in evaluation mode, on the CPU or CUDA device asked for.
        inputs: what it reads.
        origin: the artifact's ``parsimony.json``.
        adapter: true for an adapter, false for a model trained in full.
        base: form of the base model's weights, see ``core.thrift``.
    """

    model: nn.Module
    inputs: Inputs
    origin: dict[str, Any]
    adapter: bool
    base: str = PLAIN.base

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
        methods()  # peft knows a type of adapter once its module is imported
        plain = load_base(origin, _form(origin), device)
        model: nn.Module = peft_border.load_adapter(plain, artifact)
    else:
        whole = Pretrained(str(artifact), artifact, "")
        model = pretrained.load(whole, origin["task"], labels)
    reads = inputs.of(base, origin["task"])
    return Loaded(model.to(device).eval(), reads, origin, adapter, _form(origin))


def widened(loaded: Loaded, artifact: Path) -> nn.Module:
    """The adapter on a float32 model with the values that its reduced base stands for."""
    plain, reduced = load_base(loaded.origin), load_base(loaded.origin, loaded.base)
    return peft_border.load_adapter(precision.widened(reduced, plain), artifact).eval()


def load_base(
    origin: dict[str, Any], form: str = PLAIN.base, device: str = "cpu"
) -> PreTrainedModel:
    """The base model that the adapter of ``origin`` was trained on, its head as it was drawn.

    Args:
        origin: the artifact's ``parsimony.json``.
        form: of its weights, see ``core.thrift``.
        device: where the weights of a quantized base go.
    """
    base, task, labels = _base(origin), origin["task"], tuple(origin["labels"])
    frames = inputs.frames_of(task, origin["window"])
    head = Facts.of(pretrained.config(base, task, labels, frames), task).head
    return pretrained.load(
        base, task, labels, origin["seed"], frames, base=form, head=head, device=device
    )


def _form(origin: dict[str, Any]) -> str:
    return str(origin["method"].get("base", PLAIN.base))  # older runs had one form only


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
