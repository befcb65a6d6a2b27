"""Every assistant turn, located in the text that the chat template makes.

A turn begins where the generation prompt ends (where the model starts to write) and ends with its end-of-turn token;
the newline that many templates put behind that token is nobody's target. Within the turn, words the assistant wrote
are told apart from what the template adds, such as an empty think block. Of a turn that calls tools, everything but
tokens of the added vocabulary (``<tool_call>``) counts as written, as the template renders it.
"""

from __future__ import annotations

from dataclasses import dataclass

from xtf.data.conversation import Conversation
from xtf.data.markers import BRACKET, Markers, NotLocated, Piece, Span, widened
from xtf.data.report import RowError
from xtf.data.template import FORMS, ChatTemplate, Messages, RefusedError

PREFIX_TAIL = 64  # characters of a generation prompt by which it is recognised where the text before it differs
LONGEST_TOKEN = 100  # characters; no added token is longer
LEFT_OUT = "the chat template leaves out part of an assistant turn"
NO_END = "no end-of-turn token after an assistant turn"
EMPTY_TURN = "an assistant turn without a word is not learnt"
SPECIAL_TEXT = "contains the text of special tokens, which the model reads as such"

Found = list[tuple[int, Piece, Span]]


@dataclass(frozen=True, slots=True)
class Turn:
    """One assistant turn: characters ``[start, end)`` of the text, and within it the spans the assistant wrote."""

    start: int
    end: int
    written: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Rendering:
    """The text of a conversation, its assistant turns by rising place, and remarks for the report."""

    text: str
    turns: tuple[Turn, ...]
    warnings: tuple[str, ...]


def render(template: ChatTemplate, conversation: Conversation) -> Rendering:
    """Render ``conversation`` and locate its assistant turns.

    Raises:
        RowError: the template refuses the conversation, or a turn cannot be located exactly.
    """
    has_calls = any(message.get("tool_calls") for message in conversation.messages)
    faults: list[RowError] = []
    for form in FORMS if has_calls else FORMS[:1]:
        try:
            return _Locator(template, form(conversation)).rendering()
        except RowError as error:
            faults.append(error)
        except NotLocated as error:
            faults.append(RowError("an assistant turn cannot be located in the chat template's text", str(error)))
        except RefusedError as error:
            faults.append(RowError("the chat template refuses the conversation", str(error)))
    raise faults[0]


