"""Outliers: planted ones are found where they are, and nothing else."""

import torch
from compressed import model, windows
from planted import plant

from parsimony.compress.outliers import most_massive, outliers, read


def test_a_channel_is_an_outlier_by_its_median_and_a_token_massive_by_its_largest():
    sizes = torch.ones(20, 8)
    sizes[:, 3] = 6.5  # an outlier channel
    sizes[:9, 5] = 50  # less than half of the tokens: none
    sizes[4, 6] = 1001  # massive
    sizes[5, 6] = 999  # not a thousand times the median
    found = read(sizes, ("a",))
    assert found.outlier_channels == [3]
    assert found.massive_tokens == 1
    assert (found.median, found.layers) == (1.0, ("a",))
    assert found.channel_max.tolist() == [1, 1, 1, 6.5, 1, 50, 1001, 1]
    assert found.token_max[[4, 5, 19]].tolist() == [1001, 999, 6.5]


def test_a_small_median_does_not_make_small_values_massive():
    sizes = torch.full((10, 4), 1e-4)
    sizes[0, 0] = 99
    assert read(sizes).massive_tokens == 0
    sizes[0, 0] = 101
    assert read(sizes).massive_tokens == 1


def test_planted_channels_are_found_in_the_layers_that_read_them():
    found = outliers(plant(model("llama")), windows(), batch=4)
    assert len(found) == 16
    for reading in found:
        short = reading.layers[0].rpartition(".")[2]
        planted = set(reading.outlier_channels) & {3, 11, 20}
        assert (len(planted) >= 2) == (short in ("q_proj", "gate_proj")), reading.layers
        assert reading.token_max.shape == (120,)
    assert all(not reading.outlier_channels for reading in outliers(model("llama"), windows()))
    assert most_massive(found) is None


def test_the_layer_of_the_massive_values_is_named():
    found = model("llama")
    with torch.no_grad():
        for name in ("up_proj", "gate_proj"):
            found.model.layers[2].mlp.get_submodule(name).weight[7] *= 300
    place = most_massive(outliers(found, windows()))
    assert place.layers == ("model.layers.2.mlp.down_proj",)
    assert place.channel_max.argmax() == 7
    assert 0 < place.massive_tokens <= 120
