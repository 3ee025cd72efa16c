# Long because all schedules are one formula, with one state and one set of stages.
"""Learning-rate schedules that count tokens: power, WSD, cosine, inverse square root.

With n the tokens seen so far, every schedule here is a pure function of n:

    factor(n) = (n / n_w) * main(n_w)       0 <= n < n_w               warm-up
    factor(n) = main(n)                     n_w <= n < s               main
    factor(n) = shape((n - s) / d) * u(s)   s <= n                     decay, constant after s + d

where u is the schedule without its decay, so that both joints are continuous. The factor
multiplies each parameter group's own rate: groups keep their ratios, as muP needs.

Source of the power schedule: Shen et al. 2024, arXiv 2408.13359.
"""

from __future__ import annotations

import inspect
import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Self

from torch.optim import Optimizer

from parsimony.core.errors import InputError, nearest
from parsimony.core.schedules import Course, NamedSchedule

# From 1 at x = 0 to r at x = 1.
SHAPES: dict[str, Callable[[float, float], float]] = {
    "linear": lambda x, r: 1 - (1 - r) * x,
    "cosine": lambda x, r: r + (1 - r) * (1 + math.cos(math.pi * x)) / 2,
    "exponential": lambda x, r: r**x,
    "1-sqrt": lambda x, r: r + (1 - r) * (1 - math.sqrt(x)),
}
UNITS = ("sequences", "tokens")

# Their rate is a factor near 1 on a step size that they find themselves.
_NOT_A_STEP_SIZE = ("Prodigy", "DAdapt", "DoG", "LDoG")
A, A_SEQUENCE = 4.6, 4096
"""The paper's a, and the tokens of the sequences that it is per one of."""
_PROBE, _LOWEST, _HIGHEST = 1e10, 1e-5, 0.1