class _Locator:
    """One conversation on its way to a Rendering."""

    def __init__(self, template: ChatTemplate, conversation: Conversation) -> None:
        self._template = template
        self._conversation = conversation
        self._markers = Markers()
        self._marked = list(conversation.messages)
        self._text = template.text(conversation.messages, conversation.tools)

    def rendering(self) -> Rendering:
        if BRACKET.search(self._text):
            raise NotLocated("it holds private-use characters of Unicode plane 16")
        responses = self._conversation.responses()
        for turn in responses:
            self._marked[turn] = self._markers.mark(self._marked[turn], turn)
        plain, spans = self._markers.read(self._template.text(self._marked, self._conversation.tools))
        if plain != self._text:
            raise NotLocated("the template treats these words otherwise when they are bracketed to find them")
        found: dict[int, Found] = {turn: [] for turn in responses}
        for number, span in sorted(spans.items(), key=lambda item: item[1]):
            piece = self._markers.pieces[number]
            found[piece.turn].append((number, piece, span))
        self._check_words(spans, found)
        turns: list[Turn] = []
        for turn in responses:
            turns.append(self._turn(turn, turns[-1].end if turns else 0, found[turn]))
        warnings = [LEFT_OUT] if len(spans) < len(self._markers.pieces) else []
        warnings += [EMPTY_TURN] if self._conversation.empty_turns() else []
        warnings += [NO_END] if any(turn.end == turn.written[-1][1] for turn in turns) else []
        warnings += [SPECIAL_TEXT] if self._template.spells_special_token(self._conversation.messages) else []
        return Rendering(self._text, tuple(turns), tuple(warnings))

    def _check_words(self, spans: dict[int, Span], found: dict[int, Found]) -> None:
        if any(piece.is_call and number not in spans for number, piece in enumerate(self._markers.pieces)):
            raise RowError("the chat template leaves out tool calls", "it may have no support for tools")
        if not all(found.values()):
            raise RowError("the chat template leaves out an assistant turn")
        for number, (start, end) in spans.items():
            piece = self._markers.pieces[number]
            if self._text[start:end] != piece.source[piece.start : piece.end]:
                raise RowError("the chat template changes the words of an assistant turn")

    def _turn(self, turn: int, low: int, found: Found) -> Turn:
        first = found[0][2][0]
        if first < low:
            raise NotLocated("the template changes the order of the turns")
        start = self._start(turn, low, first)
        calls = any(piece.is_call for _, piece, _ in found)
        if start is None and calls:
            raise NotLocated("a tool call does not follow the generation prompt")
        start = first if start is None else start
        if calls:
            end_words, end = self._end_of_calls(turn, found[-1][0], found[-1][2][1])
            words = (start, end_words)
            return Turn(start, end, tuple(without(words, self._template.added_tokens_in(self._text, words))))
        written = widened(self._text, start, [(piece, span) for _, piece, span in found])
        end = written[-1][1]
        end += next((len(ending) for ending in self._template.endings if self._text.startswith(ending, end)), 0)
        return Turn(start, end, tuple(written))

    def _start(self, turn: int, low: int, first: int) -> int | None:
        """Where the generation prompt of this turn ends; None when the full text does not have it."""
        before: Messages = self._conversation.messages[:turn]
        try:
            prefix = self._template.text(before, self._conversation.tools, prompt=True)
            if low <= len(prefix) <= first and self._text.startswith(prefix):
                opening = self._template.opening
                return min(first, len(prefix) + (len(opening) if self._text.startswith(opening, len(prefix)) else 0))
            bare = self._template.text(before, self._conversation.tools)
        except RefusedError:  # a template may refuse a conversation that stops here; then there is no prefix
            return None
        shared = len(_common_prefix(prefix, self._text))
        for text in (prefix, self._text):  # tokens that merely begin alike, "<think>" and "<tool_call>", share nothing
            tokens = self._template.added_tokens_in(text, (len(bare), min(len(text), shared + LONGEST_TOKEN)))
            shared = next((start for start, end in tokens if start < shared < end), shared)
        if low <= len(bare) <= shared:  # the prompt says more than the text does, such as <think>
            return min(shared, first)
        tail = prefix[-PREFIX_TAIL:]
        place = self._text.rfind(tail, low, first) if tail else -1
        return place + len(tail) if place >= 0 else None

    def _end_of_calls(self, turn: int, last_piece: int, last: int) -> Span:
        """Where the rendering of tool calls ends, and where the turn does, end-of-turn token included."""
        tail = self._text[last:]
        if turn + 1 < len(self._marked):
            text, spans = self._markers.read(self._template.text(self._marked[: turn + 1], self._conversation.tools))
            if last_piece not in spans:
                raise NotLocated("a tool call is rendered otherwise when it comes last")
            tail = _common_prefix(text[spans[last_piece][1] :], tail)
        for ending in self._template.endings:
            place = tail.rfind(ending)
            if place >= 0:
                return last + place, last + place + len(ending)
        added = self._template.added_tokens_in(tail, (0, len(tail)))
        start, end = added[-1] if added else (len(tail.rstrip()),) * 2
        return last + start, last + end


def _common_prefix(first: str, second: str) -> str:
    pairs = enumerate(zip(first, second, strict=False))
    return first[: next((i for i, (a, b) in pairs if a != b), min(len(first), len(second)))]


def without(span: Span, holes: list[Span]) -> list[Span]:
    """Return what is left of ``span`` around ``holes``."""
    spans, start = [], span[0]
    for hole in holes:
        if start < hole[0]:
            spans.append((start, hole[0]))
        start = hole[1]
    return [*spans, (start, span[1])] if start < span[1] or not spans else spans
