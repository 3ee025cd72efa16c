"""What Importance-aware Sparse Tuning cannot work with, said before the first step."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from parsimony.core.errors import InputError
from parsimony.core.layers import Layer


def ranges(given: Mapping[str, Any]) -> None:
    """Check arguments of ``ImportanceSparseTuning`` that have a range of their own.

    Raises:
        InputError: naming the argument.
    """
    least = {
        "trained": 1, "damped": 1, "redraw_every": 1, "probes": 2, "update_every": 1,
        "probe_rows": 1, "drop_moments_after": 1, "seed": 0,
    }  # fmt: skip
    for name, low in least.items():
        if given[name] is not None and given[name] < low:
            raise InputError(f"{name} must be at least {low}", got=given[name])
    if not 0 <= given["factor"] < 1:
        raise InputError("factor must be at least 0 and below 1", got=given["factor"])
    if given["step_size"] <= 0:
        raise InputError("step_size must be positive", got=given["step_size"])
    if given["memory_cap"] is not None and not 0 < given["memory_cap"] <= 1:
        raise InputError(
            "memory_cap is a share of what training all layers keeps, in (0, 1]",
            got=given["memory_cap"],
        )
    if (given["selector"] == "fixed") != bool(given["fixed"]):
        raise InputError(
            "the selector 'fixed', and no other, needs the numbers of the layers",
            got=given["fixed"],
            hint="For example: ImportanceSparseTuning('fixed', fixed=[2, 5])",
        )


def trainer(args: Any) -> None:
    """Check how the trainer runs the model.

    Raises:
        InputError: a mode in which ``requires_grad`` may not change from step to step.
    """
    if args.torch_compile:
        raise InputError(
            "layers that start and stop training recompile a compiled model at every draw",
            got="torch_compile=True",
            hint="Leave torch_compile off, or compile the blocks one by one",
        )
    for name in ("fsdp", "deepspeed"):
        if getattr(args, name, None):
            raise InputError(
                "sharded parameters cannot start and stop training one by one",
                got=f"{name}={getattr(args, name)!r}",
                hint="Train on one device or under DistributedDataParallel",
            )
    finds_unused = args.ddp_find_unused_parameters
    if finds_unused is None:
        finds_unused = not args.activation_checkpointing  # the trainer's own default
    if args.parallel_mode.value == "distributed" and not finds_unused:
        raise InputError(
            "processes must not wait for the gradients of layers that do not train",
            got=f"ddp_find_unused_parameters={args.ddp_find_unused_parameters}",
            hint="Set ddp_find_unused_parameters=True",
        )


def model(adapted: nn.Module, memory_cap: float | None) -> None:
    """Check the kind of adapters and of activation checkpointing.

    Raises:
        InputError: a prompt method; re-entrant checkpointing of inputs without gradient; a cap
            on activations that checkpointing does not keep.
    """
    for name, config in getattr(adapted, "peft_config", {}).items():
        if config.is_prompt_learning:
            raise InputError(
                "prompts and prefixes belong to no layer, so layers cannot be told apart",
                got=f"adapter '{name}': {config.peft_type.value}",
                hint="Take LoRA, (IA)3 or another method with modules in the layers",
            )
    functions = [
        module._gradient_checkpointing_func
        for module in adapted.modules()
        if getattr(module, "gradient_checkpointing", False)
        and hasattr(module, "_gradient_checkpointing_func")
    ]
    if not functions:
        return
    hooked = any(vars(module).get("_require_grads_hooks") for module in adapted.modules())
    if not hooked and any(_reentrant(function) for function in functions):
        raise InputError(
            "re-entrant checkpointing gives no gradient where a layer's input needs none",
            got="use_reentrant=True",
            hint="Set activation_checkpointing_kwargs={'use_reentrant': False}",
        )
    if memory_cap is not None:
        raise InputError(
            "memory_cap counts the activations that checkpointing does not keep",
            got=memory_cap,
            hint="Use one of the two",
        )
    warnings.warn(
        "with activation checkpointing on, training fewer layers saves next to no activations",
        stacklevel=4,
    )


def _reentrant(function: Any) -> bool:
    return isinstance(function, functools.partial) and bool(function.keywords.get("use_reentrant"))


def whole_layers(found: Sequence[Layer]) -> None:
    """Check that layers train whole, as LISA wants them.

    Raises:
        InputError: a layer with a frozen parameter, as adapters leave them.
    """
    for layer in found:
        for name, parameter in layer.module.named_parameters():
            if f"{layer.name}.{name}" not in layer.parameters and parameter.is_floating_point():
                raise InputError(
                    "'lisa' trains whole layers",
                    got=f"{layer.name}.{name} is frozen",
                    hint="Give it the model without adapters, or take 'rst', the same draw",
                )


def optimizer(given: torch.optim.Optimizer, found: Sequence[Layer]) -> None:
    """Check that the optimizer holds every layer.

    Raises:
        InputError: it was built when some layers were frozen.
    """
    held = {id(p) for group in given.param_groups for p in group["params"]}
    missing = [n for layer in found for n, p in layer.parameters.items() if id(p) not in held]
    if missing:
        raise InputError(
            "the optimizer must hold the parameters of every layer, or they never move",
            got=missing[:3],
            hint="Build it before any layer is frozen",
        )
