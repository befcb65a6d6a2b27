"""Between tokens and the characters that the assistant wrote: which characters masked tokens hold, and back.

Places are characters of a message's own text (``messages[message][key]``), not of what a template makes of it, so they
hold for every tokenizer and template. What a template adds to a turn, such as its end, and tool calls, which templates
write in their own way, have no such places: of those a turn says only whether they are learnt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xtf.data.markers import Span
from xtf.data.targets import written_runs
from xtf.data.tokenise import LocatedTokens
from xtf.data.turns import Turn
from xtf.tokens import BoolArray, IntArray


@dataclass(frozen=True, slots=True)
class MaskedSpan:
    """Characters ``messages[message][key][start:end]`` that are not learnt.

    Attributes:
        key: Part of the message: ``content``, ``reasoning_content``, …
        start: First character.
        end: Character behind the last one.
        cause: A number that stands for why; neighbours with another cause are spans of their own.
    """

    key: str
    start: int
    end: int
    cause: int = 0


@dataclass(frozen=True, slots=True)
class SharedSpan:
    """Characters that several tokens share, some of them learnt and some not, as where ``÷`` is two tokens.

    Attributes:
        key: Part of the message.
        start: First character.
        end: Character behind the last one.
        learnt: Of each of the tokens, in order. It holds only for a tokenizer that makes as many of them.
    """

    key: str
    start: int
    end: int
    learnt: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class MaskedTurn:
    """One assistant turn.

    Attributes:
        message: Position of its message.
        masked: Which of its characters are not learnt, in order.
        rest_learnt: Whether what the template adds to it, such as its end, is learnt.
        written: How many of its tokens hold characters that the assistant wrote.
        learnt: How many of those are learnt.
        shared: Where characters do not say which tokens are learnt; they are among ``masked`` as well.
    """

    message: int
    masked: tuple[MaskedSpan, ...]
    rest_learnt: bool
    written: int
    learnt: int
    shared: tuple[SharedSpan, ...] = ()


@dataclass(frozen=True, slots=True)
class AppliedSpans:
    """Masked characters as tokens.

    Attributes:
        learnt: ``(seq,)`` bool.
        straddling: ``(seq,)`` bool, the tokens that hold both masked and learnt characters; they are masked.
    """

    learnt: BoolArray
    straddling: BoolArray


def masked_turns(located: LocatedTokens, learnt: BoolArray, causes: IntArray) -> tuple[MaskedTurn, ...]:
    """Which characters of each assistant turn are not learnt.

    A character that several tokens share is masked as soon as one of them is.

    Args:
        located: The tokens and the text.
        learnt: ``(seq,)`` bool.
        causes: ``(seq,)`` int32, why a token is not learnt; not negative.
    """
    return tuple(_masked_turn(located, turn, learnt, causes) for turn in located.rendering.turns)


def _masked_turn(located: LocatedTokens, turn: Turn, learnt: BoolArray, causes: IntArray) -> MaskedTurn:
    own = _tokens_of(located, turn)
    written = np.zeros(len(learnt), np.bool_)
    parts: dict[str, NDArray[np.int64]] = {}
    shared: list[SharedSpan] = []
    for piece, first, last, place in written_runs(turn, located.rendering.text):
        if not piece.key:
            continue  # of a tool call
        inside = located.places.targets((place, place + last - first))
        written[inside] = True
        cause_of = parts.setdefault(piece.key, np.full(len(piece.source), -1, np.int64))
        for token in inside[~learnt[inside]].tolist():
            start, end = (first + int(edge) - place for edge in located.offsets[token])
            cause_of[max(start, first) : min(end, last)] = causes[token]
        for group in _sharing(located.offsets, inside):
            if learnt[group].any() and not learnt[group].all():
                start, end = (int(edge) for edge in (located.offsets[group, 0].min(), located.offsets[group, 1].max()))
                if place <= start and end <= place + last - first:
                    verdicts = tuple(learnt[group].tolist())
                    shared.append(SharedSpan(piece.key, first + start - place, first + end - place, verdicts))
    masked = tuple(span for key, cause_of in parts.items() for span in _runs_of(key, cause_of))
    rest = own[~written[own]]
    counts = int(written.sum()), int((written & learnt).sum())
    return MaskedTurn(turn.message, masked, bool(learnt[rest].any()), *counts, tuple(shared))


def _sharing(offsets: NDArray[np.int64], tokens: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """The groups of neighbouring tokens that share characters."""
    ends = np.maximum.accumulate(offsets[tokens, 1])
    apart = np.flatnonzero(offsets[tokens[1:], 0] >= ends[:-1]) + 1
    return [group for group in np.split(tokens, apart) if len(group) > 1]


def apply_spans(located: LocatedTokens, turns: Sequence[MaskedTurn]) -> AppliedSpans:
    """Which tokens are learnt where these characters are masked, with any tokenizer; of turns not named none is.

    A token that holds one masked character is not learnt.
    """
    learnt, straddling = np.zeros((2, len(located.offsets)), np.bool_)
    by_message = {turn.message: turn for turn in turns}
    for turn in located.rendering.turns:
        known = by_message.get(turn.message)
        if known is None:
            continue
        written, masked = np.zeros((2, len(located.rendering.text) + 1), np.bool_)
        for piece, first, last, place in written_runs(turn, located.rendering.text):
            if piece.key:
                written[place : place + last - first] = True
                for start, end in _within(known.masked, piece.key, (first, last)):
                    masked[place + start - first : place + end - first] = True
        own = _tokens_of(located, turn)
        holds_written, holds_masked = (_holding(located.offsets[own], chars) for chars in (written, masked))
        holds_kept = _holding(located.offsets[own], written & ~masked)
        learnt[own] = np.where(holds_written, ~holds_masked, known.rest_learnt)
        straddling[own] = holds_masked & holds_kept
        _apply_shared(located, turn, known.shared, AppliedSpans(learnt, straddling))
    return AppliedSpans(learnt, straddling)


def _apply_shared(located: LocatedTokens, turn: Turn, shared: Sequence[SharedSpan], applied: AppliedSpans) -> None:
    """Tell the tokens apart that share characters, where the tokenizer makes the same ones."""
    if not shared:
        return
    for piece, first, last, place in written_runs(turn, located.rendering.text):
        for span in shared:
            if span.key != piece.key or not first <= span.start < span.end <= last:
                continue
            start, end = place + span.start - first, place + span.end - first
            tokens = located.places.targets((start, end))
            own = located.offsets[tokens]
            if len(tokens) == len(span.learnt) and own[:, 0].min() == start and own[:, 1].max() == end:
                applied.learnt[tokens] = span.learnt
                applied.straddling[tokens] = False


def _tokens_of(located: LocatedTokens, turn: Turn) -> NDArray[np.intp]:
    """Positions of the tokens of a turn, by rising place."""
    found = [located.places.targets(span) for span in turn.spans]
    return np.unique(np.concatenate(found)) if found else np.zeros(0, np.intp)


def _within(spans: Sequence[MaskedSpan], key: str, part: Span) -> Iterator[Span]:
    """The spans of a key, cut to the characters of ``part``."""
    for span in spans:
        low, high = max(span.start, part[0]), min(span.end, part[1])
        if span.key == key and low < high:
            yield low, high


def _holding(offsets: NDArray[np.int64], chosen: BoolArray) -> BoolArray:
    """``(tokens,)``: whether each token holds one of the chosen characters."""
    total = np.concatenate([[0], np.cumsum(chosen)])
    found: BoolArray = total[offsets[:, 1]] > total[offsets[:, 0]]
    return found


def _runs_of(key: str, causes: NDArray[np.int64]) -> Iterator[MaskedSpan]:
    """Neighbouring characters of one cause, those of cause -1 left out."""
    edges = np.flatnonzero(np.diff(causes)) + 1
    for start, end in zip([0, *edges.tolist()], [*edges.tolist(), len(causes)], strict=True):
        if start < end and causes[start] >= 0:
            yield MaskedSpan(key, start, end, int(causes[start]))
