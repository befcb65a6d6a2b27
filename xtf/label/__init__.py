"""Scores -> labels: rules fitted once over the corpus, then applied shard by shard, without any model."""

from xtf.label.degenerate import degenerate
from xtf.label.rules import LabelRules, apply_rules, fit_rules
from xtf.label.summary import AttributeSummary, ExampleCount, LabelSummary, Overlap, TokenCount, summarise

__all__ = [
    "AttributeSummary",
    "ExampleCount",
    "LabelRules",
    "LabelSummary",
    "Overlap",
    "TokenCount",
    "apply_rules",
    "degenerate",
    "fit_rules",
    "summarise",
]
