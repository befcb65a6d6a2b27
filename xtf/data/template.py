"""Conversation -> text by the model's own chat template, with every assistant turn located in it.

A turn begins where the generation prompt ends (where the model starts to write) and ends with its end-of-turn token;
the newline that many templates put behind that token is nobody's target. Within the turn, words the assistant wrote
are told apart from what the template adds, such as an empty think block.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from xtf.data.markers import BRACKET, Markers, NotLocated, Piece, Span, widened
from xtf.data.report import RowError
from xtf.data.schema import Conversation

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN_TEMPLATE = (
    "{{ bos_token if bos_token else '' }}"
    "{% for message in messages %}"
    "{{ message['role'] | capitalize + ':\n' + message['content'] }}"
    "{{ eos_token if message['role'] == 'assistant' and eos_token else '' }}{{ '\n\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:\n' }}{% endif %}"
)
"""For a tokenizer without a chat template: ``User:⏎…⏎⏎Assistant:⏎…<eos>⏎⏎``."""

PREFIX_TAIL = 64  # characters of a generation prompt by which it is recognised where the text before it differs
LEFT_OUT = "the chat template leaves out part of an assistant turn"
NO_END = "no end-of-turn token after an assistant turn"
SPECIAL_TEXT = "contains the text of special tokens, which the model reads as such"
RENDERING_ERRORS = (TemplateError, TypeError, ValueError, LookupError, AttributeError)


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


class ChatTemplate:
    """Renders conversations with a tokenizer's chat template, or :data:`PLAIN_TEMPLATE` if it has none."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._source = None if getattr(tokenizer, "chat_template", None) else PLAIN_TEMPLATE
        added = {str(token): bool(token.special) for token in tokenizer.added_tokens_decoder.values()}
        added |= dict.fromkeys(map(str, tokenizer.all_special_tokens), True)
        self._added = _any_of([text for text in added if text.strip()])
        self._special = _any_of([text for text, special in added.items() if special and text.strip()])

    def render(self, conversation: Conversation) -> Rendering:
        """Render ``conversation`` and locate its assistant turns.

        Raises:
            RowError: the template refuses the conversation, or a turn cannot be located exactly.
        """
        has_calls = any(message.get("tool_calls") for message in conversation.messages)
        fault: RowError | None = None
        for form in FORMS if has_calls else FORMS[:1]:
            try:
                return self._rendering(form(conversation))
            except RowError as error:
                fault = fault or error
        assert fault is not None
        raise fault

    def _rendering(self, conversation: Conversation) -> Rendering:
        try:
            text = self._text(conversation.messages, conversation.tools)
        except RENDERING_ERRORS as error:
            raise RowError("the chat template refuses the conversation", str(error) or type(error).__name__) from None
        try:
            turns, warnings = self._turns(conversation, text)
        except NotLocated as error:
            raise RowError("an assistant turn cannot be located in the chat template's text", str(error)) from None
        if self._special and any(self._special.search(message["content"] or "") for message in conversation.messages):
            warnings.append(SPECIAL_TEXT)
        return Rendering(text, tuple(turns), tuple(dict.fromkeys(warnings)))

    def added_tokens_in(self, text: str, span: Span) -> list[Span]:
        """Return where tokens of the tokenizer's added vocabulary are spelled out within ``span``."""
        return [match.span() for match in self._added.finditer(text, *span)] if self._added else []

    def _text(self, messages: Sequence[Mapping[str, Any]], tools: list[Any] | None, prompt: bool = False) -> str:
        text = self._tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            tools=tools,
            chat_template=self._source,
            add_generation_prompt=prompt,
            tokenize=False,
        )
        assert isinstance(text, str)
        return text

    def _turns(self, conversation: Conversation, text: str) -> tuple[list[Turn], list[str]]:
        if BRACKET.search(text):
            raise NotLocated("it holds private-use characters of Unicode plane 16")
        markers = Markers()
        responses = conversation.responses()
        marked = list(conversation.messages)
        for turn in responses:
            marked[turn] = markers.mark(marked[turn], turn)
        plain, spans = markers.read(self._marked_text(marked, conversation.tools))
        if plain != text:
            raise NotLocated("the template treats these words otherwise when they are bracketed to find them")
        turns: list[Turn] = []
        warnings: list[str] = []
        for turn in responses:
            found = [(markers.pieces[number], span) for number, span in spans.items()]
            found = sorted((item for item in found if item[0].turn == turn), key=lambda item: item[1])
            wanted = [piece for piece in markers.pieces if piece.turn == turn]
            _check_words(text, wanted, found)
            if len(found) < len(wanted):
                warnings.append(LEFT_OUT)
            low = turns[-1].end if turns else 0
            turns.append(self._turn(conversation, marked, turn, text, low, found))
            if turns[-1].end == turns[-1].written[-1][1]:
                warnings.append(NO_END)
        return turns, warnings

    def _turn(
        self,
        conversation: Conversation,
        marked: list[Mapping[str, Any]],
        turn: int,
        text: str,
        low: int,
        found: list[tuple[Piece, Span]],
    ) -> Turn:
        first = found[0][1][0]
        if first < low:
            raise NotLocated("the template changes the order of the turns")
        start = self._start(conversation, turn, text, low, first)
        calls = any(piece.is_call for piece, _ in found)
        if start is None and calls:
            raise NotLocated("a tool call does not follow the generation prompt")
        start = first if start is None else start
        written = widened(text, start, found)
        if not calls:
            end = written[-1][1]
            endings = (self._end_of_turn, self._end_of_turn.lstrip())  # its white space may count as written
            end += next((len(ending) for ending in endings if text.startswith(ending, end)), 0)
            return Turn(start, end, tuple(written))
        end_words, end = self._end_of_calls(conversation, marked, turn, text, found[-1][1][1])
        return Turn(start, end, tuple(_without((start, end_words), self.added_tokens_in(text, (start, end_words)))))

    def _start(self, conversation: Conversation, turn: int, text: str, low: int, first: int) -> int | None:
        """Where the generation prompt of this turn ends; None when the full text does not have it."""
        try:
            prefix = self._text(conversation.messages[:turn], conversation.tools, prompt=True)
        except RENDERING_ERRORS:  # a template may refuse a conversation that stops here; then there is no prefix
            return None
        if low <= len(prefix) <= first and text.startswith(prefix):
            return len(prefix)
        place = text.rfind(prefix[-PREFIX_TAIL:], low, first) if prefix else -1
        return place + len(prefix[-PREFIX_TAIL:]) if place >= 0 else None

    @cached_property
    def _end_of_turn(self) -> str:
        """What follows the assistant's last word in a short conversation, up to the end-of-turn token."""
        markers = Markers()
        answer = markers.mark({"role": "assistant", "content": "Hello"}, 1)
        try:
            text, spans = markers.read(self._text([{"role": "user", "content": "Hi"}, answer], None))
        except (*RENDERING_ERRORS, NotLocated):
            return ""
        return self._until_end(text[spans[0][1] :]) if spans else ""

    def _until_end(self, tail: str) -> str:
        match = self._added.search(tail) if self._added else None
        return tail[: match.end()] if match else tail.rstrip()

    def _end_of_calls(
        self, conversation: Conversation, marked: list[Mapping[str, Any]], turn: int, text: str, last: int
    ) -> Span:
        """Where the rendering of tool calls ends, and where the turn does, end-of-turn token included."""
        tail = text[last:]
        if turn + 1 < len(marked):
            alone = self._marked_text(marked[: turn + 1], conversation.tools)
            alone = alone[[match.end() for match in BRACKET.finditer(alone)][-1] :]
            tail = _common_prefix(alone, tail)
        place = tail.rfind(self._end_of_turn) if self._end_of_turn else -1
        if place >= 0:
            return last + place, last + place + len(self._end_of_turn)
        added = self.added_tokens_in(tail, (0, len(tail)))
        if not added:
            return last + len(tail.rstrip()), last + len(tail.rstrip())
        return last + added[-1][0], last + added[-1][1]

    def _marked_text(self, marked: Sequence[Mapping[str, Any]], tools: list[Any] | None) -> str:
        try:
            return self._text(marked, tools)
        except RENDERING_ERRORS as error:
            raise NotLocated(str(error) or type(error).__name__) from None


def _check_words(text: str, wanted: list[Piece], found: list[tuple[Piece, Span]]) -> None:
    came = {id(piece) for piece, _ in found}
    if any(piece.is_call and id(piece) not in came for piece in wanted):
        raise RowError("the chat template leaves out tool calls", "it may have no support for tools")
    if not found:
        raise RowError("the chat template leaves out an assistant turn")
    for piece, (start, end) in found:
        if text[start:end] != piece.source[piece.start : piece.end]:
            raise RowError("the chat template changes the words of an assistant turn")


def _any_of(texts: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))) if texts else None


def _common_prefix(first: str, second: str) -> str:
    length = next(
        (i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), min(len(first), len(second))
    )
    return first[:length]


def _without(span: Span, holes: list[Span]) -> list[Span]:
    """Return what is left of ``span`` around ``holes``."""
    spans, start = [], span[0]
    for hole in holes:
        if start < hole[0]:
            spans.append((start, hole[0]))
        start = hole[1]
    return [*spans, (start, span[1])] if start < span[1] or not spans else spans
