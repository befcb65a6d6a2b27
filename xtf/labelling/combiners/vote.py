"""Noise if enough attributes lack."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, PositiveInt

from xtf.errors import ConfigError
from xtf.labelling.combiners.base import Combiner, Panel
from xtf.labelling.combiners.votes import Votes
from xtf.labelling.shard import Shards


class Vote(Combiner):
    """Noise if at least ``votes`` attributes lack."""

    count_key: ClassVar[str | None] = "votes"
    kind: Literal["vote"] = "vote"
    votes: PositiveInt = Field(2, description="For vote: noise when at least this many attributes lack.")

    def fit(self, panel: Panel, shards: Shards) -> Votes:
        if self.votes > len(panel.voters):
            raise ConfigError(
                f"combine.votes: {self.votes} attributes must lack, but only {len(panel.voters)} have a cut that can "
                "call a token lacking, so nothing would ever be masked"
            )
        return Votes(panel, self.votes)

    def restore(self, panel: Panel, state: Mapping[str, Any]) -> Votes:
        return Votes(panel, self.votes)
