"""What the flags of rows, turns and parts say about learning.

A flag says whether to learn (``train: false``, ``masked: true``) or by what weight (``weight: 0.5``). ``train_detail``
is axolotl's: ``end_offset`` is the last character of the span, as in axolotl's own example, and of characters that it
does not name it says that they are not learnt. NeMo's column ``mask`` names the one whose turns are masked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xtf.data.flag_names import (
    DETAILS,
    INVERTED,
    LISTS,
    OF_TURNS,
    ROW_FLAGS,
    TURN_FLAGS,
    UNCLEAR_LISTS,
    is_switch,
    refuse_unknown,
    refuse_unknown_lists,
    refused,
    spelled,
)
from xtf.data.hidden_flags import bad_verdicts, refuse_hidden, refuse_verdicts
from xtf.data.roles import ROLES
from xtf.errors import kind_of, listed
from xtf.tokens import FloatArray

WORDS = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}


@dataclass(frozen=True, slots=True)
class SpanWeight:
    """Characters ``[start, end)`` of one text of a message, under ``key``, weigh ``weight``."""

    key: str
    start: int
    end: int
    weight: float
    flag: str


@dataclass(frozen=True, slots=True)
class TurnWeight:
    """What the flags say of one turn.

    Attributes:
        weight: Of the whole turn; 0 means that it is not learnt.
        flag: The name of the flag that says so; "" if none does.
        spans: Weights of some of its characters, which multiply ``weight``.
        is_named: Whether a flag speaks of this very turn, not of the whole row or of characters only.
    """

    weight: float = 1.0
    flag: str = ""
    spans: tuple[SpanWeight, ...] = ()
    is_named: bool = False

    def times(self, weight: float, flag: str) -> TurnWeight:
        """The same turn under one more flag; the flag that excludes it is remembered."""
        keep = self.flag and (self.weight == 0 or weight != 0)
        return replace(self, weight=self.weight * weight, flag=self.flag if keep else flag)

    @property
    def asks(self) -> bool:
        """Whether flags ask to learn some of this turn, whoever speaks."""
        return self.weight > 0 and (self.is_named or any(span.flag and span.weight for span in self.spans))

    @property
    def spares(self) -> bool:
        """Whether flags say of some of this turn that it is not to be learnt."""
        return not self.weight or any(not span.weight for span in self.spans)


def take_turn_flags(message: MutableMapping[str, Any], place: str, settled: Collection[str] = ()) -> TurnWeight | None:
    """Take the flags out of a message; None if it has none.

    Args:
        message: The message.
        place: Where it stands.
        settled: Keys of which ``data.only`` speaks, which are no flags.

    Raises:
        RowError: naming a flag or a value that is not understood.
    """
    found = _taken(message, place, settled)
    details = [key for key, _ in spelled(message, DETAILS)]
    if len(details) > 1:
        raise refused(f"{place}: {listed(map(repr, details))} exclude each other; keep one")
    refuse_unknown(set(message) - {*details, *settled}, place, OF_TURNS)
    refuse_hidden(message, place, settled)
    refuse_verdicts(message, place, settled)
    spans = _detail_spans(message.pop(details[0]), details[0], place) if details else ()
    if details and not spans and not found:  # axolotl: nothing is named, so nothing is learnt
        return TurnWeight(0.0, details[0], is_named=True)
    return TurnWeight(*_joined(found, place), spans, bool(found)) if found or details else None


def with_length(turn: TurnWeight, length: int, place: str) -> TurnWeight:
    """Check spans of characters against the content they speak of; what they do not name is not learnt.

    Raises:
        RowError: a span ends behind the content; by one character is taken for an end that is excluded.
    """
    if not turn.spans:
        return turn
    flag, key = turn.spans[0].flag, turn.spans[0].key
    named = np.zeros(length, np.bool_)
    for span in turn.spans:
        if span.end > length + 1:
            raise refused(f"{place}.{flag}: character {span.end - 1} is named, but the content has {length}")
        named[span.start : span.end] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[True], named, [True]]).astype(np.int8)))
    gaps = (SpanWeight(key, int(start), int(end), 0.0, flag) for start, end in edges.reshape(-1, 2))
    return replace(turn, spans=(*turn.spans, *gaps))


def part_spans(
    parts: Iterable[tuple[str, int, Any]], place: str, settled: Collection[str] = ()
) -> tuple[SpanWeight, ...]:
    """Weights of the typed parts of one content, none if no part has a flag.

    Args:
        parts: For each part the text it becomes a piece of (``content``, ``reasoning_content``, or "" for a tool
            call), how many characters it adds, and the part as it stands in the row.
        place: For errors.
        settled: Keys of which ``data.only`` speaks, which are no flags.

    Raises:
        RowError: naming a flag that is not understood.
    """
    spans: list[SpanWeight] = []
    ends: dict[str, int] = {}
    flagged = False
    for number, (key, length, raw) in enumerate(parts):
        here = f"{place}.content[{number}]"
        part = dict(raw) if isinstance(raw, Mapping) else {}
        found = _taken(part, here, settled)
        refuse_unknown(set(part) - set(settled), here, OF_TURNS)
        refuse_hidden(part, here, settled)
        refuse_verdicts(part, here, settled)
        weight, flag = _joined(found, here)
        if found and not key:
            raise refused(f"{here}: {flag!r} on a part that is no text; set it on the whole turn")
        flagged |= bool(found)
        start = ends.get(key, 0)
        ends[key] = start + length
        if key:
            spans.append(SpanWeight(key, start, ends[key], weight, flag))
    return tuple(spans) if flagged else ()


def with_row_flags(
    turns: Sequence[TurnWeight | None], row: Mapping[str, Any], roles: Sequence[str], context: int
) -> list[TurnWeight | None]:
    """Return what flags say of each turn, ``(length,)``, with what the row's own columns say besides.

    A column holds one value for the whole row, or a list with one for each message or for each assistant turn. One
    value for the row weighs what is learnt anyway; an entry of a list speaks of its turn, as a flag of the turn does.

    Args:
        turns: What each turn says itself.
        row: The row.
        roles: Of its messages, a system message from a column of its own included.
        context: So many first messages are its prompt.

    Raises:
        RowError: naming a column whose value is not understood.
    """
    found, whole = list(turns), []
    for key, name in spelled(row, LISTS):
        value = _from_text(row.get(key))
        if _is_missing(value):
            continue
        if isinstance(value, (list, tuple, np.ndarray)):
            for place, weight in _listed_weights(key, name, list(value), roles, context):
                found[place] = replace((found[place] or TurnWeight()).times(weight, key), is_named=True)
        elif name in ROW_FLAGS:
            whole.append((_row_weight(key, name, value), key))
        elif not _masks_others(name, value):
            raise refused(f"the row's {key!r} is {value!r:.60}; expected a list of 0 and 1, one for each turn")
    for place, role in enumerate(roles):
        turn = found[place] or (TurnWeight() if role == "assistant" and place >= context else None)
        for weight, name in whole if turn else ():
            found[place] = turn = turn.times(weight, name) if turn else turn
    return found


def refuse_unknown_switches(row: Mapping[str, Any], sizes: Collection[int] = (), settled: Collection[str] = ()) -> None:
    """Refuse a row whose own columns say true or false, or name spans, under a name that looks like a flag's.

    Args:
        row: Column to value, without columns that are understood as something else.
        sizes: How many entries a list has that speaks of each turn, or of each token; such are refused too.
        settled: Columns, and paths in objects, of which ``data.only`` speaks.

    Raises:
        RowError: naming the columns.
    """
    known = {key for key, _ in spelled(row, LISTS)}
    others = {key: value for key, value in row.items() if key not in known and key not in settled}
    refuse_unknown_lists(others, sizes)
    details = {key for key, _ in spelled(others, DETAILS)}
    switches = {key for key, value in others.items() if is_switch(key, value)}
    refuse_unknown(sorted(switches | details), "the row")
    refuse_hidden(row, "the row", settled)


def row_token_weights(row: Mapping[str, Any], length: int) -> FloatArray | None:
    """What the columns of a row that is tokens already say of its tokens, ``(length,)``; None if they say nothing.

    One value speaks of the whole row, a list under ``weights`` or ``loss_weights`` of each token.

    Raises:
        RowError: naming a column whose value is not understood.
    """
    found: FloatArray | None = None
    for key, name in spelled(row, (*ROW_FLAGS, "weights", "loss_weights")):
        value = row.get(key)
        if _is_missing(value) or (name == "loss_mask" and not isinstance(value, (bool, int, float))):
            continue
        if isinstance(value, (list, tuple, np.ndarray)):
            weights = np.array([_weight(key, name, one, f"{key}[{i}]") for i, one in enumerate(value)], np.float32)
            if len(weights) != length:
                raise refused(f"the row's {key!r} has {len(weights)} entries, but there are {length} tokens")
        elif name in ROW_FLAGS:
            weights = np.full(length, _row_weight(key, name, value), np.float32)
        else:
            raise refused(f"the row's {key!r} is {value!r:.60}; expected a list of weights, one for each token")
        found = weights if found is None else found * weights
    return found


def _masks_others(name: str, value: Any) -> bool:
    """Whether a column says by a role, as NeMo has it, that the turns of others than the assistant are masked."""
    return name == "mask" and isinstance(value, str) and ROLES.get(value.strip().lower()) in ("system", "user", "tool")


def _row_weight(key: str, name: str, value: Any) -> float:
    weight = _weight(key, name, value, "the row")
    if name == "loss" and weight not in (0.0, 1.0):
        raise refused(f"the row's {key!r} is {value!r}: a measured loss? Rename the column, or write true or false")
    return weight


def _listed_weights(
    key: str, name: str, values: list[Any], roles: Sequence[str], context: int
) -> list[tuple[int, float]]:
    """The places of the turns that a list speaks of, null entries left out, and their weights."""
    weights = [None if value is None else _weight(key, name, value, f"{key}[{i}]") for i, value in enumerate(values)]
    turns = [i for i, role in enumerate(roles) if role == "assistant" and i >= context]
    own = [i for i, role in enumerate(roles) if not (i == 0 and role == "system")]
    places = next((each for each in (range(len(roles)), own, turns) if len(each) == len(weights)), None)
    if places is None:
        raise refused(
            f"the row's {key!r} has {len(weights)} entries; expected one for each of its {len(roles)} messages, or "
            f"for each of its {len(turns)} assistant turns"
        )
    others = [weight for place, weight in zip(places, weights, strict=True) if roles[place] != "assistant"]
    if name in UNCLEAR_LISTS and (not others or any(others)):
        raise refused(
            f"the row's {key!r} does not tell whether 1 means learnt or masked; rename it to 'loss_mask' (1 = learnt)"
        )
    return [(place, weight) for place, weight in zip(places, weights, strict=True) if weight is not None]


def _taken(message: MutableMapping[str, Any], place: str, settled: Collection[str] = ()) -> list[tuple[float, str]]:
    flags = [(key, name) for key, name in spelled(message, TURN_FLAGS) if key not in settled]
    named = [(key, name, message.pop(key)) for key, name in flags]
    bad = bad_verdicts(message, settled)
    for key in bad:
        message.pop(key, None)
    return [(0.0, key) for key in bad] + [
        (_weight(key, name, value, place), key) for key, name, value in named if not _is_missing(value)
    ]


def _is_missing(value: Any) -> bool:
    """Whether a flag says nothing: null, or an empty cell of a CSV file."""
    return value is None or (isinstance(value, str) and not value.strip())


def _from_text(value: Any) -> Any:
    """The list that a text holds, as in a cell of a CSV file; any other value as it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        with suppress(ValueError):
            return json.loads(value)
    return value


