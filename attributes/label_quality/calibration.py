"""From what the networks answer to a probability that holds for the data as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .window import mean_of_step

if TYPE_CHECKING:
    import torch

_LEAST_FOUND = 0.15
_THRESHOLDS = 60
_LEAST = 1e-6
_SHARPNESS = 6.0


def estimate_share(data: NDArray[np.float64], planted: NDArray[np.float64]) -> float:
    """Share of wrong tokens in data of which only the evidence is known: the best-bin estimate.

    The data teaches the networks what right tokens look like, mistakes and all, so its own density is what evidence is
    measured against, and fitting a mixture to it would always answer 0. But above any threshold there cannot be more
    mistakes than tokens: the share is at most that of the data above it, divided by that of planted mistakes above it
    (Garg et al. 2021, arXiv 2111.00980). The least such bound is taken, each with one standard error added, over
    thresholds that at least 15 % of the planted mistakes exceed.

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


@dataclass(frozen=True)
class Calibration:
    """Turns the networks' answers into probabilities.

    Attributes:
        line: ``(2,)`` float32: slope and intercept from a token's raw log-odds, with its step's mean added, to the
            logarithm of its probability of being wrong, as far as that is small.
        step_weight: ``()`` float32: how much the mean of a token's sentence or line counts beside its own log-odds.
    """

    line: torch.Tensor
    step_weight: torch.Tensor

    @classmethod
    def of(
        cls,
        copies: tuple[torch.Tensor, torch.Tensor],
        wrong: torch.Tensor,
        data: tuple[torch.Tensor, torch.Tensor],
        step_weight: float,
    ) -> Calibration:
        """Fit on answers that no network gave on examples it had seen a copy of.

        Args:
            copies: ``(n, classes)`` answers on the tokens of planted copies, and ``(n,)`` the step of each.
            wrong: ``(n,)`` bool: those planted.
            data: The same of the data as it is.
            step_weight: See above.
        """
        import torch
        from sklearn.linear_model import LogisticRegression

        plain = cls(torch.tensor([1.0, 0.0]), torch.tensor(step_weight))
        known = plain._raw(*copies).double().numpy()[:, None]
        fitted: Any = LogisticRegression(C=1e6).fit(known, wrong.numpy())
        slope = max(float(fitted.coef_[0, 0]), 0.0)  # never the other way round, however little there was to learn from
        to_evidence = float(fitted.intercept_[0]) - _log_odds(float(wrong.double().mean()))
        evidence = slope * known[:, 0] + to_evidence
        share = estimate_share(slope * plain._raw(*data).double().numpy() + to_evidence, evidence[wrong.numpy()])
        return cls(torch.tensor([slope, to_evidence + float(np.log(share))]), torch.tensor(step_weight))

    def wrong(self, answers: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """``(n,)``: the probability that each token is wrong.

        The share of wrong tokens times their density over that of all tokens; where an estimate of it passes 1 it bends
        towards 1, so that no two tokens change places.
        """
        slope, intercept = self.line.tolist()
        log_probability = slope * self._raw(answers, step) + intercept
        found: torch.Tensor = ((_SHARPNESS * log_probability).sigmoid().log() / _SHARPNESS).exp()
        return found

    def _raw(self, answers: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        right = answers[:, 0].clamp(min=_LEAST)
        own: torch.Tensor = (answers[:, 1:].sum(dim=1).clamp(min=_LEAST) / right).log()
        return own + float(self.step_weight) * mean_of_step(own, step)


def _log_odds(share: float) -> float:
    return float(np.log(share / (1.0 - share)))
