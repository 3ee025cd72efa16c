"""Carbon of electricity: kg = PUE * kWh * g/kWh / 1000."""

from __future__ import annotations

import pytest

from parsimony.core.carbon import WORLD_AVERAGE, intensity, kilograms
from parsimony.core.errors import InputError


def test_kilograms_follow_the_formula() -> None:
    assert kilograms(3.6e6, 56.039) == pytest.approx(0.056039, rel=1e-12)
    assert kilograms(3.6e6, 56.039, pue=1.2) == pytest.approx(0.0672468, rel=1e-12)
    assert kilograms(250 * 7200, 237.589) == pytest.approx(0.1187945, rel=1e-12)
    assert kilograms(3.6e6, WORLD_AVERAGE) == pytest.approx(0.475)


def test_an_intensity_in_kilograms_is_asked_about() -> None:
    with pytest.raises(InputError, match=r"at least 5, but got 0\.475\. If this is in kg/kWh, mul"):
        kilograms(1.0, 0.475)


@pytest.mark.parametrize(("joules", "pue"), [(-1.0, 1.0), (1.0, 0.9), (1.0, float("nan"))])
def test_impossible_amounts_are_refused(joules: float, pue: float) -> None:
    with pytest.raises(InputError, match="energy must not be negative nor a PUE below 1, but got"):
        kilograms(joules, 100, pue)


def test_an_unknown_country_is_asked_about() -> None:
    pytest.importorskip("codecarbon")
    assert intensity("FRA") == 56.039
    with pytest.raises(InputError) as raised:
        intensity("FRE")
    assert str(raised.value).startswith(
        "no carbon intensity is known for the country 'FRE'. Did you mean '"
    )
    assert str(raised.value).endswith("or give the intensity in g/kWh (world average 475)")
