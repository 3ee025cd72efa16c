"""The surrogate: a trained network behind hard initial conditions, and the levels below it.

With g(t) = 1 - exp(-(t - t*) / tau), tau = 1 s, and N1..N4 of ``network``, one level alone has

    phi_e = s N1 g + phi_e(0),   V = s N2 g + V(0),
    c_a = c_a0 - c_a0 sigmoid(N3) g,   c_c = c_c0 + (c_max - c_c0) sigmoid(N4) g,

so that every state is exact at t = 0. A level above a frozen one, ``low``, corrects it:

    y = (share s N + y_low - y(0)) g + y(0),   share 0.1 for potentials, 0.01 for concentrations,

with y_low at the parameters clipped into its own box (a level trained at one point is called
there). A level that goes on where ``low`` stops, at t*, has y = y_low(min(t, t*)) + s N g.

Paper: arXiv 2312.17329, sections 3.1 and 3.3. What we do differently: y(0) follows the kinetics of
the level, and a time level corrects with the whole scale, for it has no low state to lean on. What
it cannot do: any other current, or what lies outside its box or beyond its horizon; it refuses.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from parsimony.core import artifacts
from parsimony.core.errors import ArtifactError, InputError
from parsimony.estimate.battery import network
from parsimony.estimate.battery.cell import HORIZON, Box, Cell, Electrode, namespace
from parsimony.estimate.battery.jets import Jet

TAU = 1.0
"""Seconds within which the network takes over from the initial state."""
SCALE = {"phi_e": 0.0735464343, "V": 0.3109163870}
"""V; of the repository."""
SHARE = {"phi_e": 0.1, "V": 0.1, "c_a": 0.01, "c_c": 0.01}
"""Part of a state's scale that a level above another may add."""
FORMAT = 1
_ROWS = 4096  # of one evaluation: they stay in the processor's cache


class Site(NamedTuple):
    """Where a state is evaluated, with all that does not depend on the weights.

    Attributes:
        state: one of ``network.STATES``.
        tk: (n, 3) scaled t, k1, k2, or their jet.
        r: (n, 1) scaled radius, its jet, or None for a potential.
        g: (n, 1) or its jet.
        start: (n, 1) or a number, the state at t = 0.
        low: (n, 1) of the level below, its jet, or None.
    """

    state: str
    tk: Any
    r: Any
    g: Any
    start: Any
    low: Any


