"""Does an attribute tell the tokens of an answer apart at all?"""

from __future__ import annotations

from xtf.display import counted
from xtf.labelling.distribution import FLAT_RANGE, Distribution

_FLAT_SHARE = 0.99
_WIDEST = 10 * FLAT_RANGE


def degenerate(distribution: Distribution) -> str | None:
    """Say why an attribute ranks no tokens, or None if it does. The caller puts the attribute's name in front.

    Judged *within* examples. The attention row mean of released XTF code is ``1 / seq`` plus rounding: over the corpus
    it varies with the length of the examples, yet inside one it spans about 1e-6 of its size, and a cut would select
    rounding noise. An attribute that is constant in each example is as useless for choosing tokens.

    It is degenerate when in 99 % of the judged examples the scores span at most ``FLAT_RANGE`` of their largest
    magnitude, and in none more than ten times that: a rare-event detector is flat in most examples but not in all. The
    bound lies well above float32 rounding and well below what scores that differ do: for chance alone to bring random
    numbers in [0, 1] that close has probability 1e-3 in two-token examples, and less in longer ones. Examples with
    fewer than two different unprotected response token ids are not judged, since scores by token id must tie there.
    """
    judged, flat = distribution.examples_judged, distribution.examples_flat
    if not judged:
        return None
    if distribution.is_constant:
        return f"all {distribution.count:,} scores are {distribution.minimum:.9g}"
    if flat < _FLAT_SHARE * judged or distribution.widest_range > _WIDEST:
        return None
    return (
        f"the scores do not tell the tokens of one example apart: in {flat:,} of {counted(judged, 'example')} they "
        f"span at most {FLAT_RANGE:.1g} of their size, and nowhere more than {distribution.widest_range:.2g} (over the "
        f"corpus they run from {distribution.minimum:.9g} to {distribution.maximum:.9g}), so a cut would select "
        "rounding noise"
    )
