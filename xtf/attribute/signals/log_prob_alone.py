"""Log-probability of each target when the prompt is not there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xtf.attribute.signals.base import SignalRequest


@dataclass(frozen=True, slots=True)
class LogProbAlone(SignalRequest):
    """Log-probability of each target from the response before it alone, ``(batch, seq)`` float32 in nats, ≤ 0.

    The base model reads the response tokens of the example one after the other, without prompt, template or the other
    turns. The first has nothing before it: its value is ``-log(vocabulary)``, of a model that knows nothing. NaN
    off-response.
    """

    name: ClassVar[str] = "log_prob_alone"
