"""Verdicts that people gave, which go before cuts, rules and guards.

A verdict says of one token, of a span of one example, or of every token of an id whether it is masked. Of several that
speak of a token, the one of the smallest grain counts; of those, the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xtf.labelling.shard import Labels, ScoredShard
from xtf.tokens import BoolArray

Grain = Literal["rule", "span", "token"]
GRAINS: tuple[Grain, ...] = ("rule", "span", "token")
"""From the widest to the one that counts before the others."""
MOST_DECIDERS = 255
Deciders = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a person decided.

    Attributes:
        grain: Of one token, of neighbours, or of every token of an id.
        masked: Whether they are masked.
        by: Who decided.
        token_ids: The tokens; one for a rule.
        example_id: The example; None for a rule.
        start: The first token in the example; 0 for a rule.
    """

    grain: Grain
    masked: bool
    by: str
    token_ids: tuple[int, ...]
    example_id: str | None = None
    start: int = 0

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Verdict:
        """Restore what :meth:`to_dict` gave."""
        return cls(**{**data, "token_ids": tuple(data["token_ids"])})


@dataclass(frozen=True)
class Decisions:
    """All verdicts on a run, the earlier ones first."""

    verdicts: tuple[Verdict, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.verdicts)

    @cached_property
    def deciders(self) -> tuple[tuple[str, Grain], ...]:
        """Who decided at which grain; a token that the first of them decided has the number 1."""
        return tuple(dict.fromkeys((one.by, one.grain) for one in self.verdicts))

    def and_later(self, more: Iterable[Verdict]) -> Decisions:
        """With more verdicts behind these; of those on the same tokens the last stays."""
        kept: dict[tuple[Any, ...], Verdict] = {}
        for one in (*self.verdicts, *more):
            target = (one.grain, one.example_id, one.start, one.token_ids)
            kept.pop(target, None)
            kept[target] = one
        return Decisions(tuple(kept.values()))

    def apply(self, shard: ScoredShard, noise: BoolArray) -> tuple[BoolArray, Deciders]:
        """Noise with the verdicts, and who decided: both ``(tokens,)``, 0 for whoever called ``noise`` what it is.

        Only judged tokens are decided: not those of the prompt, and none that no rule may mask or that is not learnt.
        """
        masked, decided = noise.copy(), np.zeros(len(noise), np.uint8)
        judged = shard.candidates()
        places = {name: index for index, name in enumerate(shard.example_ids)} if self.verdicts else {}
        for grain in GRAINS:
            for one in self.verdicts:
                if one.grain == grain:
                    where = self._tokens(one, shard, places)
                    where = where[judged[where]]
                    masked[where] = one.masked
                    decided[where] = 1 + self.deciders.index((one.by, one.grain))
        return masked, decided

    def _tokens(self, one: Verdict, shard: ScoredShard, places: dict[str, int]) -> NDArray[np.int64]:
        """The places in a shard that a verdict speaks of."""
        if one.example_id is None:
            return np.flatnonzero(shard.input_ids == one.token_ids[0])
        if one.example_id not in places:
            return np.zeros(0, np.int64)
        first = int(shard.offsets[places[one.example_id]]) + one.start
        return np.arange(first, first + len(one.token_ids))


@dataclass(frozen=True, slots=True)
class Decided:
    """What one person decided at one grain.

    Attributes:
        by: Who.
        grain: Of what.
        tokens: How many tokens it decided.
        changed: How many of them the cuts would have treated otherwise.
    """

    by: str
    grain: Grain
    tokens: int
    changed: int

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def count_decided(decisions: Decisions, labels: Labels, before: BoolArray) -> list[Decided]:
    """Who decided how many tokens of a shard; ``before`` is ``(tokens,)``, the noise without verdicts."""
    found = []
    for number, (by, grain) in enumerate(decisions.deciders, 1):
        own = labels.decided == number
        changed = int(np.count_nonzero(own & (labels.noise != before)))
        found.append(Decided(by, grain, int(np.count_nonzero(own)), changed))
    return found


def add_decided(parts: Sequence[Sequence[Decided]]) -> list[Decided]:
    """The counts of several shards as one."""
    totals: dict[tuple[str, Grain], Decided] = {}
    for one in (one for part in parts for one in part):
        before = totals.get((one.by, one.grain), Decided(one.by, one.grain, 0, 0))
        sums = before.tokens + one.tokens, before.changed + one.changed
        totals[one.by, one.grain] = Decided(one.by, one.grain, *sums)
    return list(totals.values())
