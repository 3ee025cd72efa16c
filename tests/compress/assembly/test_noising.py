"""Rows with noise: the forward process, targets, independence of order, refusals."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler  # noqa: E402
from small_unets import rows  # noqa: E402

from parsimony.compress.assembly import NoisedRows  # noqa: E402
from parsimony.compress.assembly.noising import collate  # noqa: E402
from parsimony.core.errors import InputError  # noqa: E402


def test_noise_and_velocity_are_those_of_diffusers() -> None:
    scheduler = DDIMScheduler()
    found = {kind: collate([rows(prediction_type=kind)[i] for i in range(40)])
             for kind in ("epsilon", "v_prediction", "sample")}  # fmt: skip
    clean, noise = found["sample"]["target"], found["epsilon"]["target"]
    step = found["epsilon"]["timestep"]
    torch.testing.assert_close(
        found["epsilon"]["sample"], scheduler.add_noise(clean, noise, step), rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(
        found["v_prediction"]["target"],
        scheduler.get_velocity(clean, noise, step), rtol=1e-4, atol=1e-5,
    )  # fmt: skip
    assert torch.equal(clean, torch.stack([rows().latents[i % 16] for i in range(40)]))


def test_a_row_depends_on_its_number_and_the_seed_alone() -> None:
    first, second = rows(), rows()
    backwards = [second[i] for i in reversed(range(20))][::-1]
    for mine, other in zip((first[i] for i in range(20)), backwards, strict=True):
        assert all(torch.equal(mine[name], other[name]) for name in mine)
    assert not torch.equal(first[0]["sample"], first[16]["sample"])
    assert torch.equal(first[0]["encoder_hidden_states"], first[16]["encoder_hidden_states"])
    assert not torch.equal(first[0]["sample"], rows(seed=1)[0]["sample"])


def test_time_steps_and_noise_are_spread_as_they_should() -> None:
    batch = collate([rows(4000)[i] for i in range(2000)])
    assert abs(batch["timestep"].float().mean() - 499.5) < 4 * 289 / 2000**0.5
    assert abs(batch["target"].mean()) < 0.02 and abs(batch["target"].std() - 1) < 0.02
    assert torch.equal(batch["labels"], batch["timestep"])


def test_what_does_not_fit_is_refused() -> None:
    latents, contexts = torch.zeros(4, 1, 8, 8), torch.zeros(4, 4, 8)
    with pytest.raises(InputError, match=r"need contexts.*\(4, 1, 8, 8\), \(3, 4, 8\)"):
        NoisedRows(latents, contexts[:3], DDIMScheduler(), 4)
    with pytest.raises(InputError, match=r"alphas_cumprod, but got 'FlowMatchEulerDiscreteSch"):
        NoisedRows(latents, contexts, FlowMatchEulerDiscreteScheduler(), 4)
    scheduler = DDIMScheduler(prediction_type="velocity")
    with pytest.raises(InputError, match=r"got 'velocity'. Known: epsilon, sample, v_prediction"):
        NoisedRows(latents, contexts, scheduler, 4)