class TokenSchedule(NamedSchedule):
    """A schedule over tokens seen; a subclass gives ``main``.

    Args:
        optimizer: its groups' rates are the peaks; each group keeps its own.
        warmup_tokens: n_w, rising linearly from 0; the first step is then taken at rate 0.
        total_tokens: of the whole run; ``None`` when it is not known yet (see ``begin_decay``).
        decay_tokens: the last tokens of ``total_tokens``, over which the rate decays; ``None`` for
            a tenth of them, 0 for no decay.
        decay: one of ``SHAPES``.
        floor: share of the rate left at the end of the decay, in [0, 1].
        tokens_per_step: what ``step()`` counts; ``None`` when every step says its own tokens.

    Attributes:
        tokens_seen: n.
        decay_start: tokens at which the decay begins, or ``None``.

    Raises:
        InputError: stages that do not fit the run, an unknown shape, a floor out of range.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        warmup_tokens: int = 0,
        total_tokens: int | None = None,
        decay_tokens: int | None = None,
        decay: str = "linear",
        floor: float = 0.0,
        tokens_per_step: int | None = None,
    ) -> None:
        if total_tokens is None and decay_tokens is not None:
            raise InputError(
                "decay_tokens are the last of total_tokens, which is missing",
                hint="Give total_tokens, or neither and call begin_decay(tokens) at any time",
            )
        planned = decay_tokens
        if planned is None:
            planned = 0 if total_tokens is None else total_tokens // 10
        _check_stages(warmup_tokens, planned, total_tokens)
        _check_decay(decay, floor)
        if tokens_per_step is not None:
            _check_tokens("tokens_per_step", tokens_per_step)
        self.warmup_tokens = warmup_tokens
        self.total_tokens = total_tokens
        self.decay_tokens = planned
        self.decay_start = total_tokens - planned if total_tokens and planned else None
        self.decay = decay
        self.floor = floor
        self.tokens_per_step = tokens_per_step
        self.tokens_seen = 0
        self._expected: int | None = None
        super().__init__(optimizer)

    @classmethod
    def of_run(cls, optimizer: Optimizer, course: Course, options: Mapping[str, Any]) -> Self:
        """As ``NamedSchedule``: ``options`` are arguments of the class by name."""
        own = inspect.signature(cls).parameters
        known = set(own) | ({*inspect.signature(TokenSchedule).parameters} if "stages" in own
                            else set())  # fmt: skip
        known -= {"optimizer", "stages"}
        for option in options:
            if option not in known:
                raise InputError(
                    f"the schedule '{cls.name}' has no option '{option}'",
                    hint=nearest(option, known),
                )
        total = options.get("total_tokens", course.total_tokens)
        stages = {"total_tokens": total, "warmup_tokens": round(course.warmup * total)}
        return cls(optimizer, **{**stages, **cls._given(course, options), **options})

    @classmethod
    def _given(cls, course: Course, options: Mapping[str, Any]) -> dict[str, Any]:
        """What follows from the course, beside the stages."""
        return {"tokens_per_step": course.batch * course.row_tokens}

    @abstractmethod
    def main(self, tokens: float) -> float:
        """Factor of the main stage after ``tokens`` tokens, in [0, 1]."""

    def factor(self, tokens: float) -> float:
        """What each group's rate is multiplied by after ``tokens`` tokens, in [0, 1]."""
        start = self.decay_start
        if start is None or tokens < start:
            return self._before_decay(tokens)
        share = min(1.0, (tokens - start) / self.decay_tokens)
        return SHAPES[self.decay](share, self.floor) * self._before_decay(start)

    def _before_decay(self, tokens: float) -> float:
        if tokens < self.warmup_tokens:
            return tokens / self.warmup_tokens * self.main(self.warmup_tokens)
        return self.main(tokens)

    @property
    def stage(self) -> str:
        """``"warmup"``, ``"main"``, ``"decay"`` or ``"done"``."""
        if self.decay_start is not None and self.tokens_seen >= self.decay_start:
            over = self.tokens_seen >= self.decay_start + self.decay_tokens
            return "done" if over else "decay"
        return "warmup" if self.tokens_seen < self.warmup_tokens else "main"

    def get_lr(self) -> list[Any]:
        """The rate of each group, at the tokens seen."""
        factor = self.factor(self.tokens_seen)
        return [base * factor for base in self.base_lrs]

    def step(self, *, tokens: int | None = None) -> None:  # type: ignore[override]
        """Count one optimizer step of ``tokens`` tokens and set the next step's rates.

        Args:
            tokens: of this step, exactly; when left out, what ``expect`` said, or
                ``tokens_per_step``.

        Raises:
            InputError: neither is known, or not a positive whole number.
        """
        if self.last_epoch >= 0:  # torch's constructor takes a step of its own, of no tokens
            if tokens is None and self._expected is not None:
                self.tokens_seen += self._expected
            else:
                self.tokens_seen += self._count(tokens)
            self._expected = None
        super().step()

    def expect(self, tokens: int) -> None:
        """Let the next ``step()`` count ``tokens``, for a loop that calls it without them.

        They say nothing of the batch: rows may be of any length.

        Raises:
            InputError: not a positive whole number.
        """
        _check_tokens("tokens of a step", tokens)
        self._expected = tokens

    def _count(self, tokens: int | None) -> int:
        if tokens is None and self.tokens_per_step is None:
            raise InputError(
                "a schedule counts tokens, and this step has not said its own",
                hint="Call step(tokens=...), or give the schedule tokens_per_step",
            )
        tokens = self.tokens_per_step if tokens is None else tokens
        _check_tokens("tokens of a step", tokens)
        return int(tokens)

    def begin_decay(self, tokens: int) -> None:
        """Decay from here on, over ``tokens`` tokens; a decay planned for later is dropped.

        Raises:
            InputError: not a positive whole number, or a decay has begun already.
        """
        _check_tokens("tokens of the decay", tokens)
        if self.stage in ("decay", "done"):
            raise InputError(
                f"a decay can begin once: one of {self.decay_tokens} tokens began at "
                f"{self.decay_start}",
                hint="Load a state from before it to branch another",
            )
        self.decay_start, self.decay_tokens = self.tokens_seen, tokens
        self.total_tokens = self.tokens_seen + tokens

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, in plain numbers and text, and the stage to read."""
        state: dict[str, Any] = super().state_dict()
        return {**state, "schedule": type(self).__name__, "stage": self.stage}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state, at the rates it had; the state's constants replace the given ones.

        Raises:
            InputError: the state is another schedule's, or has another number of groups.
        """
        state = {k: v for k, v in state_dict.items() if k not in ("schedule", "stage")}
        if state_dict.get("schedule") != type(self).__name__ or state.keys() != vars(
            self
        ).keys() - {"optimizer"}:
            raise InputError(
                f"a state of {type(self).__name__} is needed",
                got=state_dict.get("schedule"),
                hint="Build the schedule that was saved, then load",
            )
        if len(state["base_lrs"]) != len(self.base_lrs):
            raise InputError(
                f"the state has {len(state['base_lrs'])} parameter groups and the optimizer "
                f"{len(self.base_lrs)}",
                hint="Build the optimizer with the groups that were saved",
            )
        super().load_state_dict(state)
        for group, rate in zip(self.optimizer.param_groups, self.get_last_lr(), strict=True):
            group["lr"] = rate


