"""Truth files: which characters of which responses are wrong, by planting or by people's annotation.

One JSON object a line. A row of one response::

    {"id": "7", "response": "…", "bad": [[12, 15, "number"], [40, 52]], "unknown": [[80, 120]]}

``bad`` and ``unknown`` are characters of ``response``; the kind of a bad span may be left out. ``id``, or ``prompt``
and ``response`` where there is none, says which example it is. A row of several responses holds ``turns``, a list of
``{"response", "bad", "unknown"}`` in their order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtf.errors import DataError, kind_of, raise_if_forbidden
from xtf.noise.kind import Span
from xtf.noise.plant import WrongSpan, char_spans
from xtf.tokens import TokenizedExample

ANNOTATED = "wrong"
"""The kind of a bad span that names none."""


@dataclass(frozen=True, slots=True)
class TrueTurn:
    """What is known of one response.

    Attributes:
        bad: Its wrong characters.
        unknown: Characters of which nobody knows.
        response: Its text, if the file gives it.
    """

    bad: tuple[WrongSpan, ...]
    unknown: tuple[Span, ...] = ()
    response: str | None = None


@dataclass(frozen=True, slots=True)
class TrueExample:
    """What is known of one example.

    Attributes:
        location: File and line.
        turns: One a response, in order.
    """

    location: str
    turns: tuple[TrueTurn, ...]


@dataclass(frozen=True, slots=True)
class TokenTruth:
    """What is known of each token of an example.

    Attributes:
        wrong: ``(seq,)`` int8: 1 wrong, 0 right, -1 unknown or not to be judged.
        kinds: ``(seq,)`` objects: the kind of each wrong token, "" elsewhere.
        spans: ``(seq,)`` int32: the number of the wrong span that the token belongs to, from 0; -1 elsewhere.
    """

    wrong: NDArray[np.int8]
    kinds: NDArray[np.object_]
    spans: NDArray[np.int32]


class Truth:
    """A truth file, by example id or by the text of the response."""

    def __init__(self, path: Path, rows: Mapping[str, TrueExample], by_response: Mapping[str, TrueExample]) -> None:
        self.path = path
        self._rows, self._by_response = rows, by_response

    def __len__(self) -> int:
        return len(self._rows) or len(self._by_response)

    def of(self, example_id: str, responses: Sequence[str]) -> TrueExample | None:
        """What is known of an example, found by id, else by the text of its last response; None if nothing is."""
        found = self._rows.get(example_id)
        if found is None and responses:
            found = self._by_response.get(responses[-1].strip())
        return found


def read_truth(path: str | Path) -> Truth:
    """Read a truth file.

    Raises:
        DataError: naming file and line, when it is missing, empty, or holds something else.
    """
    file = Path(path)
    rows: dict[str, TrueExample] = {}
    by_response: dict[str, TrueExample] = {}
    for location, value in _lines(file):
        example = TrueExample(location, _turns(value, location))
        name = value.get("id", value.get("example_id"))
        if name is not None:
            if str(name) in rows:
                raise DataError(f"{location}: a second row of id {name!r}; the first is {rows[str(name)].location}")
            rows[str(name)] = example
        response = example.turns[-1].response if example.turns else None
        if response is not None:
            by_response.setdefault(response.strip(), example)
        elif name is None:
            raise DataError(f"{location}: neither 'id' nor 'response' says which example this is")
    if not rows and not by_response:
        raise DataError(f"{file}: no rows. A truth file holds one JSON object a line, with 'id' and 'bad'.")
    return Truth(file, rows, by_response)


def _lines(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise DataError(f"{file}: not valid UTF-8") from None
    except OSError as error:
        raise_if_forbidden(error)
        raise DataError(f"{file}: cannot be read: {error.strerror or error}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file}:{number}: broken JSON: {error}") from None
        if not isinstance(value, Mapping):
            raise DataError(f"{file}:{number}: expected an object with 'id' and 'bad', found {kind_of(value)}")
        yield f"{file}:{number}", value


def _turns(value: Mapping[str, Any], location: str) -> tuple[TrueTurn, ...]:
    if "turns" not in value:
        return (_turn(value, location),)
    turns = value["turns"]
    if not isinstance(turns, list) or not all(isinstance(turn, Mapping) for turn in turns):
        raise DataError(f"{location}: 'turns' must be a list of objects with 'bad'")
    return tuple(_turn(turn, f"{location}: turn {number}") for number, turn in enumerate(turns, 1))


def _turn(value: Mapping[str, Any], location: str) -> TrueTurn:
    if "bad" not in value:
        raise DataError(f"{location}: no 'bad': a list of [start, end] or [start, end, kind] in characters")
    response = value.get("response")
    if response is not None and not isinstance(response, str):
        raise DataError(f"{location}: 'response' is {kind_of(response)}, expected text")
    size = len(response) if response is not None else None
    bad = [_span(span, size, location, "bad") for span in _list(value["bad"], location, "bad")]
    unknown = [
        _span(span, size, location, "unknown") for span in _list(value.get("unknown") or [], location, "unknown")
    ]
    return TrueTurn(tuple(bad), tuple((span.start, span.end) for span in unknown), response)


def _list(value: Any, location: str, key: str) -> list[Any]:
    if not isinstance(value, list):
        raise DataError(f"{location}: {key!r} is {kind_of(value)}, expected a list of [start, end]")
    return value


def _span(value: Any, size: int | None, location: str, key: str) -> WrongSpan:
    whole = isinstance(value, list) and len(value) in (2, 3) and all(type(end) is int for end in value[:2])
    kind = value[2] if whole and len(value) == 3 else ANNOTATED
    if not whole or not isinstance(kind, str) or not 0 <= value[0] <= value[1]:
        raise DataError(f"{location}: {key!r} holds {value!r}, expected [start, end] or [start, end, kind]")
    if size is not None and value[1] > size:
        raise DataError(f"{location}: {key!r} ends at character {value[1]}, but the response has {size}")
    return WrongSpan(value[0], value[1], kind)


# -- tokens ------------------------------------------------------------------------------------------------------------


def response_runs(example: TokenizedExample) -> list[slice]:
    """Each stretch of response tokens, and of tokens of the same turns that flags or rules exclude."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], example.in_turn.astype(np.int8), [0]])))
    return [slice(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def response_text(pieces: Sequence[bytes]) -> str:
    """The text that a stretch of tokens spells."""
    return b"".join(pieces).decode("utf-8", "replace")


def align(true: TrueExample, example: TokenizedExample, pieces: Sequence[bytes]) -> TokenTruth:
    """Mark the tokens that hold a wrong character, and those that hold an unknown one and no wrong one.

    Args:
        true: What is known.
        example: The example; protected tokens are never judged.
        pieces: The bytes of each of its tokens.

    Raises:
        DataError: the example has another number of responses than the truth, or its text is another.
    """
    wrong = np.full(len(example), -1, np.int8)
    kinds = np.full(len(example), "", np.object_)
    spans = np.full(len(example), -1, np.int32)
    runs = response_runs(example)
    if len(runs) > len(true.turns):
        raise DataError(
            f"{true.location}: example {example.example_id!r} has {len(runs)} responses, the truth speaks of "
            f"{len(true.turns)}"
        )
    number = 0
    for run, turn in zip(runs, true.turns, strict=False):  # truncation may have cut later ones off
        places = char_spans(pieces[run])
        shift = _shift(turn, response_text(pieces[run]), true.location)
        judged = (example.is_response & ~example.is_protected)[run]
        wrong[run] = np.where(judged, 0, -1)
        for span, is_bad in [*((WrongSpan(s, e, ""), False) for s, e in turn.unknown), *((b, True) for b in turn.bad)]:
            start, end = span.start + shift, max(span.end, span.start + 1) + shift
            hit = np.array([first < end and start < last for first, last in places], np.bool_) & judged
            wrong[run][hit] = 1 if is_bad else -1
            if is_bad:
                kinds[run][hit] = span.kind
                spans[run][hit] = number
                number += 1
    return TokenTruth(wrong, kinds, spans)


def _shift(turn: TrueTurn, text: str, location: str) -> int:
    """How many characters later the response begins in the text of the tokens."""
    if turn.response is None:
        return 0
    lead = len(turn.response) - len(turn.response.lstrip())
    stripped = turn.response.strip()
    at = text.find(turn.response)
    if at >= 0:
        return at
    at = text.find(stripped)
    if at >= 0:
        return at - lead
    begin = len(text) - len(text.lstrip())
    cut = text.strip().rstrip("\ufffd")
    if cut and stripped.startswith(cut):  # data.max_length has cut it
        return begin - lead
    raise DataError(f"{location}: the response is not the text of the example: {stripped[:60]!r} against {cut[:60]!r}")
