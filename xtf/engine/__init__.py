"""The engine: rows -> tokens/ -> scores/, shard by shard, each signal computed once."""

from xtf.engine.score import score_shards
from xtf.engine.tokenise import tokenise

__all__ = ["score_shards", "tokenise"]
