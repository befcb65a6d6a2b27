"""Why this token: its value, percentile, cut and margin under each attribute, one sentence, and what would flip it.

The verdicts are those that labelling wrote, never a second opinion; every number in a sentence is rounded
so that the sentence stays true. Begin reading in ``tokens``; ``terminal`` and ``html`` show one explanation.
"""

from xtf.explain.flips import Flip
from xtf.explain.measures import AttributeVerdict, Describe
from xtf.explain.tokens import ExampleExplanation, TokenExplanation, explain_example

__all__ = ["AttributeVerdict", "Describe", "ExampleExplanation", "Flip", "TokenExplanation", "explain_example"]
