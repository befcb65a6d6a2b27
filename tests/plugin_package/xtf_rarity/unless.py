"""A rule of a third party: one attribute excuses what the others lack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field

from xtf.labelling.combiners import Combiner, Decision, FittedCombiner, Panel
from xtf.labelling.combiners.base import severity_of_lacking
from xtf.labelling.shard import ReasonArray, ScoredShard, Shards


class Unless(Combiner):
    """Noise if any attribute lacks, unless ``excuse`` does not."""

    kind: Literal["unless"] = "unless"
    excuse: str = Field(description="The attribute that has to lack as well.")

    def attributes_named(self) -> Mapping[str, str]:
        return {"excuse": self.excuse}

    def fit(self, panel: Panel, shards: Shards) -> FittedUnless:
        return FittedUnless(panel, self.excuse)

    def restore(self, panel: Panel, state: Mapping[str, Any]) -> FittedUnless:
        return FittedUnless(panel, self.excuse)


class FittedUnless(FittedCombiner):
    """The rule for one corpus."""

    def __init__(self, panel: Panel, excuse: str) -> None:
        self._panel, self._excuse = panel, excuse
        self._bit = list(panel.cuts).index(excuse)

    def decide(self, shard: ScoredShard, lacking: ReasonArray) -> Decision:
        excused = (lacking >> np.uint16(self._bit)) & np.uint16(1) == 0
        others = lacking & ~np.uint16(1 << self._bit) != 0
        return Decision(others & ~excused, severity_of_lacking(self._panel, shard, lacking))

    def words(self, lacks: Sequence[bool], noise: bool) -> str:
        return f"{self._excuse} {'lacks as well' if noise else 'excuses it, or no other lacks'}"
