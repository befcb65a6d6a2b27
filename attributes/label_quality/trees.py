"""Boosted trees that tell wrong tokens from right ones, a sequence of them a fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xtf.attribute import progress

from .folds import FOLDS

if TYPE_CHECKING:
    import torch

_TREES = 100
_LEAVES = 15
_RATE = 0.08
_FEATURES_TRIED = 0.2
_NOTHING_KNOWN = -30.0
_CHUNK = 1 << 20
"""Most tokens times trees looked at together."""


@dataclass(frozen=True)
class Trees:
    """For each fold, trees whose answers add up to log-odds. Each is padded to as many nodes as the largest has.

    Attributes:
        start: ``(folds,)`` float64: the log-odds that the answers are added to.
        feature: ``(folds, trees, nodes)`` int32: the feature that a node looks at; -1 at a leaf.
        threshold: ``(folds, trees, nodes)`` float64: up to it, it goes on at ``left``, beyond it at ``right``.
        left: ``(folds, trees, nodes)`` int32.
        right: ``(folds, trees, nodes)`` int32.
        answer: ``(folds, trees, nodes)`` float64, of a leaf.
    """

    start: torch.Tensor
    feature: torch.Tensor
    threshold: torch.Tensor
    left: torch.Tensor
    right: torch.Tensor
    answer: torch.Tensor

    def log_odds(self, features: torch.Tensor, fold: torch.Tensor) -> torch.Tensor:
        """``(n,)`` float32 log-odds of *wrong* for ``(n, features)``, each by the trees of its fold, ``(n,)``."""
        import torch

        found = torch.zeros(len(features), device=features.device)
        for one in range(len(self.start)):
            where = (fold == one).nonzero()[:, 0]
            for some in torch.split(where, max(1, _CHUNK // self.feature.shape[1])):
                found[some] = self._add_up(features[some], one).to(found.dtype)
        return found

    def _add_up(self, features: torch.Tensor, fold: int) -> torch.Tensor:
        import torch

        device = features.device
        feature, left, right = (part[fold].to(device, torch.int64) for part in (self.feature, self.left, self.right))
        threshold = self.threshold[fold].to(device)
        node = torch.zeros(len(feature), len(features), dtype=torch.int64, device=device)
        while True:
            looked_at = feature.gather(1, node)
            inner = looked_at >= 0
            if not bool(inner.any()):
                break
            low = features.T.gather(0, looked_at.clamp(min=0)) <= threshold.gather(1, node)
            node = torch.where(inner, torch.where(low, left.gather(1, node), right.gather(1, node)), node)
        return self.start[fold].to(device) + self.answer[fold].to(device).gather(1, node).sum(dim=0)


def train_trees(features: NDArray[np.float32], wrong: NDArray[np.bool_], fold: NDArray[np.int64], seed: int) -> Trees:
    """Grow the trees of each fold from the tokens of all other folds.

    Args:
        features: ``(n, features)`` float32.
        wrong: ``(n,)``: whether a mistake was planted at the token.
        fold: ``(n,)``: of each token's example.
        seed: Decides everything.
    """
    import torch

    grown = []
    with progress("Growing trees", FOLDS, "folds") as advance:
        for one in range(FOLDS):
            grown.append(_grow(features[fold != one], wrong[fold != one], seed))
            advance(1)
    size = max(len(tree[0]) for _, trees in grown for tree in trees)
    parts = zip(*(zip(*trees, strict=True) for _, trees in grown), strict=True)
    padded = (np.array([[np.resize(one, size) for one in trees] for trees in part]) for part in parts)
    return Trees(torch.tensor([start for start, _ in grown], dtype=torch.float64), *map(torch.from_numpy, padded))


def _grow(
    features: NDArray[np.float32], wrong: NDArray[np.bool_], seed: int
) -> tuple[float, list[Sequence[NDArray[Any]]]]:
    """What :class:`Trees` holds of one fold; where there is nothing to tell apart, that everything is right."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    if len(np.unique(wrong)) < 2:
        leaf = [np.full(1, -1, np.int32), np.zeros(1), *np.zeros((2, 1), np.int32), np.zeros(1)]
        return _NOTHING_KNOWN, [leaf] * _TREES
    grown: Any = HistGradientBoostingClassifier(
        max_iter=_TREES,
        learning_rate=_RATE,
        max_leaf_nodes=_LEAVES,
        max_features=_FEATURES_TRIED,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=seed,
    ).fit(features, wrong)
    # scikit-learn offers no public way to its boosted trees; that they are read right here is tested
    return float(grown._baseline_prediction.item()), [_parts(tree.nodes) for (tree,) in grown._predictors]


def _parts(nodes: NDArray[Any]) -> Sequence[NDArray[Any]]:
    """Of a tree of scikit-learn."""
    leaf = nodes["is_leaf"].astype(bool)
    return (
        np.where(leaf, -1, nodes["feature_idx"]).astype(np.int32),
        nodes["num_threshold"].astype(np.float64),
        nodes["left"].astype(np.int32),
        nodes["right"].astype(np.int32),
        nodes["value"].astype(np.float64),
    )
