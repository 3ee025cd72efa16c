"""Every method that the three surveys name, and what else is here: where it lives, what it costs.

The names, classes and formulas are in ``surveys.csv``, taken from Xu et al. 2023 (arXiv 2312.12148,
column ``review``; its members are recalled, only its five classes were read again), Han et al. 2024
(2403.14608, column ``comprehensive``) and Weyssow et al. 2023 (2308.10462, whose methods both
name). Only names that tie an entry to a method of ours or of peft stand there; which methods exist
is found by looking, counts come from wrapping the model, and traits from trying (``traits``).

In the formulas d is the width, L the number of layers, k the bottleneck, m the virtual tokens, r
the rank, i and o the ends of an adapted map, h the width of p-tuning's encoder.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass, fields, replace
from importlib import resources
from typing import Any

import peft
from torch import nn

from parsimony.adapt import solve
from parsimony.adapt.method import Facts, method, methods
from parsimony.adapt.setup import Setup, label
from parsimony.core import cost
from parsimony.core.errors import InputError

BEYOND = "beyond the surveys"
SIZE = 8  # the size shown is the one nearest to it


@dataclass(frozen=True)
class Entry:
    """One method of the catalogue.

    Attributes:
        name: for people; unique.
        method: name of our method, or "".
        peft: name of peft's type, or "".
        review: class in Xu et al.'s five, or "" where they do not name it.
        comprehensive: class in Han et al.'s four and systems, or "".
        formula: trainable parameters without the head, or "" where it varies.
        via: how else it can be had: an optimizer, a setting or a quantized base.
    """

    name: str
    method: str = ""
    peft: str = ""
    review: str = ""
    comprehensive: str = ""
    formula: str = ""
    via: str = ""

    @property
    def where(self) -> str:
        """Where it lives."""
        if self.method:
            return f"parsimony: {self.method}"
        return f"peft: {self.peft}" if self.peft else self.via or "not available"

    @property
    def classes(self) -> dict[str, str]:
        """Class by survey."""
        return {"peft-review": self.review, "peft-comprehensive": self.comprehensive}


def entries(facts: Facts) -> list[Entry]:
    """The surveys' methods, then ours and peft's own beyond them.

    Args:
        facts: of the model; tell which of peft's types our methods use.
    """
    text = (resources.files(__name__) / "surveys.csv").read_text(encoding="utf-8")
    found = [Entry(**row) for row in csv.DictReader(text.splitlines())]
    # A method that is not installed here is not available, whatever the table ties it to.
    found = [e if e.method in methods() else replace(e, method="") for e in found]
    theirs = _types()
    found = [e if e.peft in theirs else replace(e, peft="") for e in found]
    named = {e.method for e in found}
    found += [Entry(n, method=n, review=BEYOND, comprehensive=BEYOND)
              for n in methods() if n not in named]  # fmt: skip
    used = {e.peft for e in found} | {_type_of(name, facts) for name in methods()}
    found += [Entry(n, peft=n, review=BEYOND, comprehensive=BEYOND)
              for n in sorted(theirs.keys() - used)]  # fmt: skip
    return found


def _types() -> dict[str, type[peft.PeftConfig]]:
    """peft's own methods: configuration by the name of the type."""
    return {
        str(getattr(kind, "value", kind)): config
        for kind, config in peft.PEFT_TYPE_TO_CONFIG_MAPPING.items()
        if config.__module__.startswith("peft.")
    }


def _type_of(name: str, facts: Facts) -> str:
    """Name of the peft type that our method uses; "" where it has none for this model."""
    try:
        kind = method(name).config(facts, 0 if method(name).size_name is None else SIZE, 0.0)
    except Exception:  # full tuning has no configuration, others refuse a size or a model
        return ""
    return str(getattr(kind.peft_type, "value", kind.peft_type))


def configured(entry: Entry, facts: Facts, size: int, targets: Any = None) -> peft.PeftConfig:
    """peft's configuration of an entry: ours at ``size``, peft's own at its defaults.

    Args:
        entry: available here.
        facts: of the model.
        size: of our method.
        targets: ``target_modules`` of peft's own, where its default is not wanted.
    """
    if entry.method:
        return method(entry.method).config(facts, size, 0.0)
    kind = _types()[entry.peft]
    # What peft asks for and gives no default, beside the targets of models it does not know.
    asked = {"task_type": facts.task_type, "num_virtual_tokens": SIZE, "total_step": 1}
    if targets is not None:
        asked["target_modules"] = targets
    known = {field.name for field in fields(kind)}
    return kind(**{key: value for key, value in asked.items() if key in known})


def wrap(entry: Entry, build: Callable[[], nn.Module], facts: Facts, size: int) -> nn.Module:
    """A fresh model, adapted by an entry.

    Raises:
        Exception: what the method says to the model; there are as many kinds as methods.
    """
    if entry.method:
        return method(entry.method).apply(build(), facts, size)
    with redirect_stderr(io.StringIO()):  # some of peft's draw bars of their own
        try:
            made = peft.get_peft_model(build(), configured(entry, facts, size))
        except ValueError as error:
            if "target_modules" not in str(error):
                raise
            targets = facts.targets()
            made = peft.get_peft_model(build(), configured(entry, facts, size, targets))
    if not cost.count(made)[1]:
        raise InputError("at peft's defaults it trains nothing", got=entry.peft)
    return made


def sizes(entry: Entry, setup: Setup) -> list[int]:
    """Sizes to show, best first: the one nearest to ``SIZE``, then the smaller ones."""
    if not entry.method:
        return [SIZE]
    found = solve.sizes(method(entry.method), setup)
    nearest = min(found, key=lambda size: abs(size - SIZE), default=0)
    return sorted((s for s in found if s <= nearest), reverse=True)


def title(entry: Entry, size: int) -> str:
    """What was counted, for people: "lora r=8", or peft's name at its defaults."""
    return label(entry.method, size) if entry.method else f"{entry.peft} at peft's defaults"
