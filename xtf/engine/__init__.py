"""The engine: rows -> tokens/ -> scores/, shard by shard, each signal computed once."""
