"""A model goes back to its mode."""

from __future__ import annotations

import pytest
from torch import nn

from parsimony.core.evaluating import evaluating


@pytest.mark.parametrize("training", [True, False])
def test_a_model_goes_back_to_its_mode_whatever_happens(training: bool) -> None:
    model = nn.Sequential(nn.Dropout(0.5)).train(training)
    with pytest.raises(ZeroDivisionError), evaluating(model):
        assert not model.training and not model[0].training
        _ = 1 / 0
    assert model.training is model[0].training is training
