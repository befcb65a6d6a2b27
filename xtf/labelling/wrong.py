"""How much of the data looks wrong: from probabilities that each token is right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from xtf.display import html_lines
from xtf.labelling.shard import ScoredShard


@dataclass(frozen=True, slots=True)
class WrongShare:
    """What an attribute expects of the data, if its probabilities are true.

    Attributes:
        attribute: Its name.
        share: Expected share of response tokens that are wrong; protected ones are not counted.
        margin: Half of the 95 % interval of that share, over examples drawn anew.
        kinds: Kind to expected share of response tokens, the greatest first; empty if the attribute names none.
    """

    attribute: str
    share: float
    margin: float
    kinds: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    def _repr_html_(self) -> str:
        return html_lines(self.attribute, [self.sentence()])

    def sentence(self) -> str:
        """Such as "about 3.1 % ± 0.6 % of response tokens look wrong; most: a changed number, foreign text"."""
        most = [kind for kind, share in list(self.kinds.items())[:3] if share >= 0.02 * self.share]
        named = f"; most: {', '.join(most)}" if most and self.share > 0.0 else ""
        return f"about {100 * self.share:.1f} % ± {100 * self.margin:.1f} % of response tokens look wrong{named}"


def expect_wrong(shards: Iterable[ScoredShard], attribute: str, kinds: Sequence[str] = ()) -> WrongShare:
    """Add up the probabilities that tokens are wrong.

    Args:
        shards: With the score of ``attribute``, and its detail ``ATTRIBUTE.kind`` if ``kinds`` are given.
        attribute: Whose scores are probabilities that a token is right.
        kinds: Names of the categories of that detail.
    """
    sums = np.zeros(5)  # over examples: wrong, tokens, wrong², wrong × tokens, tokens²; no list grows with the data
    by_kind = np.zeros(len(kinds))
    for shard in shards:
        judged = shard.candidates()
        doubt = np.where(judged, 1.0 - shard.scores[attribute].astype(np.float64), 0.0)
        running = np.concatenate([[0.0], np.cumsum(np.nan_to_num(doubt))])
        wrong, tokens = np.diff(running[shard.offsets]), shard.counts(judged)
        sums += [wrong.sum(), tokens.sum(), wrong @ wrong, wrong @ tokens, tokens @ tokens]
        if len(kinds):
            kind = shard.details[f"{attribute}.kind"][judged]
            by_kind += np.bincount(kind[kind >= 0], doubt[judged][kind >= 0], minlength=len(kinds))[: len(kinds)]
    total = max(sums[1], 1.0)
    share = sums[0] / total
    squares = sums[2] - 2.0 * share * sums[3] + share**2 * sums[4]  # of wrong - share × tokens
    margin = 1.96 * float(np.sqrt(max(squares, 0.0))) / total
    order = np.argsort(-by_kind, kind="stable")
    expected = {kinds[i]: float(by_kind[i] / total) for i in order.tolist()}
    return WrongShare(attribute, float(share), margin, expected)
