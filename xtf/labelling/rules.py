"""Everything that turns scores into labels, fitted over the corpus, as one value that can be stored and applied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xtf.config import CombineConfig, Threshold
from xtf.errors import ConfigError
from xtf.labelling.combine import (
    MEAN_RANK,
    apply_guards,
    lacking_severity,
    mean_rank,
    rank_severity,
    rank_weights,
    vote,
    votes_needed,
)
from xtf.labelling.cuts import FittedCut, fit_cuts
from xtf.labelling.distribution import Distribution, measure
from xtf.labelling.shard import Labels, ReasonArray, ScoredShard, Shards
from xtf.tokens import BoolArray, FloatArray


@dataclass(frozen=True, slots=True)
class LabelRules:
    """Fitted rules.

    Attributes:
        attributes: The attributes in the order of their reason bits.
        cuts: Attribute name to its fitted cut, in that order.
        combine: The combination as configured.
        distributions: Attribute name to its distribution over the corpus.
        rank_weights: For ``weighted``: each attribute's share in the mean rank; empty otherwise.
        rank_cut: For ``weighted``: the fitted cut on the mean rank; None otherwise.
    """

    attributes: tuple[str, ...]
    cuts: Mapping[str, FittedCut]
    combine: CombineConfig
    distributions: Mapping[str, Distribution]
    rank_weights: Mapping[str, float]
    rank_cut: FittedCut | None

    @property
    def voters(self) -> tuple[int, ...]:
        """The bits of the attributes that can lack; the others have no say."""
        return tuple(bit for bit, name in enumerate(self.attributes) if self.cuts[name].decides)

    @property
    def votes_needed(self) -> int:
        """How many voters must lack before a token is noise (not for ``weighted``)."""
        return votes_needed(self.combine, len(self.voters))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, without the distributions, which are arrays (``Distribution.to_arrays``)."""
        return {
            "attributes": list(self.attributes),
            "cuts": {name: cut.to_dict() for name, cut in self.cuts.items()},
            "combine": self.combine.model_dump(mode="json"),
            "rank_weights": dict(self.rank_weights),
            "rank_cut": self.rank_cut.to_dict() if self.rank_cut else None,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], distributions: Mapping[str, Distribution]) -> LabelRules:
        """Restore what :meth:`to_dict` gave."""
        attributes = tuple(data["attributes"])
        return cls(
            attributes,
            {name: FittedCut.from_dict(data["cuts"][name]) for name in attributes},
            CombineConfig.model_validate(data["combine"]),
            distributions,
            data["rank_weights"],
            FittedCut.from_dict(data["rank_cut"]) if data["rank_cut"] else None,
        )


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The steps from scores to noise in one shard, each ``(tokens,)``.

    Attributes:
        lacking: uint16, bit ``i`` is set where attribute ``i`` lacks.
        unguarded: bool, noise before the guards.
        noise: bool, noise in the end.
        ranks: float32, the mean rank of ``weighted``; None under the voting rules.
    """

    lacking: ReasonArray
    unguarded: BoolArray
    noise: BoolArray
    ranks: FloatArray | None


def fit_rules(
    attributes: Sequence[str],
    thresholds: Mapping[str, Threshold],
    combine: CombineConfig,
    shards: Shards,
    distributions: Mapping[str, Distribution] | None = None,
) -> LabelRules:
    """Let cuts and combination look at the corpus.

    One pass measures the distributions unless they are given, one more serves all corpus-wide cuts, and ``weighted``
    takes up to two more for the mean rank.

    Raises:
        ConfigError: with every problem found, such as a cut that the scores do not allow.
        PluginError: a response token has no finite score.
    """
    missing = [name for name in attributes if name not in thresholds]
    if missing:
        raise ValueError(f"no threshold given for {missing}; pass Never() for an attribute that decides nothing")
    if distributions is None:
        distributions = measure(attributes, shards)
    cuts = fit_cuts({name: thresholds[name] for name in attributes}, shards, distributions)
    weights: dict[str, float] = {}
    rank_cut = None
    if combine.rule == "weighted":
        weights = rank_weights(combine, cuts)
        rank_cut = _fit_rank_cut(combine, weights, shards, distributions)
    else:
        votes_needed(combine, sum(cut.decides for cut in cuts.values()))
    return LabelRules(
        tuple(attributes), cuts, combine, {name: distributions[name] for name in attributes}, weights, rank_cut
    )


def _fit_rank_cut(
    combine: CombineConfig, weights: Mapping[str, float], shards: Shards, distributions: Mapping[str, Distribution]
) -> FittedCut:
    """Fit the cut on the mean rank, over shards that hold it as their only score."""

    def ranked() -> Iterator[ScoredShard]:
        for shard in shards():
            yield replace(shard, scores={MEAN_RANK: mean_rank(shard, weights, distributions)})

    try:
        return fit_cuts({MEAN_RANK: combine.threshold}, ranked)[MEAN_RANK]
    except ConfigError as error:
        prefix = f"thresholds.{MEAN_RANK}"
        raise ConfigError([problem.replace(prefix, "combine.threshold") for problem in error.problems]) from None


def judge(rules: LabelRules, shard: ScoredShard) -> Verdicts:
    """Apply cuts, combination and guards to one shard."""
    judged = shard.candidates()
    lacking = np.zeros(len(judged), dtype=np.uint16)
    for bit, name in enumerate(rules.attributes):
        if rules.cuts[name].decides:
            found = rules.cuts[name].lacking(shard.scores[name], shard.offsets, judged)
            lacking |= found.astype(np.uint16) << np.uint16(bit)
    ranks = None
    if rules.rank_cut is None:
        unguarded = vote(lacking, rules.voters, rules.votes_needed) if rules.voters else np.zeros_like(judged)
        severity = lacking_severity(shard, lacking, rules.cuts, rules.distributions)
    else:
        ranks = mean_rank(shard, rules.rank_weights, rules.distributions)
        unguarded = rules.rank_cut.lacking(ranks, shard.offsets, judged)
        severity = rank_severity(ranks, rules.rank_cut)
    return Verdicts(lacking, unguarded, apply_guards(unguarded, shard, rules.combine, severity), ranks)


def apply_rules(rules: LabelRules, shard: ScoredShard) -> Labels:
    """Label one shard. Under ``weighted`` a noise token may lack no single attribute, and then has no reason bit."""
    return labels_of(rules, shard, judge(rules, shard))


def labels_of(rules: LabelRules, shard: ScoredShard, verdicts: Verdicts) -> Labels:
    """The labels that follow from verdicts already at hand (which a :class:`~xtf.label.Tally` can count as well)."""
    weights = shard.is_response.astype(np.float32)
    by = rules.combine.weight_by
    if by is not None:
        weights[shard.is_response] = np.clip(shard.scores[by][shard.is_response], 0.0, 1.0)
    weights[verdicts.noise] = rules.combine.noise_weight
    reasons = verdicts.lacking * verdicts.noise
    return Labels(verdicts.noise, weights, reasons, verdicts.lacking)
