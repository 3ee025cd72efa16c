"""muP: closed forms of std, rates and multipliers; the coordinate check; what is refused."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GraniteConfig, GraniteForCausalLM

from parsimony.core.errors import InputError
from parsimony.tune.mup import (
    CoordinateCheck,
    configure,
    coordinate_check,
    initialise,
    parameter_groups,
    width_multiplier,
)
from parsimony.tune.schedules import PowerScheduler

WIDTHS = (32, 64, 128, 256)


def standard(width: int, **changes: Any) -> GraniteConfig:
    """Two layers of heads of 16 on 64 tokens."""
    return GraniteConfig(
        **{"vocab_size": 64, "hidden_size": width, "intermediate_size": 4 * width,
           "num_hidden_layers": 2, "num_attention_heads": width // 16,
           "num_key_value_heads": width // 16, "max_position_embeddings": 32,
           "attention_multiplier": 0.25, "bos_token_id": None, "eos_token_id": None, **changes}
    )  # fmt: skip


def model(width: int, base: int = 32, seed: int = 0, **changes: Any) -> GraniteForCausalLM:
    torch.manual_seed(seed)
    made = GraniteForCausalLM(configure(standard(width, **changes), base))
    initialise(made)
    return made


def batch() -> dict[str, torch.Tensor]:
    ids = torch.randint(0, 64, (4, 32), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "labels": ids}


def test_nine_times_the_width_by_hand() -> None:
    wide = model(288, num_attention_heads=18, num_key_value_heads=18)
    assert width_multiplier(wide) == 9
    groups = {group["name"]: group for group in parameter_groups(wide, 0.9, weight_decay=0.2)}
    assert {name: (g["lr"], g["weight_decay"]) for name, g in groups.items()} == {
        "normal": (0.9, 0.2), "no decay": (0.9, 0.0), "mup": (pytest.approx(0.1), 0.2),
    }  # fmt: skip
    assert wide.config.logits_scaling == 9
    assert wide.config.attention_multiplier == 1 / 16
    std = {name: float(p.std()) for name, p in wide.named_parameters() if p.ndim == 2}
    for name, found in std.items():
        wanted = 0.02
        if "embed" not in name and "lm_head" not in name:
            wanted /= 3
        if "o_proj" in name or "down_proj" in name:
            wanted /= math.sqrt(2 * 2)
        assert found == pytest.approx(wanted, rel=0.03), name


def test_the_released_family_s_multipliers() -> None:
    config = standard(2048, num_attention_heads=32, num_key_value_heads=8)
    released = configure(config, 256)
    assert (released.embedding_multiplier, released.residual_multiplier) == (12, 0.22)
    assert (released.attention_multiplier, released.logits_scaling) == (0.015625, 8)
    assert config.logits_scaling == 1  # the given one is left alone


@pytest.mark.parametrize("tied", [False, True])
def test_every_parameter_is_in_one_group(tied: bool) -> None:
    made = model(64, tie_word_embeddings=tied)
    groups = {g["name"]: g["params"] for g in parameter_groups(made, 0.1)}
    grouped = [id(p) for params in groups.values() for p in params]
    assert sorted(grouped) == sorted(id(p) for p in made.parameters())
    assert len(groups["normal"]) == (1 if tied else 2)
    assert all(p.ndim == 1 for p in groups["no decay"])
    assert len(groups["mup"]) == 2 * 7


def test_frozen_parameters_and_empty_groups_are_left_out() -> None:
    made = model(64)
    for name, parameter in made.named_parameters():
        parameter.requires_grad_("norm" in name)
    assert [g["name"] for g in parameter_groups(made, 0.1)] == ["no decay"]


def test_the_power_schedule_keeps_the_ratios() -> None:
    made = model(288, num_attention_heads=18, num_key_value_heads=18)
    optimizer = torch.optim.AdamW(parameter_groups(made, 0.02))
    schedule = PowerScheduler(optimizer, batch=128)
    optimizer.step()
    schedule.step(tokens=10**10)
    rates = {g["name"]: g["lr"] for g in optimizer.param_groups}
    assert rates["normal"] == pytest.approx(128 * 4.6 * 1e10**-0.51, rel=1e-12)
    assert rates["mup"] == pytest.approx(rates["normal"] / 9, rel=1e-12)


def test_the_base_width_itself_is_the_standard_rate_and_start() -> None:
    made = model(32)
    assert {g["lr"] for g in parameter_groups(made, 0.1)} == {0.1}
    q = made.model.layers[0].self_attn.q_proj.weight
    assert float(q.std()) == pytest.approx(0.02, rel=0.1)


def test_a_saved_config_keeps_the_base_width(tmp_path: Any) -> None:
    model(64).save_pretrained(tmp_path)
    assert width_multiplier(GraniteForCausalLM.from_pretrained(tmp_path)) == 2


def mup(width: int) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    made = model(width)
    return made, torch.optim.AdamW(parameter_groups(made, 0.01), betas=(0.9, 0.95))


def plain(width: int) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    made = GraniteForCausalLM(standard(width))
    return made, torch.optim.AdamW(made.parameters(), 0.01, betas=(0.9, 0.95))


def test_activations_are_flat_under_mup_and_grow_without() -> None:
    flat = coordinate_check(mup, WIDTHS, batch())
    grown = coordinate_check(plain, WIDTHS, batch())
    assert flat.flat(), flat.spread
    assert not grown.flat(), grown.spread
    assert max(grown.exponents.values()) > 0.5 > max(flat.exponents.values())


def test_a_check_by_hand() -> None:
    found = CoordinateCheck((1, 2, 4), {"a": (1.0, 2.0, 4.0), "b": (3.0, 3.0, 3.0)})
    assert found.spread == {"a": 4.0, "b": 1.0}
    assert found.exponents == pytest.approx({"a": 1.0, "b": 0.0}, abs=1e-12)
    assert found.flat(4.0) and not found.flat()


def changed(name: str, value: float) -> GraniteForCausalLM:
    made = model(64)
    setattr(made.config, name, value)
    return made


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: parameter_groups(GraniteForCausalLM(standard(64)), 0.1),
            "no base width: it would train in the standard parametrisation. Build it from",
        ),
        (lambda: initialise(GraniteForCausalLM(standard(64))), "the model has no base width"),
        (
            lambda: parameter_groups(changed("logits_scaling", 1.0), 0.1),
            "logits_scaling must be 2 at width 64 and base width 32, but got 1.0. Call configure",
        ),
        (
            lambda: initialise(changed("attention_multiplier", 0.25)),
            "attention_multiplier must be 0.0625 at width 64 and base width 32, but got 0.25",
        ),
        (
            lambda: configure(GPT2Config(), 32),
            "GPT2Config has no embedding_multiplier, .* Use GraniteConfig",
        ),
        (lambda: configure(standard(64), 0), "base_width must be a positive number, but got 0"),
        (lambda: configure(standard(64), 32, residual=-1), "residual must be a positive number"),
        (lambda: initialise(model(64), 0.0), "sigma must be a positive number, but got 0.0"),
        (lambda: parameter_groups(model(64), 0.0), "learning rate must be a positive number"),
        (lambda: coordinate_check(mup, [32], batch()), r"at least two widths, but got \(32,\)"),
    ],
)
def test_what_is_refused(make: Any, text: str) -> None:
    with pytest.raises(InputError, match=text):
        make()


def test_a_check_that_diverges_is_refused() -> None:
    def wild(width: int) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        made = model(width)
        return made, torch.optim.SGD(made.parameters(), lr=1e30)

    with pytest.raises(InputError, match="at width 32 after 5 steps must be finite"):
        coordinate_check(wild, (32, 64), batch())
