"""Noise if any attribute lacks: the rule of XTF."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from xtf.labelling.combiners.base import Combiner, Panel
from xtf.labelling.combiners.votes import Votes
from xtf.labelling.shard import Shards


class AnyLacks(Combiner):
    """Noise if any attribute lacks (XTF)."""

    kind: Literal["any"] = "any"

    def fit(self, panel: Panel, shards: Shards) -> Votes:
        return Votes(panel, 1)

    def restore(self, panel: Panel, state: Mapping[str, Any]) -> Votes:
        return Votes(panel, 1)
