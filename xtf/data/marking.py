"""A conversation rendered twice, plainly and with everybody's words in brackets."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from xtf.data.conversation import Conversation
from xtf.data.forms import AS_PARTS, Form
from xtf.data.markers import BRACKET, TOOLS, Markers, NotLocated, Piece, Span
from xtf.data.template import ChatTemplate, RefusedError

OTHERS = ("arguments", TOOLS, "system", "user", "tool")
"""Roles and parts whose brackets a template may not stand; they are given up one after another, then all."""
Place = tuple[int, Span]
"""The number of a piece, and one of the places where it came out."""


class Marked:
    """One conversation in one form.

    Attributes:
        template: The template.
        conversation: As the row gives it.
        text: The plain rendering.
        pieces: What was bracketed, by number.
        spans: Piece number to where it came out in ``text``, by rising place; pieces left out are not in it.
        unmarked: Roles whose words could not be bracketed.

    Raises:
        NotLocated: the template treats bracketed words otherwise.
        RefusedError: the template refuses the conversation.
    """

    def __init__(self, template: ChatTemplate, conversation: Conversation, form: Form) -> None:
        self.template, self.conversation, self._form = template, conversation, form
        self.text = template.text(form(conversation))
        if form is AS_PARTS and str({"type": "text"})[1:-1] in self.text:
            raise RefusedError("it wants text, not a list of parts")
        if BRACKET.search(self.text):
            raise NotLocated("it holds private-use characters of Unicode plane 16")
        self._mark()
        self._places = sorted(((n, span) for n, spans in self.spans.items() for span in spans), key=lambda p: p[1])
        self._begins = [span[0] for _, span in self._places]
        self._contents = {p.turn: n for n, p in enumerate(self.pieces) if p.key and not p.is_assistant}

    @property
    def messages(self) -> Sequence[Mapping[str, Any]]:
        """The messages, without brackets."""
        return self.conversation.messages

    def _mark(self) -> None:
        fault: NotLocated | None = None
        for skip in (frozenset[str](), *(frozenset((each,)) for each in OTHERS), frozenset(OTHERS)):
            try:
                self._markers = Markers(skip=skip)
                messages = tuple(self._markers.mark(m, i) for i, m in enumerate(self.messages))
                tools = self._markers.mark_tools(self.conversation.tools)
                self._marked = replace(self.conversation, messages=messages, tools=tools)
                plain, self.spans = self._markers.read(self.template.text(self._form(self._marked)))
            except RefusedError as error:
                fault = fault or NotLocated(str(error))
                continue
            except NotLocated as error:
                fault = fault if fault and skip else error
                continue
            if plain == self.text:
                self.pieces: list[Piece] = self._markers.pieces
                self.unmarked = skip - {"arguments"}
                return
            fault = NotLocated("the template treats these words otherwise when they are bracketed to find them")
        assert fault is not None
        raise fault

    def tail(self, count: int, anchor: int | None, prompt: bool = False, **switches: Any) -> str:
        """Return what stands behind a piece when the conversation stops after ``count`` messages.

        Raises:
            NotLocated: the piece is left out then.
            RefusedError: the template refuses a conversation that stops there.
        """
        stopped = replace(self._marked, messages=self._marked.messages[:count])
        text, spans = self._markers.read(self.template.text(self._form(stopped), prompt, **switches))
        if anchor is None:
            return text
        if anchor not in spans:
            raise NotLocated("words are rendered otherwise when they come last")
        return text[spans[anchor][-1][1] :]

    def content_piece(self, turn: int) -> int | None:
        """Return the piece that the words of another speaker's message are; None if they could not be bracketed."""
        return self._contents.get(turn)

    def piece_before(self, place: int) -> Place | None:
        """Return the last piece that begins before ``place``."""
        number = bisect_left(self._begins, place) - 1
        return self._places[number] if number >= 0 else None

    def next_foreign(self, turn: int, place: int) -> int:
        """Return where the next words that are not this turn's begin at or behind ``place``, else the text's end."""
        places = islice(self._places, bisect_left(self._begins, place), None)
        return next((start for number, (start, _) in places if self.pieces[number].turn != turn), len(self.text))

    def others_within(self, turn: int, span: Span) -> list[Piece]:
        """Return the pieces of other messages that reach into ``span``."""
        low = max(bisect_left(self._begins, span[0]) - 1, 0)
        found = []
        for number, (start, end) in islice(self._places, low, None):
            if start >= span[1]:
                break
            if end > span[0] and self.pieces[number].turn != turn:
                found.append(self.pieces[number])
        return found

    def leaves_out(self, role: str) -> bool:
        """Whether some words of a role do not come out."""
        return any(piece.role == role and number not in self.spans for number, piece in enumerate(self.pieces))

    def kept(self, pieces: Sequence[int], count: int | None = None, **switches: Any) -> bool:
        """Whether all these pieces come out with other arguments, or when the conversation stops."""
        stopped = replace(self._marked, messages=self._marked.messages[:count])
        try:
            _, spans = self._markers.read(self.template.text(self._form(stopped), **switches))
        except (RefusedError, NotLocated):
            return False
        return all(number in spans for number in pieces)

    def generation_spans(self) -> list[Span] | None:
        """Return what the template itself marks as the assistant's; None when it marks nothing anywhere."""
        return self.template.generation_spans(self._form(self.conversation), self.text)
