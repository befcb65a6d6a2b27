"""Score -> lacking: what each configured cut becomes once it has seen the corpus.

Every cut ends as a union of open intervals ``(low, high)``: a token lacks when ``low < score < high`` for one of them.
The ends are float32 numbers, so that a comparison in float32 is exact and a verdict survives JSON.

Statistics (quartiles, shares, clusters) are taken over *unprotected* response tokens, and only those can lack: a
protected token is always kept, so it must not use up a share.
"""

from xtf.labelling.cuts.fit import fit_cuts, needs_corpus
from xtf.labelling.cuts.fitted import FittedCut, Interval

__all__ = ["FittedCut", "Interval", "fit_cuts", "needs_corpus"]
