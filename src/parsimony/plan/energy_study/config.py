"""What a study compares, how often, with which meter: a YAML file, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from parsimony.core.errors import InputError, require


class Arm(BaseModel):
    """One way of doing the work: a command, or a Python function.

    Attributes:
        name: for people, unique in its study.
        command: words; ``{seed}`` in them becomes the run's seed. It may end its output with one
            line of JSON with ``samples`` and ``accuracy``.
        function: ``"module:name"``, found as by ``python``, and beside the config; called with
            ``seed`` and ``arguments``, may return a mapping of ``samples`` and ``accuracy``.
        arguments: of the function.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    command: tuple[str, ...] | None = None
    function: str | None = Field(default=None, pattern=r"^[\w.]+:\w+$")
    arguments: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if (self.command is None) == (self.function is None):
            raise ValueError("an arm needs a command or a function, and not both")
        if self.command is not None and (not self.command or self.arguments):
            raise ValueError("a command needs words, and takes its arguments among them")
        return self


class Study(BaseModel):
    """The whole study.

    Attributes:
        arms: two or more; the first is the baseline.
        runs: of each arm; from ``effect`` when left out.
        effect: smallest difference worth seeing, in standard deviations of the difference of a
            pair of runs.
        alpha: chance of any false alarm, over all tests of the study.
        power: chance of seeing ``effect``.
        margin: arms count as equivalent within this share of the baseline's mean.
        accuracy_margin: loss of accuracy from which on a saving is called bought with it.
        device: ``"cpu"`` or ``"cuda"``; what the meter covers.
        meter: name of a meter, ``"best"``, or ``"none"`` for time alone.
        power_file: the log of a wall meter, for the meter ``power-file``.
        estimate: let ``"best"`` fall back to an estimate.
        idle_seconds: how long idle power is measured before and after, a window of the meter or
            more; 0 for not at all.
        country: ISO code of three letters, for the carbon of the electricity.
        intensity: grams of CO2 equivalent per kWh, instead of a country.
        pue: power usage effectiveness of the building.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    arms: tuple[Arm, ...] = Field(min_length=2)
    runs: int | None = Field(default=None, ge=2)
    effect: float = Field(default=1.0, gt=0)
    alpha: float = Field(default=0.05, gt=0, lt=1)
    power: float = Field(default=0.8, gt=0, lt=1)
    margin: float = Field(default=0.05, gt=0)
    accuracy_margin: float = Field(default=0.01, ge=0)
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?)$")
    meter: str = "best"
    power_file: Path | None = None
    estimate: bool = False
    idle_seconds: float = Field(default=10.0, ge=0)
    country: str | None = None
    intensity: float | None = None
    pue: float = Field(default=1.0, ge=1)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if len(set(self.names)) < len(self.arms):
            raise ValueError("arms need different names")
        if self.country is not None and self.intensity is not None:
            raise ValueError("give a country or an intensity, and not both")
        if (self.meter == "power-file") != (self.power_file is not None):
            raise ValueError("the meter 'power-file' and a power_file go together")
        return self

    @property
    def names(self) -> list[str]:
        """Of the arms, the baseline's first."""
        return [arm.name for arm in self.arms]

    @property
    def baseline(self) -> str:
        return self.names[0]

    @property
    def others(self) -> list[str]:
        return self.names[1:]


def read(file: Path) -> Study:
    """The study of a YAML file.

    Raises:
        InputError: no such file, not YAML, or a setting that is unknown or breaks its rule.
    """
    yaml = require("yaml", "plan")
    try:
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"the file {file} must exist", hint="Check the path") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"the file {file} must be YAML ({error})") from None
    return parse(found, str(file))


def parse(settings: object, name: str) -> Study:
    """The study of these settings; ``name`` is for the message.

    Raises:
        InputError: a setting that is unknown or breaks its rule.
    """
    try:
        return Study.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the study"
        known = ", ".join(Study.model_fields)
        raise InputError(
            f"{name}: {place}: {first['msg']}", got=first["input"],
            hint=f"Settings: {known}" if first["type"] == "extra_forbidden" else "",
        ) from None  # fmt: skip