class WSD(TokenSchedule):
    """Warm-up, stable, decay: constant between the two; also "constant with cooldown".

    Takes what ``TokenSchedule`` takes.
    """

    name = "wsd"

    def main(self, tokens: float) -> float:
        """Always 1."""
        return 1.0


class InverseSquareRoot(TokenSchedule):
    """sqrt(n_w / n) after a warm-up of n_w tokens, with a decay (cooldown) at the end.

    Takes what ``TokenSchedule`` takes.

    Raises:
        InputError: no warm-up, which sets the scale of the root; as ``TokenSchedule``.
    """

    name = "inverse-square-root"

    def __init__(self, optimizer: Optimizer, *, warmup_tokens: int, **stages: Any) -> None:
        if warmup_tokens == 0:
            raise InputError(
                "the inverse square root needs a warm-up, which sets its scale",
                got=warmup_tokens,
                hint="Give warmup_tokens",
            )
        super().__init__(optimizer, warmup_tokens=warmup_tokens, **stages)

    def main(self, tokens: float) -> float:
        """sqrt(n_w / n)."""
        return math.sqrt(self.warmup_tokens / tokens)


class Cosine(TokenSchedule):
    """Half a cosine from the end of the warm-up to a tenth of the rate at the end of the run.

    Args:
        optimizer: as in ``TokenSchedule``.
        total_tokens: of the whole run.
        warmup_tokens: as in ``TokenSchedule``.
        minimum: share of the rate left at the end, in [0, 1].
        tokens_per_step: as in ``TokenSchedule``.

    Raises:
        InputError: a minimum out of range, a warm-up as long as the run; as ``TokenSchedule``.

    ``begin_decay`` leaves the cosine early, to zero.
    """

    name = "cosine"

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        total_tokens: int,
        warmup_tokens: int = 0,
        minimum: float = 0.1,
        tokens_per_step: int | None = None,
    ) -> None:
        _check_decay("cosine", minimum)
        _check_stages(warmup_tokens, 0, total_tokens)
        if warmup_tokens == total_tokens:
            raise InputError(
                "the warm-up must leave tokens for the cosine",
                got=(warmup_tokens, total_tokens),
                hint="Shorten warmup_tokens",
            )
        self.minimum = minimum
        self.cosine_tokens = total_tokens - warmup_tokens
        super().__init__(
            optimizer,
            warmup_tokens=warmup_tokens,
            total_tokens=total_tokens,
            decay_tokens=0,
            tokens_per_step=tokens_per_step,
        )

    def main(self, tokens: float) -> float:
        """From 1 to ``minimum``, and constant after."""
        share = min(1.0, (tokens - self.warmup_tokens) / self.cosine_tokens)
        return SHAPES["cosine"](share, self.minimum)


