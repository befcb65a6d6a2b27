"""One pass over a run: everything that the overview states, and what choosing a sample needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from xtf.labelling import LabelRules, LabelSummary, Tally
from xtf.report.html.facts import FactsTable

if TYPE_CHECKING:
    from xtf.labelling.shard import Labels, ScoredShard
    from xtf.runs import RunReader


@dataclass(slots=True)
class Survey:
    """The outcome of the pass.

    Attributes:
        rules: The rules that made the labels.
        summary: As ``Run.summary``.
        examples: What is known of every example, in corpus order.
        correlation: Correlation of the attributes' corpus ranks, ``(attributes, attributes)``; None where constant.
    """

    rules: LabelRules
    summary: LabelSummary
    examples: FactsTable
    correlation: list[list[float | None]]


@dataclass(slots=True)
class _Moments:
    """Sums for the correlation of ranks."""

    count: int = 0
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    products: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))

    def add(self, ranks: NDArray[np.float64]) -> None:
        """Take in ``(attributes, tokens)`` ranks, as shares less one half."""
        if not self.count:
            self.sums, self.products = np.zeros(len(ranks)), np.zeros((len(ranks), len(ranks)))
        self.count += ranks.shape[1]
        self.sums += ranks.sum(axis=1)
        self.products += ranks @ ranks.T

    def correlation(self, width: int) -> list[list[float | None]]:
        if not self.count:
            return [[None] * width for _ in range(width)]
        covariance = self.products / self.count - np.outer(self.sums, self.sums) / self.count**2
        scale = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        some = scale > 1e-9
        return [
            [
                round(float(np.clip(covariance[i, j] / (scale[i] * scale[j]), -1, 1)), 4)
                if some[i] and some[j]
                else None
                for j in range(width)
            ]
            for i in range(width)
        ]


def survey(run: RunReader) -> Survey:
    """Read every shard and its labels once.

    Raises:
        RunError: if the run has not been labelled.
    """
    rules = run.rules
    tally, moments, examples = Tally(), _Moments(), FactsTable()
    for shard, labels in run.labelled():
        tally.add(shard, labels)
        judged = shard.candidates()
        if judged.any():
            ranks = [rules.distributions[name].percentile_of(shard.scores[name][judged]) for name in rules.attributes]
            moments.add(np.stack(ranks).astype(np.float64) / 100 - 0.5)
        examples.add(shard.example_ids, _facts(rules, shard, labels))
    return Survey(rules, tally.result(rules.attributes), examples, moments.correlation(len(rules.attributes)))


def _facts(rules: LabelRules, shard: ScoredShard, labels: Labels) -> NDArray[np.int64]:
    """``(4, examples)``: the numbers of :class:`~xtf.report.html.facts.ExampleFacts`."""
    votes = np.bitwise_count(labels.lacking)
    disagree = shard.counts(shard.candidates() & (votes > 0) & (votes < len(rules.panel.voters)))
    sizes = np.diff(shard.offsets)
    return np.stack([sizes, shard.counts(shard.is_response), shard.counts(labels.noise), disagree])
