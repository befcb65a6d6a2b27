"""Precision: which one ``auto`` means on this machine, and float32 for a while where a lower one does not do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from typing import Any

import torch
from torch import nn

LEAST_BYTES = 64 * 2**20
"""Models of fewer bytes stay in float32: their time does not go into products of matrices."""

_GAIN = 1.3
_ROUNDS = 5


def automatic_dtype(device: torch.device, weights_bytes: int) -> torch.dtype:
    """bfloat16 where it multiplies matrices faster than float32, and the model is large enough to gain; else float32.

    Processors without bfloat16 arithmetic emulate it, several times slower than float32; no flag that torch reports
    tells them apart on every system, so a CPU is asked by a trial of a tenth of a second.
    """
    if weights_bytes < LEAST_BYTES or not _bfloat16_is_faster(device.type):
        return torch.float32
    return torch.bfloat16


@cache
def _bfloat16_is_faster(device: str) -> bool:
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device != "cpu":
        return False
    return _seconds(torch.bfloat16) * _GAIN < _seconds(torch.float32)


def _seconds(dtype: torch.dtype) -> float:
    """Best time of a product of a batch of states with a layer's weights."""
    states, weights = torch.ones(512, 512, dtype=dtype), torch.ones(1536, 512, dtype=dtype)
    times = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        torch.nn.functional.linear(states, weights)
        times.append(time.perf_counter() - started)
    return min(times)


@contextmanager
def in_float32(model: nn.Module) -> Iterator[None]:
    """Let a model compute in float32, whatever its weights are in, while open; only with gradients off.

    Each module's weights are cast when it runs and given back after it, so that memory holds one module's twice. A
    model whose attention kernel takes no float32 computes as before.
    """
    config: Any = getattr(model, "config", None)
    with ExitStack() as undo:
        if getattr(config, "_attn_implementation", "sdpa") in ("sdpa", "eager"):
            for module in model.modules():
                if _low(module):
                    _run_cast(module, undo)
        yield


def _low(module: nn.Module) -> list[nn.Parameter]:
    own = module.parameters(recurse=False)
    return [parameter for parameter in own if parameter.is_floating_point() and parameter.dtype != torch.float32]


def _run_cast(module: Any, undo: ExitStack) -> None:
    """Replace a module's forward; of one whose weights accelerate brings, the one that runs when they are there."""
    name = "_old_forward" if "_old_forward" in vars(module) else "forward"
    own, plain = vars(module).get(name), getattr(module, name)

    def forward(*inputs: Any, **named: Any) -> Any:
        kept = [(parameter, parameter.data) for parameter in _low(module)]
        for parameter, former in kept:
            parameter.data = former.float()
        try:
            return plain(*inputs, **named)
        finally:
            for parameter, former in kept:
                parameter.data = former

    setattr(module, name, forward)
    undo.callback(*((delattr, module, name) if own is None else (setattr, module, name, own)))
