"""Scores -> labels: rules fitted once over the corpus, then applied shard by shard, without any model.

Begin reading in ``rules``; ``cuts`` turns a score into "lacking", ``combine`` turns lacking into noise.
"""

from xtf.labelling.degenerate import degenerate
from xtf.labelling.rules import LabelRules, Verdicts, apply_rules, fit_rules, judge, labels_of
from xtf.labelling.summary import AttributeSummary, ExampleCount, LabelSummary, Overlap, Tally, TokenCount, summarise

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
