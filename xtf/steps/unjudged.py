"""Which examples a scorer had no means to judge, counted over a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from xtf.attribute.registry import AnyAttribute
from xtf.display import counted
from xtf.progress import notice
from xtf.runs import RunReader

_NAMED = 3


def unjudged_examples(run: RunReader, attributes: Mapping[str, AnyAttribute]) -> dict[str, str]:
    """Count the examples with tokens that an attribute could not judge, and say so.

    Args:
        run: Scored.
        attributes: Name to scorer.

    Returns:
        For each attribute with such examples, how many they are and the ids of a few, in words.
    """
    columns = {
        f"{name}.{detail}": (name, meaning.names.index(meaning.unjudged))
        for name, attribute in attributes.items()
        for detail, meaning in attribute.details().items()
        if meaning.unjudged is not None
    }
    numbers, named = Counter[str](), dict[str, list[str]]()
    for shard in run.shards(list(columns)) if columns else ():
        for column, (name, code) in columns.items():
            there = np.flatnonzero(shard.counts(shard.details[column] == code)).tolist()
            numbers[name] += len(there)
            known = named.setdefault(name, [])
            known += [shard.example_ids[place] for place in there[: _NAMED - len(known)]]
    found = {name: _sentence(number, named[name]) for name, number in numbers.items() if number}
    for name, sentence in found.items():
        notice(f"{name}: {sentence}")
    return found


def _sentence(number: int, named: list[str]) -> str:
    ids = ", ".join(map(repr, named)) + (", …" if number > len(named) else "")
    return f"{counted(number, 'example')} could not be judged ({ids}), so the scores there say nothing"
