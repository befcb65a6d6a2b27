"""Small networks that tell the kinds of mistakes from right tokens, one set a fold."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xtf.attribute import progress

from .folds import FOLDS

if TYPE_CHECKING:
    import torch

_HIDDEN = 128
_UPDATES = 1200
_BATCH = 256


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
    folds: list[list[Sequence[NDArray[np.float64]]]] = []
    with progress("Learning", FOLDS * networks, "networks") as advance:
        for one in range(FOLDS):
            folds.append([])
            for place in range(networks):
                folds[-1].append(_train_one(features[fold != one], classes[fold != one], count, seed + place))
                advance(1)
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
