"""Score -> lacking: what each configured cut becomes once it has seen the corpus. One file a kind, an entry point each.

Every cut ends as a union of open intervals ``(low, high)``: a token lacks when ``low < score < high`` for one of them.
The ends are float32 numbers, so that a comparison in float32 is exact and a verdict survives JSON.

Statistics (quartiles, shares, clusters) are taken over *unprotected* response tokens, and only those can lack: a
protected token is always kept, so it must not use up a share. Begin reading in ``base``, then any kind.
"""

from xtf.labelling.cuts.base import Bounds, ChoiceControl, Control, Cut, Interval, NumberControl, Scoped, StepsControl
from xtf.labelling.cuts.fit import NO_PROMPTS, fit_cuts, fit_variants
from xtf.labelling.cuts.fitted import FittedCut
from xtf.labelling.cuts.statistics import Binned, FirstKept, Histogram, Quantile, Seen, Statistic

__all__ = [
    "NO_PROMPTS",
    "Binned",
    "Bounds",
    "ChoiceControl",
    "Control",
    "Cut",
    "FirstKept",
    "FittedCut",
    "Histogram",
    "Interval",
    "NumberControl",
    "Quantile",
    "Scoped",
    "Seen",
    "Statistic",
    "StepsControl",
    "fit_cuts",
    "fit_variants",
]
