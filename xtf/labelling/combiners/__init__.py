"""Lacking -> noise: the rules that combine attributes. One file a rule, an entry point each.

Attributes whose cut is ``never`` decide nothing: they have no vote, ``all`` does not wait for them, and they enter a
weighted mean only with a weight of their own. Begin reading in ``base``, then any rule.
"""

from xtf.labelling.combiners.base import Combiner, Decision, FittedCombiner, Panel, Severity
from xtf.labelling.combiners.votes import Votes

__all__ = ["Combiner", "Decision", "FittedCombiner", "Panel", "Severity", "Votes"]