class PowerScheduler(TokenSchedule):
    """min(eta_max, beta * a * n^b): a rate that knows neither the run's length nor one batch size.

    Args:
        optimizer: Adam-like. A group whose rate is eta_max follows the curve itself, one of
            eta_max / m follows it divided by m.
        batch: beta, per optimizer step, in ``unit``; see ``change_batch``.
        sequence_length: tokens per sequence.
        a: fitted constant per ``unit`` of batch; ``None`` for the paper's, 4.6 per sequence of 4096
            tokens, which holds under muP alone (see ``mup``).
        b: fitted exponent of tokens.
        unit: what beta and a count: ``"sequences"``, or ``"tokens"`` (then a is a_sequences
            divided by the sequence length).
        eta_max: the cap; ``None`` for the largest rate of the optimizer's groups (the paper's 3B
            models: 0.02).
        stages: ``warmup_tokens``, ``total_tokens``, ``decay_tokens``, ``decay``, ``floor``, as in
            ``TokenSchedule``.

    Raises:
        InputError: constants whose rate is not a plausible one, b >= 0, an optimizer that finds
            its own step size; as ``TokenSchedule``.
    """

    name = "power"

    def __init__(
        self,
        optimizer: Optimizer,
        *,
        batch: int,
        sequence_length: int = 4096,
        a: float | None = None,
        b: float = -0.51,
        unit: str = "sequences",
        eta_max: float | None = None,
        **stages: Any,
    ) -> None:
        name = type(optimizer).__name__
        if name.startswith(_NOT_A_STEP_SIZE):
            raise InputError(
                f"the power schedule sets a step size, and the rate of {name} is a factor on one "
                "it finds itself",
                hint="Use an optimizer such as AdamW, or the schedule WSD",
            )
        if unit not in UNITS:
            raise InputError(f"unknown unit '{unit}' of the batch", hint=nearest(unit, UNITS))
        if a is None:
            if not any("mup_width" in group for group in optimizer.param_groups):
                warnings.warn(
                    "the paper's constants hold under muP, and no group of the optimizer says it "
                    "is: give a and b fitted in your parametrisation, or use mup.parameter_groups",
                    stacklevel=2,
                )
            a = A / A_SEQUENCE * (sequence_length if unit == "sequences" else 1)
        if eta_max is None:
            eta_max = max(float(group["lr"]) for group in optimizer.param_groups)
        for what, value in (("a", a), ("eta_max", eta_max)):
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{what} must be a positive number", got=value)
        _check_tokens("batch", batch)
        _check_tokens("sequence_length", sequence_length)
        self.a, self.b, self.eta_max = a, b, eta_max
        self.batch, self.unit, self.sequence_length = batch, unit, sequence_length
        self._check_power()
        self._other_tokens: int | None = None  # of the last step, where they were not a batch's
        super().__init__(optimizer, tokens_per_step=self._tokens(batch), **stages)
        if self.total_tokens is not None and self.cap_lifts_at >= self.total_tokens:
            warnings.warn(
                f"the cap never lifts: you are running WSD (eta_max {eta_max:g} holds until "
                f"{self.cap_lifts_at:.4g} tokens, the run ends at {self.total_tokens})",
                stacklevel=2,
            )

    @classmethod
    def _given(cls, course: Course, options: Mapping[str, Any]) -> dict[str, Any]:
        """beta counts the rows of a step."""
        per_row = options.get("sequence_length", course.row_tokens)
        in_tokens = options.get("unit") == "tokens"
        return {
            "batch": course.batch * (per_row if in_tokens else 1),
            "sequence_length": per_row,
            "eta_max": course.learning_rate,
        }

    def _check_power(self) -> None:
        if not self.b < 0:
            raise InputError("b must be below 0, or the rate would grow", got=self.b)
        if self.b < -1:
            warnings.warn(
                f"b = {self.b:g} is below -1: the rates of an endless run then have a finite sum",
                stacklevel=3,
            )
        rate = self.batch * self.a * _PROBE**self.b
        if not _LOWEST <= rate <= _HIGHEST:
            raise InputError(
                f"at {_PROBE:.0e} tokens the rate must lie in {_LOWEST:g} to {_HIGHEST:g}, but "
                f"batch {self.batch} * a {self.a:g} * tokens^{self.b:g} is {rate:.3g}",
                hint=f"Is a per one of {self.unit}, the unit of the batch, and fitted on tokens, "
                "not steps? a per token is a per sequence divided by sequence_length",
            )

    def _tokens(self, batch: int) -> int:
        return batch * self.sequence_length if self.unit == "sequences" else batch

    @property
    def cap_lifts_at(self) -> float:
        """Tokens up to which eta_max holds: (eta_max / (beta * a))^(1 / b)."""
        return float((self.eta_max / (self.batch * self.a)) ** (1 / self.b))

    def main(self, tokens: float) -> float:
        """min(eta_max, beta * a * n^b) / eta_max."""
        if tokens == 0:  # 0^b is infinite
            return 1.0
        return float(min(1.0, self.batch * self.a * tokens**self.b / self.eta_max))

    def rate(self, tokens: float) -> float:
        """The learning rate after ``tokens`` tokens of a group whose own rate is eta_max."""
        return self.factor(tokens) * self.eta_max

    def change_batch(self, batch: int) -> None:
        """Use another batch, in ``unit``, from the next ``step`` on; tokens go on counting.

        Raises:
            InputError: not a positive whole number.
        """
        _check_tokens("batch", batch)
        self.batch, self.tokens_per_step = batch, self._tokens(batch)

    def _count(self, tokens: int | None) -> int:
        """As the base; two steps running of equal, other, whole batches are a new batch size.

        One alone is the short last batch of an epoch.
        """
        counted = super()._count(tokens)
        other = None if counted == self.tokens_per_step else counted
        unit = self._tokens(1)
        if other is not None and other == self._other_tokens and other % unit == 0:
            warnings.warn(
                f"two steps running had {other} tokens: the batch is now {other // unit} "
                f"{self.unit}, it was {self.batch}",
                stacklevel=3,
            )
            self.change_batch(other // unit)
            other = None
        self._other_tokens = other
        return counted

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As the base; says so where the state's batch replaces another."""
        given = self.batch
        super().load_state_dict(state_dict)
        if given != self.batch:
            warnings.warn(
                f"the state's batch {self.batch} replaces {given}: call change_batch({given}) to "
                "go on with the latter",
                stacklevel=2,
            )


def _check_tokens(what: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{what} must be a positive whole number", got=value)


def _check_stages(warmup: int, decay: int, total: int | None) -> None:
    for what, value in (("warmup_tokens", warmup), ("decay_tokens", decay)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise InputError(f"{what} must be a whole number, 0 or more", got=value)
    if total is None:
        return
    _check_tokens("total_tokens", total)
    if warmup + decay > total:
        raise InputError(
            f"warm-up and decay must fit the run: {warmup} + {decay} tokens of {total}",
            hint="Shorten one of them",
        )


def _check_decay(shape: str, floor: float) -> None:
    if shape not in SHAPES:
        raise InputError(f"unknown decay '{shape}'", hint=nearest(shape, SHAPES))
    if not 0 <= floor <= 1:
        raise InputError("the share left at the end must lie in [0, 1]", got=floor)
    if shape == "exponential" and floor == 0:
        raise InputError(
            "an exponential decay never reaches 0", got=floor, hint="Give floor, such as 0.01"
        )
