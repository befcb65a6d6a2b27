"""Small networks that tell the kinds of mistakes from right tokens, one set a fold."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

_QUANTILES = 129
_BOUND = 6.0
_HIDDEN = 128
_UPDATES = 1200
_BATCH = 256


@dataclass(frozen=True)
class Scaling:
    """Brings features to about normal: surprise by its ranks, states by mean and deviation.

    Attributes:
        quantiles: ``(features, 129)`` float32, rising.
        mean: ``(features,)`` float32, of the states.
        deviation: ``(features,)`` float32.
    """

    quantiles: torch.Tensor
    mean: torch.Tensor
    deviation: torch.Tensor

    @classmethod
    def of(cls, surprise: torch.Tensor, states: torch.Tensor) -> Scaling:
        """Measure ``(n, features)`` of both."""
        import torch

        sample = surprise[:: max(1, len(surprise) // 20_000)].cpu().numpy()
        quantiles = np.quantile(sample, np.linspace(0.0, 1.0, _QUANTILES), axis=0).T
        deviation = states.std(dim=0, correction=0)
        return cls(
            torch.from_numpy(np.ascontiguousarray(quantiles, np.float32)), states.mean(dim=0), deviation.clamp(min=1e-6)
        )

    def apply(self, surprise: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
        """``(n, features)`` float32 of both, side by side."""
        import torch

        ranks = 0.5 * (_rank(surprise, self.quantiles) + 1.0 - _rank(-surprise, -self.quantiles.flip(1)))
        normal = torch.special.ndtri(ranks.clamp(1e-7, 1.0 - 1e-7))
        return torch.cat([normal, (states - self.mean.to(states)) / self.deviation.to(states)], dim=1).clamp(
            -_BOUND, _BOUND
        )


def _rank(values: torch.Tensor, quantiles: torch.Tensor) -> torch.Tensor:
    """``(n, features)`` in [0, 1]: interpolated between quantiles; of equal quantiles the last counts."""
    import torch

    table = quantiles.to(values)
    columns = values.T.contiguous()
    above = torch.searchsorted(table, columns, right=True).clamp(1, table.shape[1] - 1)
    low, high = table.gather(1, above - 1), table.gather(1, above)
    part = ((columns - low) / (high - low).clamp(min=1e-12)).clamp(0.0, 1.0)
    part = torch.where(high > low, part, (columns >= high).to(part))
    return ((above - 1 + part) / (table.shape[1] - 1)).T


@dataclass(frozen=True)
class Networks:
    """For each fold, networks whose mean answer counts.

    Attributes:
        first: ``(folds, networks, features, hidden)`` float32, and so on.
        first_bias: ``(folds, networks, hidden)``.
        second: ``(folds, networks, hidden, classes)``.
        second_bias: ``(folds, networks, classes)``.
    """

    first: torch.Tensor
    first_bias: torch.Tensor
    second: torch.Tensor
    second_bias: torch.Tensor

    @property
    def classes(self) -> int:
        """Number of classes; the first is *right*."""
        return int(self.second_bias.shape[-1])

    def probabilities(self, features: torch.Tensor, fold: torch.Tensor) -> torch.Tensor:
        """``(n, classes)`` float32 for ``(n, features)``, each by the networks of its fold, ``(n,)``."""
        import torch

        found = torch.zeros(len(features), self.classes, device=features.device)
        for one in range(len(self.first)):
            where = (fold == one).nonzero()[:, 0]
            if len(where):
                found[where] = self._answer(features[where], one)
        return found

    def _answer(self, features: torch.Tensor, fold: int) -> torch.Tensor:
        import torch

        hidden = torch.einsum("nf,mfh->mnh", features, self.first[fold].to(features))
        hidden = (hidden + self.first_bias[fold].to(features)[:, None]).relu()
        logits = torch.einsum("mnh,mhc->mnc", hidden, self.second[fold].to(features))
        return (logits + self.second_bias[fold].to(features)[:, None]).softmax(dim=-1).mean(dim=0)


def train_networks(
    features: NDArray[np.float32], classes: NDArray[np.int64], fold: NDArray[np.int64], networks: int, seed: int
) -> Networks:
    """Train the networks of each fold on the tokens of all other folds.

    Args:
        features: ``(n, features)`` float32.
        classes: ``(n,)``: 0 right, else a kind of mistake; all of 0 to the greatest.
        fold: ``(n,)``: of each token's example.
        networks: How many a fold.
        seed: Decides everything.
    """
    import torch

    count = int(classes.max(initial=0)) + 1
    folds = [
        [_train_one(features[fold != one], classes[fold != one], count, seed + place) for place in range(networks)]
        for one in range(int(fold.max(initial=0)) + 1)
    ]
    stacked = [
        torch.from_numpy(np.array([[weights[part] for weights in row] for row in folds], np.float32))
        for part in range(4)
    ]
    return Networks(stacked[0], stacked[1], stacked[2], stacked[3])


def _train_one(
    features: NDArray[np.float32], classes: NDArray[np.int64], count: int, seed: int
) -> Sequence[NDArray[np.float64]]:
    """Weights and biases of both layers; classes that do not occur get the answer 0.

    Where there is nothing to tell apart, so that it knows nothing, its answer is always *right*.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    known = np.unique(classes)
    if len(known) < 2:
        only_right = np.where(np.arange(count) > 0, -30.0, 0.0)
        return [np.zeros((features.shape[1], _HIDDEN)), np.zeros(_HIDDEN), np.zeros((_HIDDEN, count)), only_right]
    epochs = int(np.clip(_UPDATES * _BATCH / len(features), 10, 40))
    batch = min(_BATCH, len(features))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # stopped early on purpose
        network: Any = MLPClassifier(
            (_HIDDEN,), alpha=0.1, batch_size=batch, max_iter=epochs, random_state=seed, shuffle=True
        ).fit(features, classes)
    (first, second), (first_bias, second_bias) = network.coefs_, network.intercepts_
    if len(known) == 2:  # one logistic output: its counterpart is 0
        second, second_bias = np.pad(second, ((0, 0), (1, 0))), np.pad(second_bias, (1, 0))
    wide = np.zeros((_HIDDEN, count))
    bias = np.full(count, -30.0)
    wide[:, known], bias[known] = second, second_bias
    return [first, first_bias, wide, bias]
