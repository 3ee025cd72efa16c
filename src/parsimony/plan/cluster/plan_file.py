"""A plan as a file: the model, the cluster, the training, the layout and what it should cost."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from parsimony.core import artifacts
from parsimony.plan.cluster.hardware import Cluster
from parsimony.plan.cluster.layouts import KNOBS
from parsimony.plan.cluster.model_shape import ModelShape
from parsimony.plan.cluster.training import Training


def plain(layout: pd.Series) -> dict[str, Any]:
    """A row of a plan with Python's own numbers, ready for JSON and YAML."""
    return {
        str(name): value.item() if hasattr(value, "item") else value
        for name, value in layout.items()
    }


def write(
    file: Path, layout: pd.Series, shape: ModelShape, cluster: Cluster, training: Training
) -> None:
    """Write one layout of a plan as YAML, with all that it was computed from."""
    values = plain(layout)
    document = {
        "model": asdict(shape),
        "cluster": cluster.model_dump(mode="json"),
        "training": asdict(training),
        "layout": {knob: values.pop(knob) for knob in KNOBS},
        "predicted": {name: value for name, value in values.items() if name != "reason"},
    }
    artifacts.write_text(file, yaml.safe_dump(document, sort_keys=False))
