"""Which precision to compute in where the configuration says ``auto``: bfloat16 if it is faster on this machine."""

from __future__ import annotations

import time
from functools import cache

import torch

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