def _joined(found: Sequence[tuple[float, str]], place: str) -> tuple[float, str]:
    """Weight and name of the flag that decides: the one that excludes, else the one that weighs."""
    zero = next((flag for flag in found if flag[0] == 0), None)
    if zero is not None:
        return zero
    weighing = [flag for flag in found if flag[0] != 1]
    if len({weight for weight, _ in weighing}) > 1:
        raise refused(f"{place}: {listed(repr(name) for _, name in weighing)} contradict each other")
    return next(iter(weighing or found), (1.0, ""))


def _weight(key: str, name: str, value: Any, place: str) -> float:
    """The weight that one flag gives, spelled ``key``: 0 for not to be learnt."""
    if isinstance(value, str):
        text = value.strip().lower()
        number = WORDS.get(text, text)
    else:
        number = value
    try:
        weight = math.nan if isinstance(number, (list, tuple, Mapping)) else float(number)
    except (TypeError, ValueError):
        weight = math.nan
    if not math.isfinite(weight) or weight < 0 or (name in INVERTED and weight not in (0.0, 1.0)):
        shown = kind_of(value) if isinstance(value, (list, tuple, Mapping)) else repr(value)[:40]
        raise refused(f"{place}: {key!r} is {shown}; expected true, false, or a weight of 0 or more")
    return 1.0 - weight if name in INVERTED else weight


def _detail_spans(value: Any, name: str, place: str) -> tuple[SpanWeight, ...]:
    if not isinstance(value, (list, tuple)):
        raise refused(f"{place}.{name} is {kind_of(value)}, expected a list of spans")
    spans = []
    for number, item in enumerate(value):
        here = f"{place}.{name}[{number}]"
        keys = {"begin_offset", "end_offset"}
        if not isinstance(item, Mapping) or not keys <= set(item):
            raise refused(f"{here}: expected begin_offset, end_offset and train")
        rest = {key: one for key, one in item.items() if key not in keys}
        weight, flag = _joined(_taken(rest, here), here)
        start, last = item["begin_offset"], item["end_offset"]
        whole = all(isinstance(end, int) and not isinstance(end, bool) for end in (start, last))
        if not flag or rest or not whole or not 0 <= start <= last:
            raise refused(f"{here}: {dict(item)!r} is no span; expected 0 <= begin_offset <= end_offset and train")
        spans.append(SpanWeight("content", start, last + 1, weight, name))
    return tuple(spans)
