"""What the model writes on where a token may not stand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xtf.attribute.signals.base import SignalRequest


@dataclass(frozen=True, slots=True)
class Continuation(SignalRequest):
    """What the model writes in place of each response token and what follows it, ``(batch, seq, k)`` int64.

    The ids of the likeliest token other than the target, and of what the base model then writes, the likeliest token
    at each step, until it ends its turn; that token stands last, unless the text grew too long. -1 behind the end,
    off-response, and on response tokens behind the one that ends their turn. ``k`` fits the longest of the batch.
    The model writes an answer for every token: by far the dearest signal.

    Attributes:
        rank: 1 for the likeliest other token, 2 for the next.
        margin: How many tokens longer than what stands in the data an answer may grow.
    """

    name: ClassVar[str] = "continuation"
    rank: int = 1
    margin: int = 64
