"""Where everybody's words stand in the text that a chat template makes.

Searching for the words would find them in a question that quotes them, and comparing renderings of growing prefixes
fails for templates that treat earlier turns otherwise than the last. So the words are bracketed by characters that
occur nowhere else, the template renders them, and the brackets tell where they came out. Taking the brackets away must
give back the plain rendering, character for character; then the places are exact.

Brackets of an assistant's words stand inside leading and trailing white space, so that templates may trim, and around
each side of a think tag, so that templates may take the thoughts apart. The words of others need be found only, not
measured: what templates look for at their edges, such as ``/no_think`` or ``<tool_response>``, stays outside. Words
that the template leaves out simply do not come back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from xtf.data.messages import WRITTEN

FIRST, LAST = 0x100000, 0x10FFFD  # Unicode plane 16: private use, never assigned
BRACKET = re.compile(f"[{chr(FIRST)}-{chr(LAST)}]")
THINK_TAG = re.compile(r"</?(?:think|thinking|thought|reasoning)>|\[/?THINK\]")
EDGE = re.compile(r"(?:\s|</?[a-z_]{1,24}>|\[/?[A-Z_]{1,24}\]|/\w{1,24}\b)*", re.ASCII)
EDGE_AT_END = re.compile(rf"{EDGE.pattern}\Z", re.ASCII)
TOOLS = "tools"
"""Role of the descriptions of tools, which no message holds."""

Span = tuple[int, int]


class NotLocated(Exception):
    """The template changed its rendering, or did not keep the words in one place."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Words that one speaker has in one part of one message: ``source[start:end]``.

    Attributes:
        role: Who says them; :data:`TOOLS` for the descriptions of tools.
        turn: Position of the message, -1 for the descriptions of tools.
        part: ``content``, ``thoughts``, ``name`` or ``arguments`` of a call, …
        source: The whole part.
        start: First character.
        end: Character behind the last one.
        key: Key of the message under which ``source`` stands; "" of what is no text of the message's own speaker.
    """

    role: str
    turn: int
    part: str
    source: str
    start: int
    end: int
    key: str = ""

    @property
    def is_call(self) -> bool:
        """Whether it belongs to a tool call."""
        return self.part in ("name", "arguments")

    @property
    def is_assistant(self) -> bool:
        """Whether the assistant says it."""
        return self.role == "assistant"


@dataclass(slots=True)
class Markers:
    """Brackets words and finds them again; words whose role or part is in ``skip`` are left as they are."""

    pieces: list[Piece] = field(default_factory=list)
    skip: frozenset[str] = frozenset()

    def mark(self, message: Mapping[str, Any], turn: int) -> dict[str, Any]:
        """Return a copy of a message with its words, and names and arguments of its tool calls, in brackets."""
        if message["role"] != "assistant":
            whose = (message["role"], turn, "content")
            return {**message, "content": self._found(message["content"], whose, "content")}
        marked = dict(message)
        for key in WRITTEN:
            if message.get(key):
                marked[key] = self._measured(message[key], turn, key)
        if message.get("tool_calls"):
            marked["tool_calls"] = [self._call(call, turn) for call in message["tool_calls"]]
        for key in ("tool_responses", "tool_results"):  # foreign words in an assistant's message
            if message.get(key):
                marked[key] = _mapped(message[key], lambda text: self._found(text, ("tool", turn, "result")))
        return marked

    def mark_tools(self, tools: list[Any] | None) -> list[Any] | None:
        """Return the descriptions of tools with what describes each function, or else its name, in brackets."""
        return tools and [self._described(tool) for tool in tools]

    def _described(self, tool: Any) -> Any:
        if not isinstance(tool, Mapping):
            return tool
        if isinstance(tool.get("function"), Mapping):
            return {**tool, "function": self._described(tool["function"])}
        key = (
            "description" if str(tool.get("description") or "").strip() else "name"
        )  # which tells as well if it is kept
        words = tool.get(key)
        return {**tool, key: self._found(words, (TOOLS, -1, "description"))} if isinstance(words, str) else tool

    def _call(self, call: Mapping[str, Any], turn: int) -> dict[str, Any]:
        function = call["function"]
        name = self._bracketed(function["name"], _stripped(function["name"]), ("assistant", turn, "name"))
        arguments = _mapped(
            function["arguments"], lambda text: self._bracketed(text, _stripped(text), ("assistant", turn, "arguments"))
        )
        return {**call, "function": {**function, "name": name, "arguments": arguments}}

    def _measured(self, source: str, turn: int, key: str) -> str:
        part = "content" if key == "content" else "thoughts"
        has_words = THINK_TAG.sub("", source).strip()  # else the tags are the words
        tags = list(THINK_TAG.finditer(source)) if has_words else []
        spans, done, parts = [], 0, []
        for tag in (*tags, None):
            end = tag.start() if tag else len(source)
            core = _stripped(source[done:end])
            spans.append((done + core[0], done + core[1]))
            parts.append("thoughts" if tag is not None and "/" in tag[0] else part)
            done = tag.end() if tag else end
        out, done = [], 0
        for (start, end), name in zip(spans, parts, strict=True):
            out += [source[done:start], self._opened(Piece("assistant", turn, name, source, start, end, key))]
            done = end
        return "".join([*out, source[done:]])

    def _found(self, source: str, whose: tuple[str, int, str], key: str = "") -> str:
        core = _stripped(source)
        edge = EDGE.match(source)
        start = edge.end() if edge else 0
        rest = EDGE_AT_END.search(source, start)
        end = rest.start() if rest else len(source)
        return self._bracketed(source, (start, end) if start < end else core, whose, key)

    def _bracketed(self, source: str, span: Span, whose: tuple[str, int, str], key: str = "") -> str:
        return source[: span[0]] + self._opened(Piece(*whose, source, *span, key)) + source[span[1] :]

    def _opened(self, piece: Piece) -> str:
        words = piece.source[piece.start : piece.end]
        if not words or piece.role in self.skip or piece.part in self.skip:
            return words
        bracket = FIRST + 2 * len(self.pieces)
        if bracket + 1 > LAST:
            raise NotLocated("too many turns")
        self.pieces.append(piece)
        return f"{chr(bracket)}{words}{chr(bracket + 1)}"

    def read(self, rendered: str) -> tuple[str, dict[int, list[Span]]]:
        """Return the text without brackets, and piece number to where its words stand in it.

        Words of the assistant come out at most once; the words of others may be repeated, and so may calls, which some
        templates name again beside the result: of those the first place counts.

        Raises:
            NotLocated: when a bracket came back twice or without its other half.
        """
        parts: list[str] = []
        opened: dict[int, int] = {}
        spans: dict[int, list[Span]] = {}
        done = length = 0
        for match in BRACKET.finditer(rendered):
            parts.append(rendered[done : match.start()])
            length += len(parts[-1])
            done = match.end()
            number, closes = divmod(ord(match[0]) - FIRST, 2)
            piece = self.pieces[number]
            if piece.is_assistant and number in spans:
                if not piece.is_call:
                    raise NotLocated("the words of an assistant turn come out twice")
            elif not closes:
                opened[number] = length
            elif number in opened:
                spans.setdefault(number, []).append((opened.pop(number), length))
            else:
                raise NotLocated(f"the words of {_one(piece)} do not come out in one piece")
        if opened:
            raise NotLocated(f"the words of {_one(self.pieces[min(opened)])} do not come out in one piece")
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


def _stripped(text: str) -> Span:
    core = text.strip()
    start = text.index(core) if core else 0
    return start, start + len(core)


def _one(piece: Piece) -> str:
    return "an assistant turn" if piece.is_assistant else f"the {piece.role}"


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    """Return a copy of JSON data with every text changed, keys left as they are."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _mapped(inner, change) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_mapped(inner, change) for inner in value]
    return value