@dataclass(frozen=True)
class Surrogate:
    """States and voltage of the cell for every parameter of a box, up to a horizon.

    Args:
        cell: with the physics it was trained on.
        box: of (k1, k2) it was trained on.
        kind: one of ``network.NETWORKS``.
        weights: float64 arrays of ``network.shapes(kind)``, of one library.
        horizon: last second it speaks of.
        start: t*, seconds; above zero for a level that goes on where ``low`` stops.
        low: the level below.

    Raises:
        InputError: a horizon at or before the start; a level below that does not chain.
    """

    cell: Cell
    box: Box
    kind: str
    weights: network.Weights
    horizon: float = HORIZON
    start: float = 0.0
    low: Surrogate | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.horizon < float("inf"):
            rule = "a level needs 0 <= start < horizon, in seconds"
            raise InputError(rule, got=(self.start, self.horizon))
        if self.start and self.low is None:
            rule = "a level that starts after t = 0 needs the level that ends there"
            raise InputError(rule, got=self.start, hint="Give low, or start=0")
        if self.low is not None:
            _chains(self.low, self)

    @property
    def levels(self) -> list[Surrogate]:
        """From the lowest to this one."""
        return [*(self.low.levels if self.low is not None else ()), self]

    # -- what a user calls ---------------------------------------------------------------------

    def voltage(self, parameters: Any, times: Any, *, current: float | None = None) -> np.ndarray:
        """Discharge curves (n, m), V.

        Args:
            parameters: (n, 2) or (2,), k1 and k2.
            times: (m,) seconds.
            current: A; the one it was trained for may be left out.

        Raises:
            InputError: outside the box or the horizon, or another current.
        """
        return self._grid("V", parameters, times, current)

    def states(
        self, parameters: Any, times: Any, radii: Any = (1.0,), *, current: float | None = None
    ) -> dict[str, np.ndarray]:
        """All states: ``phi_e`` and ``V`` (n, m), ``c_a`` and ``c_c`` (n, m, q).

        Args:
            parameters: (n, 2) or (2,), k1 and k2.
            times: (m,) seconds.
            radii: (q,) shares r / R_s in [0, 1]; 1 is the surface.
            current: A; the one it was trained for may be left out.

        Raises:
            InputError: outside the box or the horizon, a radius outside the sphere, or another
                current.
        """
        shares = np.asarray(radii, dtype=np.float64).ravel()
        if not ((shares >= 0) & (shares <= 1)).all():
            raise InputError("radii must be shares of R_s in [0, 1]", got=shares.tolist())
        found = {s: self._grid(s, parameters, times, current) for s in ("phi_e", "V")}
        for state, of in (("c_a", self.cell.anode), ("c_c", self.cell.cathode)):
            each = [self._grid(state, parameters, times, current, of.radius * q) for q in shares]
            found[state] = np.clip(np.stack(each, axis=-1), 0.0, of.c_max)
        return found

    def curve(self, parameters: Any, times: np.ndarray) -> Any:
        """(m,) voltage at one (k1, k2), in the library of ``parameters`` and differentiable in it.

        Nothing is checked: this is what a sampler calls, after it has checked the box once.

        Args:
            parameters: (2,) k1 and k2, numpy or jax.
            times: (m,) seconds.
        """
        xp = namespace(parameters)
        k = xp.broadcast_to(parameters, (len(times), 2))
        return self.at(self.site("V", np.asarray(times)[:, None], k))[:, 0]

    # -- the formula ---------------------------------------------------------------------------

    def site(self, state: str, t: Any, k: Any, r: Any = None, jets: int = 0) -> Site:
        """Gather what the formula of a state needs besides the weights.

        Args:
            state: one of ``network.STATES``.
            t: (n, 1) seconds.
            k: (n, 2) parameters.
            r: (n, 1) m, for concentrations.
            jets: 0 for arrays of any library; else the parts of torch jets, by m and s.
        """
        xp = namespace(k)
        mean = (self.box.low + self.box.high) / 2
        columns = [(k[:, i : i + 1] - self.box.low[i]) / mean[i] for i in (0, 1)]
        tk: Any = xp.concatenate((t / self.horizon, *columns), -1)
        ratio = None if r is None else r / self.cell.anode.radius
        late = -xp.expm1(-namespace(t).clip(t - self.start, 0.0, None) / TAU)
        g: Any = late
        if jets:
            tk = Jet.of(tk, 0.0, tk.new_tensor([1 / self.horizon, 0.0, 0.0]), jets)
            ratio = Jet.of(ratio, 1 / self.cell.anode.radius, 0.0, jets)
            rising = xp.where(t > self.start, 1 - late, 0.0) if self.start else 1 - late
            g = Jet.of(late, 0.0, rising / TAU, jets)
        low = None
        if self.low is not None:
            inside = [
                namespace(k).clip(k[:, i : i + 1], *map(float, side))
                for i, side in enumerate((self.low.box.k1, self.low.box.k2))
            ]
            until = t if not self.start else namespace(t).clip(t, None, self.start)
            below = self.low
            low = below.at(below.site(state, until, xp.concatenate(inside, -1), r, jets))
            if jets == 4 and self.start:
                low.parts[3] = xp.where(t < self.start, low.parts[3], 0.0)
        return Site(state, tk, ratio, g, self._initial(state, k), low)

    def at(self, site: Site, weights: network.Weights | None = None) -> Any:
        """The state (n, 1) there, or its jet; V or kmol/m3.

        Args:
            site: of this level's ``site``.
            weights: others than its own.
        """
        used = self.weights if weights is None else weights
        n = network.output(self.kind, used, site.state, site.tk, site.r)
        scale = self.scale(site.state)
        if self.start:
            return site.low + scale * (n * site.g)
        if site.low is not None:
            return (SHARE[site.state] * scale * n + site.low - site.start) * site.g + site.start
        if site.state in SCALE:
            return scale * (n * site.g) + site.start
        half = 0.5 * n
        sigmoid = 0.5 + 0.5 * (half.tanh() if isinstance(n, Jet) else namespace(n).tanh(half))
        return (-scale if site.state == "c_a" else scale) * (sigmoid * site.g) + site.start

    def scale(self, state: str) -> float:
        """How far a state can move: V, or kmol/m3."""
        if state in SCALE:
            return SCALE[state]
        if state == "c_a":
            return self.cell.anode.c_0
        return self.cell.cathode.c_max - self.cell.cathode.c_0

    def _initial(self, state: str, k: Any) -> Any:
        if state in SCALE:
            return self.cell.start(k[:, :1])[0 if state == "phi_e" else 1]
        return (self.cell.anode if state == "c_a" else self.cell.cathode).c_0

    def _grid(
        self, state: str, parameters: Any, times: Any, current: float | None, r: float | None = None
    ) -> np.ndarray:
        k = self.box.check(parameters)
        t = np.asarray(times, dtype=np.float64).ravel()
        if not ((t >= 0) & (t <= self.horizon)).all():
            wrong = t[~((t >= 0) & (t <= self.horizon))][0]
            raise InputError(
                f"times must lie in [0, {self.horizon:g}] s", got=float(wrong),
                hint=f"The surrogate was trained to that horizon, on the box {self.box}",
            )  # fmt: skip
        if current is not None and current != self.cell.current:
            raise InputError(
                f"this surrogate is for one current, {self.cell.current:g} A", got=current,
                hint=f"Train one at that current; this one's box is {self.box}",
            )  # fmt: skip
        mine = self.torched()
        all_t = torch.from_numpy(np.tile(t, len(k)))[:, None]
        all_k = torch.from_numpy(np.repeat(k, len(t), axis=0))
        found = np.empty(len(all_t))
        with torch.no_grad():
            for at in range(0, len(all_t), _ROWS):
                t_, k_ = all_t[at : at + _ROWS], all_k[at : at + _ROWS]
                r_ = None if r is None else torch.full_like(t_, r)
                found[at : at + _ROWS] = mine.at(mine.site(state, t_, k_, r_))[:, 0].numpy()
        return found.reshape(len(k), len(t))

    def torched(self) -> Surrogate:
        """The same with torch weights, which share memory with numpy ones."""
        weights = {name: torch.as_tensor(value) for name, value in self.weights.items()}
        low = None if self.low is None else self.low.torched()
        return replace(self, weights=weights, low=low)

    # -- files ---------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write ``weights.safetensors``, ``surrogate.json`` and, last, the manifest."""
        from safetensors.numpy import save

        arrays = {
            f"{i}/{name}": np.ascontiguousarray(value)
            for i, level in enumerate(self.levels)
            for name, value in level.weights.items()
        }
        artifacts.write_bytes(folder / "weights.safetensors", save(arrays))
        artifacts.write_json(
            folder / "surrogate.json",
            {"format": FORMAT, "levels": [_described(level) for level in self.levels]},
        )
        artifacts.seal(folder)

    @classmethod
    def load(cls, folder: Path) -> Surrogate:
        """Read what ``save`` wrote.

        Raises:
            ArtifactError: not such a folder, not complete, or changed since.
            InputError: levels that do not chain.
        """
        from safetensors.numpy import load_file

        if not (folder / "surrogate.json").is_file():
            raise ArtifactError(
                "a surrogate is a folder with a surrogate.json", got=str(folder),
                hint="Train one: parsimony estimate battery train",
            )  # fmt: skip
        artifacts.verify(folder)
        told = artifacts.read_json(folder / "surrogate.json")
        if told.get("format") != FORMAT:
            raise ArtifactError(f"{folder}: the format must be {FORMAT}", got=told.get("format"))
        arrays = load_file(folder / "weights.safetensors")
        found: Surrogate | None = None
        for i, level in enumerate(told["levels"]):
            shapes = network.shapes(level["kind"])
            weights = {name: arrays.get(f"{i}/{name}") for name in shapes}
            for name, shape in shapes.items():
                if weights[name] is None or weights[name].shape != shape:
                    raise ArtifactError(f"{folder}: level {i} needs the weights '{name}', {shape}")
            found = cls(
                cell=_cell(level["cell"]),
                box=Box(**{name: tuple(side) for name, side in level["box"].items()}),
                kind=level["kind"],
                weights=weights,
                horizon=level["horizon"],
                start=level["start"],
                low=found,
            )
        assert found is not None  # a surrogate has a level
        return found


