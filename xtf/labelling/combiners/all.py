"""Noise if every attribute that has a say lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from xtf.labelling.combiners.base import Combiner, Panel
from xtf.labelling.combiners.votes import Votes
from xtf.labelling.shard import Shards


class AllLack(Combiner):
    """Noise if all attributes lack, but for those whose cut is ``never``."""

    kind: Literal["all"] = "all"

    def fit(self, panel: Panel, shards: Shards) -> Votes:
        return Votes(panel, max(len(panel.voters), 1))

    def restore(self, panel: Panel, state: Mapping[str, Any]) -> Votes:
        return Votes(panel, max(len(panel.voters), 1))
