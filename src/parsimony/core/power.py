"""How many runs a comparison needs, and what a number of runs can see.

Power is that of the two-sided t test, from the noncentral t distribution:

power = P(|T| > t_(1 - alpha/2, df)), T noncentral with d sqrt(n) pairs, or d sqrt(n / 2) groups

d is the difference in standard deviations: of the differences of a pair, or of one group.
"""

from __future__ import annotations

from scipy import stats
from scipy.optimize import brentq

from parsimony.core.errors import InputError

ALPHA, POWER = 0.05, 0.8
_MOST = 1_000_000


def power_of(effect: float, runs: int, *, alpha: float = ALPHA, paired: bool = False) -> float:
    """Chance that a test with ``runs`` per group sees a difference of ``effect``.

    Args:
        effect: in standard deviations; its sign does not matter.
        runs: per group, or pairs; at least 2.
        alpha: level of the test, in (0, 1).
        paired: one test of differences instead of two groups.
    """
    _check(alpha, 0.5)
    if runs < 2:
        raise InputError("a test needs at least 2 runs per group", got=runs)
    freedom = runs - 1 if paired else 2 * (runs - 1)
    edge = stats.t.isf(alpha / 2, freedom)
    # T^2 is a noncentral F: both tails in one, and exact where one tail of T underflows.
    return float(stats.ncf.sf(edge**2, 1, freedom, effect**2 * (runs if paired else runs / 2)))


def runs_needed(
    effect: float, *, alpha: float = ALPHA, power: float = POWER, paired: bool = False
) -> int:
    """Fewest runs per group (or pairs) that see a difference of ``effect`` with ``power``.

    Raises:
        InputError: an effect of 0, or so small that a million runs do not see it.
    """
    _check(alpha, power)

    def seen(runs: int) -> bool:
        return power_of(effect, runs, alpha=alpha, paired=paired) >= power

    few, many = 1, 2  # few do not suffice
    while not seen(many):
        few, many = many, 2 * many
        if many > _MOST:
            raise InputError(
                f"no number of runs up to {_MOST:,} sees so small a difference", got=effect
            )
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if seen(middle) else (middle, many)
    return many


def detectable(
    runs: int, *, alpha: float = ALPHA, power: float = POWER, paired: bool = False
) -> float:
    """Smallest difference, in standard deviations, that ``runs`` see with ``power``."""
    _check(alpha, power)

    def missing(effect: float) -> float:
        return power_of(effect, runs, alpha=alpha, paired=paired) - power

    most = 1.0
    while missing(most) < 0:
        most *= 2
    return float(brentq(missing, 0.0, most))


def more_runs(
    effect: float, runs: int, *, alpha: float = ALPHA, power: float = POWER, paired: bool = False
) -> int:
    """Further runs per group that would settle a difference of ``effect``; 0 where none is."""
    return max(0, runs_needed(effect, alpha=alpha, power=power, paired=paired) - runs)


def _check(alpha: float, power: float) -> None:
    if not (0 < alpha < 1 and 0 < power < 1):
        raise InputError("alpha and power must be between 0 and 1", got=(alpha, power))
