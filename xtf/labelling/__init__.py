"""Scores -> labels: rules fitted once over the corpus, then applied shard by shard, without any model.

Begin reading in ``rules``; ``cuts`` turn a score into "lacking", ``combiners`` lacking into noise.
"""

from xtf.labelling.degenerate import degenerate
from xtf.labelling.rules import LabelRules, fit_rules, judge
from xtf.labelling.summary import AttributeSummary, ExampleCount, LabelSummary, Overlap, Tally, TokenCount

__all__ = [
    "AttributeSummary",
    "ExampleCount",
    "LabelRules",
    "LabelSummary",
    "Overlap",
    "Tally",
    "TokenCount",
    "degenerate",
    "fit_rules",
    "judge",
]
