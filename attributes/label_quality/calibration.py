"""From what the networks answer to a probability that holds for the data as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .window import mean_of_step

if TYPE_CHECKING:
    import torch

_EXPECTED = 0.03
_DOUBT = 0.02
_ROUNDS = 200
_LEAST = 1e-6


def estimate_share(evidence: NDArray[np.float64]) -> float:
    """Share of wrong tokens in data of which only the evidence is known.

    By expectation maximisation (Saerens et al. 2002): a share implies probabilities, these imply a share, until both
    settle; with a weak belief that 3 % are wrong.

    Args:
        evidence: ``(n,)`` log-likelihood ratio of *wrong* to *right* of each token.

    Returns:
        Above 0 and below 1.
    """
    share = _EXPECTED
    ratio = np.exp(np.clip(evidence, -30.0, 30.0))
    for _ in range(_ROUNDS):
        wrong = ratio * share / (ratio * share + 1.0 - share)
        share = float((wrong.mean() + _DOUBT * _EXPECTED) / (1.0 + _DOUBT))
    return share


@dataclass(frozen=True)
class Calibration:
    """Turns the networks' answers into probabilities.

    Attributes:
        line: ``(2,)`` float32: slope and intercept from a token's raw log-odds, with its step's mean added, to its
            log-odds in the data.
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
        share = estimate_share(slope * plain._raw(*data).double().numpy() + to_evidence)
        return cls(torch.tensor([slope, to_evidence + _log_odds(share)]), torch.tensor(step_weight))

    def wrong(self, answers: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """``(n,)``: the probability that each token is wrong."""
        slope, intercept = self.line.tolist()
        log_odds: torch.Tensor = slope * self._raw(answers, step) + intercept
        return log_odds.sigmoid()

    def _raw(self, answers: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        right = answers[:, 0].clamp(min=_LEAST)
        own: torch.Tensor = (answers[:, 1:].sum(dim=1).clamp(min=_LEAST) / right).log()
        return own + float(self.step_weight) * mean_of_step(own, step)


def _log_odds(share: float) -> float:
    return float(np.log(share / (1.0 - share)))
