"""A plan as a file: the model, the cluster, the training, the layout and what it should cost."""

from __future__ import annotations

from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from parsimony.core import artifacts
from parsimony.core.errors import InputError, nearest
from parsimony.plan.cluster import hardware, layouts, rules
from parsimony.plan.cluster.hardware import Cluster
from parsimony.plan.cluster.layouts import KNOBS
from parsimony.plan.cluster.model_shape import ModelShape
from parsimony.plan.cluster.training import Training

SECTIONS = ("model", "cluster", "training", "layout", "predicted")


@dataclass(frozen=True)
class Layout:
    """The knobs of one layout, see ``layouts.Space``.

    Raises:
        InputError: a number that is not positive, or an unknown value.
    """

    tensor: int
    pipeline: int
    data: int
    zero: int
    micro_batch: int
    recompute: str
    chunks: int

    def __post_init__(self) -> None:
        for name in ("tensor", "pipeline", "data", "micro_batch", "chunks"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be positive", got=getattr(self, name))
        if self.zero not in (0, 1, 2, 3):
            raise InputError("zero must be 0, 1, 2 or 3", got=self.zero)
        if self.recompute not in layouts.RECOMPUTE:
            hint = nearest(self.recompute, layouts.RECOMPUTE)
            raise InputError(f"unknown recompute '{self.recompute}'", hint=hint)

    @property
    def devices(self) -> int:
        """How many it is for."""
        return self.tensor * self.pipeline * self.data

    def __str__(self) -> str:
        return ",".join(f"{knob}={value}" for knob, value in asdict(self).items())


@dataclass(frozen=True)
class Plan:
    """One layout and all that it was computed from."""

    shape: ModelShape
    cluster: Cluster
    training: Training
    layout: Layout

    @property
    def micro_batches(self) -> int:
        """How many a replica runs in a step."""
        return self.training.batch // (self.layout.micro_batch * self.layout.data)

    def costs(self) -> pd.Series:
        """The row of ``layouts.plan`` for it, on its cluster.

        Raises:
            InputError: the layout breaks a rule, memory aside.
        """
        space = layouts.Space(**{knob: (value,) for knob, value in asdict(self.layout).items()})
        cluster = self.cluster.part(self.cluster.devices)
        rules.check(self.shape, cluster, self.training, vars(space))
        found = layouts.candidates(cluster, self.training, space)
        return layouts.evaluate(found, self.shape, cluster, self.training).iloc[0]

    def document(self) -> dict[str, Any]:
        """The sections of a plan's file but for what it should cost."""
        return {
            "model": asdict(self.shape),
            "cluster": self.cluster.fields(),
            "training": asdict(self.training),
            "layout": asdict(self.layout),
        }


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
    plan = Plan(shape, cluster, training, Layout(**{knob: values.pop(knob) for knob in KNOBS}))
    predicted = {name: value for name, value in values.items() if name != "reason"}
    text = yaml.safe_dump({**plan.document(), "predicted": predicted}, sort_keys=False)
    artifacts.write_text(file, text)


def read(file: Path) -> Plan:
    """The plan that ``write`` wrote, or one like it; what it should cost is computed again.

    Raises:
        InputError: no such file, not YAML, a section or a field that is missing, unknown or wrong,
            or a layout that breaks a rule.
    """
    if not file.is_file():
        raise InputError("a plan is a YAML file of 'plan cluster --out'", got=str(file))
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{file} must be YAML ({str(error).splitlines()[0]})") from error
    return parse(found, str(file))


def parse(found: Any, name: str) -> Plan:
    """The plan of a document with the sections of a plan's file; ``name`` says which in errors.

    Raises:
        InputError: as ``read``.
    """
    if not isinstance(found, dict):
        raise InputError(f"{name} must hold the sections of a plan: {', '.join(SECTIONS)}")
    for section in found:
        if section not in SECTIONS:
            hint = nearest(str(section), SECTIONS)
            raise InputError(f"{name}: unknown section '{section}'", hint=hint)
    for section in SECTIONS[:4]:
        if not isinstance(found.get(section), dict):
            raise InputError(f"{name}: a plan needs its section '{section}'")
    plan = Plan(
        _section(ModelShape, found["model"], f"{name}: model"),
        hardware.parse(f"{name}: cluster", found["cluster"]),
        _section(Training, found["training"], f"{name}: training"),
        _section(Layout, found["layout"], f"{name}: layout"),
    )
    try:
        reason = plan.costs()["reason"]
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    if reason and not reason.startswith("a device of"):  # memory is for the machine to say
        raise InputError(f"{name}: {reason}")
    return plan


_KINDS = {"int": (int, "a whole number"), "bool": (bool, "true or false"), "str": (str, "a word")}


def _section(kind: Any, values: dict[str, Any], name: str) -> Any:
    """The dataclass ``kind`` of a section; one line of ours for what is wrong with it."""
    known = {field.name: field for field in fields(kind)}
    for field, value in values.items():
        if field not in known:
            raise InputError(f"{name}: unknown field '{field}'", hint=nearest(str(field), known))
        expected, words = _KINDS[str(known[field].type)]
        if type(value) is not expected:
            raise InputError(f"{name}: {field} must be {words}", got=value)
    for field in known.values():
        if field.default is MISSING and field.name not in values:
            raise InputError(f"{name} needs its {field.name}")
    try:
        return kind(**values)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
