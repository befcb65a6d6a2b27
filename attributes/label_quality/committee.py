"""Two learners of unlike kind whose answers are averaged.

Networks tell planted mistakes best. Boosted trees, which see no hidden states, are less taken in by what only planted
mistakes have, and so better at mistakes that people made. Together, with an equal say, they are nearly as good as
networks at the former and as good as trees at the latter (docs/benchmarks.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .networks import Networks, train_networks
from .trees import Trees, train_trees

if TYPE_CHECKING:
    import torch

_LEAST = 1e-6

_WEIGHT_OF_TREES = 2.0
"""Weight of the trees' log-odds, where that of the networks' is 1: theirs are spread twice as wide."""


class Opinion(NamedTuple):
    """What is thought of ``n`` tokens.

    Attributes:
        log_odds: ``(n,)`` float32, of *wrong*.
        kinds: ``(n, kinds)`` float32: if it is wrong, the probability of each kind of mistake.
    """

    log_odds: torch.Tensor
    kinds: torch.Tensor


@dataclass(frozen=True)
class Lessons:
    """What is learned from, of ``n`` tokens.

    Attributes:
        features: ``(n, features)`` float32, those of hidden states last.
        surprise: How many of them are no hidden states.
        classes: ``(n,)`` int64: 0 right, else a kind of mistake; all of 0 to the greatest.
        fold: ``(n,)`` int64: of each token's example.
    """

    features: torch.Tensor
    surprise: int
    classes: torch.Tensor
    fold: torch.Tensor

    def of(self, used: torch.Tensor) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
        """Features, classes and fold of the tokens ``used``, ``(n,)`` bool."""
        return self.features[used].numpy(), self.classes[used].numpy(), self.fold[used].numpy()


@dataclass(frozen=True)
class Committee:
    """Networks, and trees that look at no hidden states."""

    networks: Networks
    trees: Trees

    @classmethod
    def train(cls, lessons: Lessons, used: torch.Tensor, networks: int, seed: int) -> Committee:
        """Train both on the tokens ``used``, ``(n,)`` bool; ``networks`` is how many a fold, ``seed`` decides all."""
        features, classes, fold = lessons.of(used)
        return cls(
            train_networks(features, classes, fold, networks, seed),
            train_trees(features[:, : lessons.surprise], classes > 0, fold, seed),
        )

    def with_networks(self, lessons: Lessons, used: torch.Tensor, networks: int, seed: int) -> Committee:
        """The same trees with networks trained on other tokens ``used``, ``(n,)`` bool; see :meth:`train`."""
        return replace(self, networks=train_networks(*lessons.of(used), networks, seed))

    def judge(self, features: torch.Tensor, fold: torch.Tensor) -> Opinion:
        """Of ``(n, features)``, each by the learners of its fold, ``(n,)``."""
        classes = self.networks.probabilities(features, fold)
        right, wrong = classes[:, 0].clamp(min=_LEAST), classes[:, 1:].sum(dim=1)
        networks, trees = (wrong.clamp(min=_LEAST) / right).log(), self.trees.log_odds(features, fold)
        log_odds = (networks + _WEIGHT_OF_TREES * trees) / (1 + _WEIGHT_OF_TREES)
        return Opinion(log_odds, classes[:, 1:] / wrong[:, None].clamp(min=1e-30))
