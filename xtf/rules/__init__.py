"""Scores -> labels: rules fitted once over the corpus, then applied shard by shard, without any model."""

from xtf.rules.degenerate import degenerate
from xtf.rules.rules import LabelRules, Verdicts, apply_rules, fit_rules, judge, labels_of
from xtf.rules.summary import AttributeSummary, ExampleCount, LabelSummary, Overlap, Tally, TokenCount, summarise

__all__ = [
    "AttributeSummary",
    "ExampleCount",
    "LabelRules",
    "LabelSummary",
    "Overlap",
    "Tally",
    "TokenCount",
    "Verdicts",
    "apply_rules",
    "degenerate",
    "fit_rules",
    "judge",
    "labels_of",
    "summarise",
]
