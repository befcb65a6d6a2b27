"""The engine: rows -> tokens/ -> scores/, shard by shard, each signal computed once.

Begin reading in ``score``; ``tokenise`` and ``stream`` feed it, ``fit`` is what scorers may look at before.
"""
