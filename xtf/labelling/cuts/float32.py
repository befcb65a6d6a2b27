"""Neighbouring float32 numbers: scores are float32, so each bound is moved to one without changing a verdict."""

from __future__ import annotations

import math
import struct

import numpy as np
from numpy.typing import NDArray

from xtf.tokens import FloatArray

Float64Array = NDArray[np.float64]


_FLOAT32 = struct.Struct("f")


def nearest(value: float) -> float:
    """``value`` rounded to float32, the precision of scores; beyond its range, infinite."""
    try:
        return float(_FLOAT32.unpack(_FLOAT32.pack(value))[0])  # ten times as quick as a numpy scalar
    except OverflowError:
        return math.copysign(math.inf, value)


def float32_up(values: Float64Array) -> FloatArray:
    """The smallest float32 not below each of ``(n,)`` values: a score is below both or neither."""
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
        return np.where(rounded < values, np.nextafter(rounded, np.float32(np.inf)), rounded).astype(np.float32)


def float32_down(values: Float64Array) -> FloatArray:
    """The largest float32 not above each of ``(n,)`` values: a score is above both or neither."""
    return -float32_up(-values)


def predecessor(value: float) -> float:
    """The largest float32 below a float32 number."""
    return float(np.nextafter(np.float32(value), np.float32(-np.inf)))
