"""From what the learners answer to a probability that holds for the data as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .window import mean_of_step

if TYPE_CHECKING:
    import torch

_LEAST_FOUND = 0.25
_THRESHOLDS = 60
_SHARPNESS = 6.0


def estimate_share(data: NDArray[np.float64], planted: NDArray[np.float64]) -> float:
    """Share of wrong tokens in data of which only the evidence is known: the best-bin estimate.

    The data teaches the learners what right tokens look like, mistakes and all, so its own density is what evidence is
    measured against, and fitting a mixture to it would always answer 0. But above any threshold there cannot be more
    mistakes than tokens: the share is at most that of the data above it, divided by that of planted mistakes above it
    (Garg et al. 2021, arXiv 2111.00980). The least such bound is taken, each with one standard error added, over
    thresholds that at least a quarter of the planted mistakes exceed: those that are more glaring say little of real
    ones, which read better.

    Args:
        data: ``(n,)`` evidence of each token of the data.
        planted: ``(m,)`` the same of planted mistakes.

    Returns:
        Above 0, at most 1.
    """
    count = max(len(data), 1)
    least = 1.0
    for threshold in np.quantile(planted, np.linspace(0.02, 1.0 - _LEAST_FOUND, _THRESHOLDS)):
        above = float((data > threshold).mean())
        found = max(float((planted > threshold).mean()), 1.0 / len(planted))
        least = min(least, (above + np.sqrt(above / count) + 1.0 / count) / found)
    return float(least)


class Answers(NamedTuple):
    """What was answered of ``n`` tokens.

    Attributes:
        own: ``(n,)`` float32 log-odds of *wrong*.
        step: ``(n,)`` int64: the sentence or line of each token.
    """

    own: torch.Tensor
    step: torch.Tensor

    def log_odds(self, step_weight: float) -> torch.Tensor:
        """``(n,)``: log-odds of *wrong*, plus ``step_weight`` times their mean over the token's sentence or line."""
        return self.own + step_weight * mean_of_step(self.own, self.step)


@dataclass(frozen=True)
class Evidence:
    """How much likelier an answer is at a planted mistake than at any token of the data: the logarithm of that ratio.

    Attributes:
        slope: From log-odds to it.
        intercept: The same.
        step_weight: How much the mean of a token's sentence or line counts beside its own log-odds.
    """

    slope: float
    intercept: float
    step_weight: float

    @classmethod
    def of(cls, copies: Answers, planted: torch.Tensor, step_weight: float) -> Evidence:
        """Fit on answers that no learner gave on examples it had seen a copy of; ``planted`` is ``(n,)`` bool."""
        from sklearn.linear_model import LogisticRegression

        known = copies.log_odds(step_weight).double().numpy()[:, None]
        fitted: Any = LogisticRegression(C=1e6).fit(known, planted.numpy())
        slope = max(float(fitted.coef_[0, 0]), 0.0)  # never the other way round, however little there was to learn from
        share = float(planted.double().mean())
        return cls(slope, float(fitted.intercept_[0]) - float(np.log(share / (1.0 - share))), step_weight)

    def at(self, answers: Answers) -> NDArray[np.float64]:
        """``(n,)``."""
        found: NDArray[np.float64] = answers.log_odds(self.step_weight).double().numpy()
        return self.slope * found + self.intercept


@dataclass(frozen=True)
class Calibration:
    """Turns the learners' answers into probabilities.

    Attributes:
        line: ``(2,)`` float32: slope and intercept from a token's log-odds to the logarithm of its probability of being
            wrong, as far as that is small.
        step_weight: ``()`` float32: see :class:`Evidence`.
    """

    line: torch.Tensor
    step_weight: torch.Tensor

    @classmethod
    def of(cls, evidence: Evidence, share: float) -> Calibration:
        """For data of which ``share`` is wrong."""
        import torch

        line = torch.tensor([evidence.slope, evidence.intercept + float(np.log(share))])
        return cls(line, torch.tensor(evidence.step_weight))

    def wrong(self, answers: Answers) -> torch.Tensor:
        """``(n,)``: the probability that each token is wrong.

        The share of wrong tokens times their density over that of all tokens; where an estimate of it passes 1 it bends
        towards 1, so that no two tokens change places.
        """
        slope, intercept = self.line.tolist()
        log_probability = slope * answers.log_odds(float(self.step_weight)) + intercept
        found: torch.Tensor = ((_SHARPNESS * log_probability).sigmoid().log() / _SHARPNESS).exp()
        return found
