"""By how much each trained arm is better than the arms it is there to be compared with, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from xtf.config import arm_parts

if TYPE_CHECKING:
    from xtf.evaluation.arm_result import ArmResult
    from xtf.evaluation.paired import Estimate, Matrix


@dataclass(frozen=True, slots=True)
class Contrast:
    """One arm against another.

    Attributes:
        arm: The one.
        against: The other: a random mask of the same size, or ``full``.
        gain: By how much the loss of ``arm`` is lower, in nats a response token.
    """

    arm: str
    against: str
    gain: Estimate

    def sentence(self) -> str:
        """What the interval allows to say."""
        gain, other = self.gain, "learning every token" if self.against == "full" else "a random mask of the same size"
        low, high = (gain.low, gain.high) if gain.value >= 0 else (-gain.high, -gain.low)
        amount = f"by {abs(gain.value):.4f} nats a token [{low:.4f}, {high:.4f}]"
        if gain.low > 0:
            return f"{self.arm} is better than {other} {amount}."
        if gain.high < 0:
            return f"{self.arm} is worse than {other} {amount}."
        return f"{self.arm} is not shown to differ from {other}: {gain.value:+.4f} [{gain.low:.4f}, {gain.high:.4f}]."

    def to_dict(self) -> dict[str, object]:
        """JSON-able."""
        return {"arm": self.arm, "against": self.against, **asdict(self.gain), "sentence": self.sentence()}


def contrast_arms(results: Sequence[ArmResult]) -> list[Contrast]:
    """Each labelling against a random mask of its size and against every token, the oracle against every token.

    Only where both arms were trained with the same seeds, and at least two held-out examples or seeds tell how sure it
    is.
    """
    arms = {name: [one for one in results if one.arm == name] for name in dict.fromkeys(one.arm for one in results)}
    return [
        Contrast(arm, other, gain)
        for arm in arms
        for other in _controls(arm)
        if other in arms and (gain := _gain(arms[arm], arms[other])) is not None
    ]


def _controls(arm: str) -> Iterator[str]:
    part, labels = arm_parts(arm)
    if part == "xtf":
        yield "random" if labels == "xtf" else f"random_of_{labels}"
    if part in ("xtf", "oracle"):
        yield "full"


def _gain(one: Sequence[ArmResult], other: Sequence[ArmResult]) -> Estimate | None:
    """By how much the losses of ``one`` are lower, paired by seed and example."""
    from xtf.evaluation.paired import estimate  # scipy.stats, which only a comparison needs

    pairs = [(a, b) for a in one for b in other if a.seed == b.seed and _tokens(a) == _tokens(b) and a.losses]
    if not pairs:
        return None
    gains: Matrix = np.array([_sums(b) - _sums(a) for a, b in pairs])
    gain = estimate(gains, np.array(_tokens(pairs[0][0]), np.float64))
    return None if gain is None or math.isnan(gain.error) else gain


def _tokens(result: ArmResult) -> list[int]:
    return [tokens for _, tokens in result.losses]


def _sums(result: ArmResult) -> Matrix:
    return np.array([loss for loss, _ in result.losses], np.float64)


def contrast_lines(contrasts: Sequence[Mapping[str, object]]) -> list[str]:
    """Contrasts as ``metrics.json`` holds them, in words; nothing if there are none."""
    if not contrasts:
        return []
    over = "held-out examples" if contrasts[0]["seeds"] == 1 else "held-out examples and seeds"
    explained = f"In brackets: 95% intervals over {over}, paired, not corrected for the number of comparisons."
    return [*(str(one["sentence"]) for one in contrasts), explained]
