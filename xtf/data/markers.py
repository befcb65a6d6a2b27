"""Where the assistant's words stand in the text that a chat template makes.

Searching for the words would find them in a question that quotes them, and comparing renderings of growing prefixes
fails for templates that treat earlier turns otherwise than the last. So the words are bracketed by characters that
occur nowhere else, the template renders them, and the brackets tell where they came out. Taking the brackets away must
give back the plain rendering, character for character; then the places are exact.

Brackets stand inside leading and trailing white space, so that templates may trim, and around each side of a think
tag, so that templates may take the thoughts apart. Words that the template leaves out simply do not come back.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from xtf.data.messages import WRITTEN

FIRST, LAST = 0x100000, 0x10FFFD  # Unicode plane 16: private use, never assigned
BRACKET = re.compile(f"[{chr(FIRST)}-{chr(LAST)}]")
THINK_TAG = re.compile(r"</?(?:think|thinking|thought|reasoning)>|\[/?THINK\]")

Span = tuple[int, int]


class NotLocated(Exception):
    """The template changed its rendering, or did not keep the words in one place."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Words of one message: ``source[start:end]``."""

    turn: int
    source: str
    start: int
    end: int
    is_call: bool = False


@dataclass(slots=True)
class Markers:
    """Brackets words and finds them again."""

    pieces: list[Piece] = field(default_factory=list)

    def mark(self, message: Mapping[str, Any], turn: int) -> dict[str, Any]:
        """Return a copy of an assistant message with its words and the names of its tool calls in brackets."""
        marked = dict(message)
        for key in WRITTEN:
            if message.get(key):
                marked[key] = self._bracketed(message[key], turn)
        if message.get("tool_calls"):
            marked["tool_calls"] = [
                {
                    **call,
                    "function": {**call["function"], "name": self._bracketed(call["function"]["name"], turn, True)},
                }
                for call in message["tool_calls"]
            ]
        return marked

    def _bracketed(self, source: str, turn: int, is_call: bool = False) -> str:
        out, done = [], 0
        has_words = not is_call and THINK_TAG.sub("", source).strip()  # else the tags are the words
        tags = [match.span() for match in THINK_TAG.finditer(source)] if has_words else []
        for tag_start, tag_end in (*tags, (len(source), len(source))):
            part = source[done:tag_start]
            core = part.strip()
            if core:
                start = done + part.index(core)
                bracket = FIRST + 2 * len(self.pieces)
                if bracket + 1 > LAST:
                    raise NotLocated("too many turns")
                self.pieces.append(Piece(turn, source, start, start + len(core), is_call))
                out += [source[done:start], chr(bracket), core, chr(bracket + 1), source[start + len(core) : tag_start]]
            else:
                out.append(part)
            out.append(source[tag_start:tag_end])
            done = tag_end
        return "".join(out)

    def read(self, rendered: str) -> tuple[str, dict[int, Span]]:
        """Return the text without brackets, and piece number to where its words stand in it.

        Raises:
            NotLocated: when a bracket came back twice or without its other half.
        """
        parts: list[str] = []
        opened: dict[int, int] = {}
        spans: dict[int, Span] = {}
        done = length = 0
        for match in BRACKET.finditer(rendered):
            parts.append(rendered[done : match.start()])
            length += len(parts[-1])
            done = match.end()
            piece, closes = divmod(ord(match[0]) - FIRST, 2)
            if piece in spans:  # some templates name the call again beside its result
                if not self.pieces[piece].is_call:
                    raise NotLocated("the words of an assistant turn come out twice")
            elif not closes:
                opened[piece] = length
            elif piece in opened:
                spans[piece] = (opened[piece], length)
            else:
                raise NotLocated("the words of an assistant turn do not come out in one piece")
        if len(opened) != len(spans):
            raise NotLocated("the words of an assistant turn do not come out in one piece")
        parts.append(rendered[done:])
        return "".join(parts), spans


def widened(text: str, low: int, pieces: list[tuple[Piece, Span]]) -> list[Span]:
    """Return the spans of one turn, with the white space and tags between and around them that were also written.

    Args:
        text: The plain rendering.
        low: Where the turn begins; nothing before it was written by the assistant.
        pieces: The turn's pieces that came out, in order of place.
    """
    spans: list[Span] = []
    for number, (piece, (start, end)) in enumerate(pieces):
        previous = pieces[number - 1][0] if number else None
        following, ceiling = pieces[number + 1] if number + 1 < len(pieces) else (None, (len(text), 0))
        goes_on = previous is not None and previous.source is piece.source
        before = piece.source[previous.end if previous is not None and goes_on else 0 : piece.start]
        if goes_on and text[spans[-1][1] : start] == before:
            spans[-1] = (spans[-1][0], end)
        else:
            floor = max(low, spans[-1][1] if spans else low)
            spans.append((start - _shared(reversed(before), reversed(text[floor:start])), end))
        if not piece.is_call and (following is None or following.source is not piece.source):
            extra = _shared(piece.source[piece.end :], text[end : ceiling[0]])
            spans[-1] = (spans[-1][0], end + extra)
    return spans


def _shared(first: Iterable[str], second: Iterable[str]) -> int:
    """How many characters two texts begin with alike."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))
