"""Flags where no trainer reads them: in an object beside the words, such as ``metadata``; and verdicts on turns."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from xtf.data.flag_names import (
    DETAILS,
    INVERTED,
    IS_AN_ORDER,
    LISTS,
    OF_TURNS,
    SWITCHES,
    WEIGHTS,
    is_switch,
    plain_name,
    refused,
    settled_by,
)
from xtf.data.roles import SPEAKERS
from xtf.data.value_tests import is_plain_truth, truth
from xtf.data.verdict_names import verdict_of

WORDS = frozenset(
    ("content", "value", "text", "message", "parts", "arguments", "parameters", "input", "output", "answers")
) | {"function_call", "tool_call", "tool_calls", "function", "chat_template_kwargs"}
"""Objects under these names are what is said, or what a tool is called with or answers."""
VERDICTS = re.compile(
    r"(?:is_)?(?:rejected|undesirable|chosen|desirable|preferred|target)|label|kto_(?:tag|label)|included?|keep"
)
"""What a turn may not say of itself: no trainer reads it there; of preference data whole rows are."""
PLAIN_VERDICTS = re.compile(r"is_.*|rejected|(?:un)?desirable|kto_(?:tag|label)")
"""Those of them under which 0 and 1 are a verdict too, not a class or the place of the right answer."""


def refuse_hidden(holder: Mapping[Any, Any], place: str, settled: Collection[str] = ()) -> None:
    """Refuse what says not to learn in an object of a row, a turn or a part.

    Args:
        holder: The row, turn or part.
        place: Where it stands.
        settled: Names, and paths with points, of which ``data.only`` speaks.

    Raises:
        RowError: naming the flag.
    """
    before = "" if place == "the row" else OF_TURNS
    for path, key, value in _entries_of_objects(holder):
        if not _is_settled(path, settled) and _says_no(key, value):
            holding = path.rpartition(".")[0]
            how = f"set it on {'the row' if not before else 'the turn'} itself. {settled_by(before + path)}"
            raise refused(f"{place}.{holding}: {key!r} is {value!r:.60}; {how}")


def refuse_verdicts(turn: Mapping[Any, Any], place: str, settled: Collection[str] = ()) -> None:
    """Refuse a turn, or a part of it, that says of itself whether it is the good one of several.

    Raises:
        RowError: naming what says so.
    """
    for key, value in turn.items():
        name = plain_name(str(key))
        is_said = is_plain_truth(value) or (truth(value) is not None and PLAIN_VERDICTS.fullmatch(name))
        if is_said and key not in settled and VERDICTS.fullmatch(name):
            how = f"set train: false on a turn that is not to be learnt. {settled_by(f'{OF_TURNS}{key}')}"
            raise refused(f"{place}: {key!r} is {value!r:.60}; {how}")


def bad_verdicts(turn: Mapping[Any, Any], settled: Collection[str] = ()) -> list[str]:
    """The keys, and paths with points in objects, by which a turn plainly says of itself that it is wrong."""
    own = [(str(key), str(key), value) for key, value in turn.items()]
    verdicts = ((path, verdict_of(key, value, of_turn=True)) for path, key, value in (*own, *_entries_of_objects(turn)))
    return [path for path, verdict in verdicts if verdict is False and not _is_settled(path, settled)]


def _is_settled(path: str, settled: Collection[str]) -> bool:
    return path in settled or path.partition(".")[0] in settled


def _entries_of_objects(holder: Mapping[Any, Any]) -> Iterator[tuple[str, str, Any]]:
    """Of each entry of an object within ``holder``, of objects in it too: its path with points, its key, its value.

    Objects that are words, or what a tool is called with or answers, are passed over.
    """
    for outer, value in holder.items():
        if isinstance(value, Mapping) and str(outer) not in WORDS and not any(key in value for key in SPEAKERS):
            for key, inner in value.items():
                yield f"{outer}.{key}", str(key), inner
                yield from ((f"{outer}.{path}", *rest) for path, *rest in _entries_of_objects({key: inner}))


def _says_no(key: str, value: Any) -> bool:
    """Whether an entry says that something is not to be learnt."""
    name = plain_name(key)
    if isinstance(value, (list, tuple, np.ndarray)):
        return name in DETAILS or (name in LISTS and any(truth(each) is False for each in value))
    if name in (*SWITCHES, *INVERTED):
        return truth(value) is (name in INVERTED)
    if name in WEIGHTS:
        return truth(value) is False
    return bool(IS_AN_ORDER.fullmatch(name)) and is_switch(key, value)
