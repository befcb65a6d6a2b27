"""What the rules that count lacking attributes have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xtf.display import agreeing, counted
from xtf.labelling.combiners.base import Decision, FittedCombiner, Panel, severity_of_lacking
from xtf.labelling.shard import ReasonArray, ScoredShard
from xtf.tokens import BoolArray


class Votes(FittedCombiner):
    """Noise where at least ``needed`` attributes that have a say lack."""

    def __init__(self, panel: Panel, needed: int) -> None:
        self._panel, self.needed = panel, needed

    def decide(self, shard: ScoredShard, lacking: ReasonArray) -> Decision:
        voters, needed = self._panel.voters, self.needed or 1
        noise = count_votes(lacking, voters, needed) if voters else np.zeros(len(lacking), np.bool_)
        return Decision(noise, severity_of_lacking(self._panel, shard, lacking))

    def words(self, lacks: Sequence[bool], noise: bool) -> str:
        of = counted(len(self._panel.voters), "attribute")
        return agreeing(f"# of {of} [lacks|lack], {self.needed} needed", sum(lacks))

    def turning(self, lacks: Sequence[bool], noise: bool) -> tuple[Sequence[int], int]:
        missing = (self.needed or 1) - sum(lacks)
        return [bit for bit, one in enumerate(lacks) if one == noise], 1 - missing if noise else missing


def count_votes(lacking: ReasonArray, voters: Sequence[int], needed: int) -> BoolArray:
    """``(tokens,)`` bool: whether at least ``needed`` of the bits ``voters`` are set."""
    mask = np.uint16(sum(1 << voter for voter in voters))
    found: BoolArray
    if needed == 1:
        found = (lacking & mask) != 0
    elif needed == len(voters):
        found = (lacking & mask) == mask
    else:
        found = np.bitwise_count(lacking & mask) >= needed
    return found
