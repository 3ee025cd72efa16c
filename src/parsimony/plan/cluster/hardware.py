"""What a cluster has: devices, memory, peak and links; presets, and YAML files of one's own."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from parsimony.core import units
from parsimony.core.errors import InputError, nearest


def _bytes(value: object) -> float:
    """``"64 GB"`` or ``"200 GB/s"`` in bytes; a bare number has no unit and is refused."""
    return units.parse(str(value).removesuffix("/s"), "bytes")


Bytes = Annotated[float, BeforeValidator(_bytes)]


class _Schema(BaseModel):
    """Frozen, and refuses keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Link(_Schema):
    """What connects the devices of a group.

    Attributes:
        devices: size of the largest group that it connects.
        bandwidth: bytes per second that one device sends while all do.
        latency_us: microseconds of one message.
    """

    devices: int = Field(gt=0)
    bandwidth: Bytes
    latency_us: float = Field(ge=0)


class Cluster(_Schema):
    """A cluster of equal devices.

    Attributes:
        name: for people.
        device: what one device is; on an MI250X it is one of two GCDs.
        devices: how many there are; ``per_node`` of them in a node.
        memory: bytes of one device.
        memory_bandwidth: bytes per second of one device.
        peak_tflops: of matrix products in the training's precision, without sparsity.
        efficiency: share of the peak that matrix products reach by themselves.
        reserve: share of the memory that training cannot have.
        links: from the closest group to the whole cluster.
        power_watts: what one device draws at most; ``None`` where it is not known.
        sources: where each figure is from, by its name.
    """

    name: str
    device: str
    devices: int = Field(gt=0)
    per_node: int = Field(gt=0)
    memory: Bytes
    memory_bandwidth: Bytes
    peak_tflops: float = Field(gt=0)
    efficiency: float = Field(gt=0, le=1)
    reserve: float = Field(ge=0, lt=1)
    links: tuple[Link, ...] = Field(min_length=1)
    power_watts: float | None = Field(default=None, gt=0)
    sources: dict[str, str] = {}

    @model_validator(mode="after")
    def _links_reach(self) -> Cluster:
        sizes = [link.devices for link in self.links]
        if sizes != sorted(set(sizes)):
            raise ValueError(f"links go from small groups to large ones, but got {sizes}")
        if sizes[-1] < self.devices:
            raise ValueError(
                f"the last link must connect all {self.devices} devices, but got {sizes[-1]}"
            )
        return self

    @property
    def usable(self) -> float:
        """Bytes of a device that training can have."""
        return self.memory * (1 - self.reserve)

    @property
    def flops(self) -> float:
        """Operations per second of one device's matrix products."""
        return 1e12 * self.peak_tflops * self.efficiency

    def bandwidth(self, extent: Any) -> Any:
        """Bytes per second within the smallest group that holds ``extent`` devices."""
        return np.array([link.bandwidth for link in self.links])[self._level(extent)]

    def latency(self, extent: Any) -> Any:
        """Seconds of one message within the smallest group that holds ``extent`` devices."""
        return np.array([1e-6 * link.latency_us for link in self.links])[self._level(extent)]

    def _level(self, extent: Any) -> Any:
        sizes = [link.devices for link in self.links]
        return np.minimum(np.searchsorted(sizes, extent), len(sizes) - 1)

    def part(self, devices: int) -> Cluster:
        """Some of its devices.

        Raises:
            InputError: fewer than one, or more than there are.
        """
        if not 0 < devices <= self.devices:
            raise InputError(f"{self.name} has {_count(self.devices)}", got=devices)
        return self.of(devices)

    def of(self, devices: int) -> Cluster:
        """The same kind of cluster with another number of devices; the last link reaches all."""
        reach = max(devices, self.links[-1].devices)
        last = self.links[-1].model_copy(update={"devices": reach})
        return self.model_copy(update={"devices": devices, "links": (*self.links[:-1], last)})

    def fields(self) -> dict[str, Any]:
        """What a file has of it: quantities with their units, so that ``load`` reads it back."""
        found = self.model_dump(mode="json")
        links = [{**link, "bandwidth": f"{link['bandwidth']!r} B/s"} for link in found["links"]]
        return {
            **found,
            "memory": f"{self.memory!r} B",
            "memory_bandwidth": f"{self.memory_bandwidth!r} B/s",
            "links": links,
        }

    def __str__(self) -> str:
        """Count, name, what a device is, and its memory in both units."""
        memory = f"{self.memory / 1e9:.4g} GB = {units.format_bytes(self.memory)}"
        return f"{_count(self.devices)} of {self.name} ({self.device}; {memory} each)"


def _count(devices: int) -> str:
    return f"{devices:,} device{'s' if devices > 1 else ''}"


def presets() -> list[str]:
    """Names of the clusters that come with parsimony."""
    return sorted(f.name.removesuffix(".yaml") for f in _folder().iterdir())


def _folder() -> Any:
    return resources.files("parsimony.plan.cluster") / "presets"


def load(name: str) -> Cluster:
    """A preset by its name, or a YAML file that has the fields of ``Cluster``.

    Raises:
        InputError: neither of them, not YAML, or a field that is missing, unknown or wrong.
    """
    if name in presets():
        text = (_folder() / f"{name}.yaml").read_text(encoding="utf-8")
    elif Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    else:
        raise InputError(
            "a cluster is a preset or a YAML file", got=name, hint=nearest(name, presets())
        )
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise InputError(f"{name} must be YAML ({str(error).splitlines()[0]})") from error
    return parse(name, found)


def parse(name: str, found: Any) -> Cluster:
    """The cluster of a document with the fields of ``Cluster``; ``name`` says which in errors.

    Raises:
        InputError: a field that is missing, unknown or wrong.
    """
    if not isinstance(found, dict):
        raise InputError(f"{name} must hold the fields of a cluster", hint=nearest("", _FIELDS))
    try:
        return Cluster(**{str(key): value for key, value in found.items()})
    except ValidationError as error:
        raise _refusal(name, error) from error
    except InputError as error:  # of a quantity without its unit
        raise InputError(f"{name}: {error}") from error


_FIELDS = tuple(Cluster.model_fields)


def _refusal(name: str, error: ValidationError) -> InputError:
    """One line of ours for what pydantic found; a field spelt wrong before one that is missing."""
    problem = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    place = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        known = Link.model_fields if len(problem["loc"]) > 1 else _FIELDS
        hint = nearest(str(problem["loc"][-1]), known)
        return InputError(f"{name}: unknown field '{place}'", hint=hint)
    message = problem["msg"].removeprefix("Value error, ")
    return InputError(f"{name}: {place or 'links'}: {message[0].lower()}{message[1:]}")
