"""A hierarchy of skills to try things on, drawn from a seed; no real data ships.

Each skill has a log-normal level, a yearly season with a dip in January, a common trend, and
negative binomial noise; 10 % are rare (one month at most); 40 % break in level or in slope; groups
share a skill by a Dirichlet draw. Counts are drawn at the bottom, so that levels add up exactly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from parsimony.core.errors import InputError
from parsimony.estimate.demand.table import SKILL, DemandTable

RARE, BROKEN = 0.10, 0.40  # shares of the skills


@dataclass(frozen=True, eq=False)
class Generated:
    """What was drawn.

    Attributes:
        table: keys ``region_id``, ``skill_id``, skill-major, region fastest.
        rare, broken: of each skill, shape (skills,).
        month: first month of the break of each skill; 0 where there is none.
    """

    table: DemandTable
    rare: np.ndarray
    broken: np.ndarray
    month: np.ndarray


def generate(
    skills: int = 300,
    groups: int = 7,
    months: int = 36,
    seed: int = 0,
    trend: float = 0.02,
    break_size: float = 1.0,
) -> Generated:
    """Draw a table.

    Args:
        skills, groups: counts.
        months: at least 12, from 2021-01.
        seed: of every draw.
        trend: common growth of a month, as a share.
        break_size: of the mean break, in logarithms of the level.

    Raises:
        InputError: too few of something.
    """
    if skills < 1 or groups < 1 or months < 12:
        raise InputError("a drawn table needs a skill, a group and 12 months",
                         got=(skills, groups, months))  # fmt: skip
    random = np.random.default_rng(seed)
    time = np.arange(months)
    level = random.lognormal(5.5, 1.5, skills)
    season = 0.08 * np.sin(2 * np.pi * (time / 12 + random.uniform(0, 1, (skills, 1))))
    season = season - np.where(time % 12 == 0, 0.25, 0)  # January
    growth = trend + random.normal(0, 0.25 * abs(trend), (skills, 1))
    order = random.permutation(skills)
    rare, broken = np.zeros(skills, bool), np.zeros(skills, bool)
    rare[order[: round(RARE * skills)]] = True
    broken[order[round(RARE * skills) :][: round(BROKEN * skills)]] = True
    month = np.where(broken, random.integers(8, max(9, months - 8), skills), 0)
    size = break_size * random.normal(0, 1, (skills, 1)).clip(-1.5, 1.5)
    since = np.maximum(0, time - month[:, None])
    slope = (random.random((skills, 1)) < 0.5) & broken[:, None]
    jump = np.where(slope, size * since / months, size * (since > 0)) * broken[:, None]
    mean = np.exp(np.log(level)[:, None] + growth * time + season + jump)
    shares = random.dirichlet(np.full(groups, 1.5), skills)
    expected = (shares[:, :, None] * mean[:, None, :]).reshape(-1, months)
    # Variance m + m^2 / r: a gamma mixture of Poisson draws.
    noise = random.gamma(40.0, 1 / 40.0, expected.shape)
    values = random.poisson(expected * noise).astype(float)
    values[np.repeat(rare, groups)] = 0
    once = np.flatnonzero(rare & (random.random(skills) < 0.5))
    for skill in once:
        values[skill * groups + random.integers(groups), random.integers(months)] = 1 + (
            random.poisson(1.0)
        )
    first = pd.Period("2021-01", "M")
    keys = pd.DataFrame(
        {
            "region_id": np.tile(np.arange(groups).astype(str), skills),
            SKILL: np.repeat([f"s{n:04d}" for n in range(skills)], groups),
        }
    )
    names = tuple(str(first + int(step)) for step in time)
    values.setflags(write=False)
    return Generated(DemandTable(keys, names, values, source="generated"), rare, broken, month)
