"""Everything that turns scores into labels, fitted over the corpus, as one value that can be stored and applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xtf.config import CombineConfig, PluginSection
from xtf.labelling.combiners import Combiner, FittedCombiner, Panel
from xtf.labelling.cuts import FittedCut, fit_cuts
from xtf.labelling.decisions import Decisions, Grain
from xtf.labelling.distribution import Distribution, measure
from xtf.labelling.guards import apply_guards
from xtf.labelling.shard import Labels, ScoredShard, Shards


@dataclass(frozen=True, slots=True)
class LabelRules:
    """Fitted rules.

    Attributes:
        panel: Each attribute's fitted cut and distribution, in the order of the reason bits.
        combine: The combination as configured.
        combiner: The rule it names, fitted.
        deciders: Whose verdicts go before these rules and at which grain, by the numbers in ``Labels.decided`` from 1.
    """

    panel: Panel
    combine: CombineConfig
    combiner: FittedCombiner
    deciders: tuple[tuple[str, Grain], ...] = ()

    @property
    def attributes(self) -> tuple[str, ...]:
        """The attributes in the order of their reason bits."""
        return tuple(self.panel.cuts)

    @property
    def cuts(self) -> Mapping[str, FittedCut]:
        """Attribute name to its fitted cut."""
        return self.panel.cuts

    @property
    def distributions(self) -> Mapping[str, Distribution]:
        """Attribute name to its distribution over the corpus."""
        return self.panel.distributions

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, without the distributions, which are arrays (``Distribution.to_arrays``)."""
        return {
            "attributes": list(self.attributes),
            "cuts": {name: cut.to_dict() for name, cut in self.cuts.items()},
            "combine": self.combine.model_dump(mode="json"),
            **self.combiner.state(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], distributions: Mapping[str, Distribution]) -> LabelRules:
        """Restore what :meth:`to_dict` gave."""
        panel = Panel({name: FittedCut.from_dict(data["cuts"][name]) for name in data["attributes"]}, distributions)
        combine = CombineConfig.model_validate(data["combine"])
        return cls(panel, combine, combiner_of(combine).restore(panel, data))


def combiner_of(combine: CombineConfig) -> Combiner:
    """The rule that a configuration names.

    Raises:
        TypeError: what is installed under that name is not a rule.
    """
    settings = combine.settings()
    if not isinstance(settings, Combiner):
        raise TypeError(f"combine.rule: {settings!r} is not a rule")
    return settings


def fit_rules(
    attributes: Sequence[str],
    thresholds: Mapping[str, PluginSection],
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
    panel = Panel(cuts, {name: distributions[name] for name in attributes})
    return LabelRules(panel, combine, combiner_of(combine).fit(panel, shards))


def judge(rules: LabelRules, shard: ScoredShard, decisions: Decisions | None = None) -> Labels:
    """Apply cuts, combination and guards to one shard, and before them all what people decided.

    Under ``weighted``, and where a person decided it, a noise token may lack no single attribute, and then has no
    reason bit.
    """
    judged = shard.candidates()
    lacking = np.zeros(len(judged), dtype=np.uint16)
    for bit, (name, cut) in enumerate(rules.cuts.items()):
        if cut.cut.decides:
            found = cut.lacking(shard.scores[name], shard.offsets, judged)
            lacking |= found.astype(np.uint16) << np.uint16(bit)
    decision = rules.combiner.decide(shard, lacking)
    noise = apply_guards(decision, shard, rules.combine)
    decided = np.zeros(len(judged), np.uint8)
    if decisions:
        noise, decided = decisions.apply(shard, noise)
    weights = shard.weights.copy()
    by = rules.combine.weight_by
    if by is not None:
        weights[shard.is_response] *= np.clip(shard.scores[by][shard.is_response], 0.0, 1.0)
    weights[noise] = shard.weights[noise] * np.float32(rules.combine.noise_weight)
    return Labels(noise, weights, lacking * noise, lacking, decision.noise, decided=decided)