def _described(level: Surrogate) -> dict[str, Any]:
    return {
        "cell": asdict(level.cell),
        "box": asdict(level.box),
        "kind": level.kind,
        "horizon": level.horizon,
        "start": level.start,
    }


def _cell(told: dict[str, Any]) -> Cell:
    spheres = {side: Electrode(**told[side]) for side in ("anode", "cathode")}
    return Cell(**{**told, **spheres})


def _chains(low: Surrogate, high: Surrogate) -> None:
    """Refuse a level below that speaks of another cell, richer physics, another box or too few s.

    Raises:
        InputError: says which.
    """
    same = replace(low.cell, properties=high.cell.properties, kinetics=high.cell.kinetics)
    if same != high.cell:
        raise InputError("a level below must be of the same cell and current", got=low.cell)
    for what, simple in (("properties", "simple"), ("kinetics", "linear")):
        below, above = getattr(low.cell, what), getattr(high.cell, what)
        allowed = (above,) if high.start else (above, simple)
        if below not in allowed:
            rule = f"a level below must have the {what} {' or '.join(dict.fromkeys(allowed))}"
            raise InputError(rule, got=below, hint="Choose another level, or other physics")
    point = low.box.k1[0] == low.box.k1[1] and low.box.k2[0] == low.box.k2[1]
    holds = (low.box.low <= high.box.low).all() and (low.box.high >= high.box.high).all()
    if not holds and (high.start or not point):
        raise InputError(
            f"the box of a level below must hold the box {high.box} or be one point",
            got=str(low.box), hint="Train that level on the larger box",
        )  # fmt: skip
    if high.start and low.horizon != high.start:
        rule = f"a level that starts at {high.start:g} s needs one below that ends there"
        raise InputError(rule, got=low.horizon)
    if not high.start and low.horizon < high.horizon:
        rule = f"a level below must reach {high.horizon:g} s"
        raise InputError(rule, got=low.horizon, hint=f"Or go on in time: start={low.horizon:g}")
