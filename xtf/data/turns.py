"""Every assistant turn, located in the text that the chat template makes.

A turn begins where the generation prompt ends (where the model starts to write) and ends with its stop token; the
newline that many templates put behind that token is nobody's target. Within the turn, words the assistant wrote are
told apart from what the template adds, such as the name of a channel. Of a turn that calls tools, everything but tokens
of the added vocabulary (``<tool_call>``) counts as written, as the template renders it. A template that marks the
assistant's part itself, by ``{% generation %}``, is taken at its word.

No words of another speaker ever lie within a turn: such a rendering is refused.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from xtf.data.conversation import Conversation
from xtf.data.edges import Edges
from xtf.data.forms import Form, forms_of
from xtf.data.leftout import left_out
from xtf.data.markers import NotLocated, Piece, Span, widened
from xtf.data.marking import Marked
from xtf.data.report import Remark, RowError
from xtf.data.system import Candidate, ChatSettings, SystemRole
from xtf.data.template import ChatTemplate, RefusedError

NO_END = "no end-of-turn token after an assistant turn"
EMPTY_TURN = "an assistant turn without a word is not learnt"
UNREAD = "the chat template does not read an argument that it is given"
NOT_FOUND = "a turn that a flag asks to learn cannot be located in the chat template's text"
NOT_RENDERED = "a turn that a flag asks to learn is left out by the chat template and not learnt"
UNMARKED_TURN = "an assistant turn that the chat template leaves out is not learnt"
SPECIAL_TEXT = "contains the text of special tokens, which the model reads as such"
FOREIGN = "the chat template puts words of others inside an assistant turn"

Found = list[tuple[int, Piece, Span]]


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn to learn from: the spans of the text that the model writes, and within them those the assistant wrote.

    Of a turn of another speaker, which flags ask to learn, they are its words and its end-of-turn token.

    Attributes:
        spans: By rising place; more than one where the template puts something into the middle that is no target.
        written: The words, with the white space that was also written.
        message: Position of its message in the conversation.
        pieces: Where the pieces of its texts came out, by rising place.
        is_assistant: Whether it begins where a generation prompt ends.
    """

    spans: tuple[Span, ...]
    written: tuple[Span, ...]
    message: int = 0
    pieces: tuple[tuple[Piece, Span], ...] = ()
    is_assistant: bool = True

    @property
    def start(self) -> int:
        """First character."""
        return self.spans[0][0]

    @property
    def end(self) -> int:
        """Character behind the last one."""
        return self.spans[-1][1]


@dataclass(frozen=True, slots=True)
class Rendering:
    """The text of a conversation, its turns to learn from by rising place, and remarks for the report."""

    text: str
    turns: tuple[Turn, ...]
    remarks: tuple[Remark, ...]


def render(template: ChatTemplate, conversation: Conversation, settings: ChatSettings) -> Rendering:
    """Render ``conversation`` and locate its assistant turns.

    Raises:
        RowError: the template refuses the conversation, or a turn cannot be located exactly.
    """
    system = SystemRole(settings, conversation)
    fault: RowError | None = None
    for candidate in system.candidates():
        try:
            rendering, lacks_system = _located(template, candidate.conversation, settings)
        except RowError as error:
            fault = fault or error
            continue
        moved = candidate.conversation is not conversation
        if settings.system == "refuse" and (moved or lacks_system):
            raise system.refusal()
        if moved or not lacks_system or settings.system == "drop":
            remarks = (*rendering.remarks, *system.remarks(candidate, lacks_system))
            return Rendering(rendering.text, tuple(_in_row(turn, candidate) for turn in rendering.turns), remarks)
    raise fault or system.refusal()


def _in_row(turn: Turn, candidate: Candidate) -> Turn:
    """The turn as one of the row's own conversation, without system text that was put before its words."""
    before = candidate.before.get(turn.message, 0)
    turn = replace(turn, message=candidate.positions[turn.message])
    if not before:
        return turn
    ((piece, (start, end)),) = turn.pieces
    front = max(before - piece.start, 0)
    piece = replace(piece, source=piece.source[before:], start=max(piece.start - before, 0), end=piece.end - before)
    spans, written = (((max(first, start + front), last), *rest) for (first, last), *rest in (turn.spans, turn.written))
    return replace(turn, spans=spans, written=written, pieces=((piece, (start + front, end)),))


def _located(template: ChatTemplate, conversation: Conversation, settings: ChatSettings) -> tuple[Rendering, bool]:
    """Return the rendering, and whether system text is left out of it."""
    faults: list[RowError] = []
    for form in forms_of(conversation):
        try:
            marked = Marked(template, conversation, form)
            rendering = _Locator(marked, settings).rendering()
            _check_empty_results(template, conversation, form, settings)
        except RowError as error:
            faults.append(error)
        except NotLocated as error:
            faults.append(RowError("an assistant turn cannot be located in the chat template's text", str(error)))
        except RefusedError as error:
            faults.append(RowError("the chat template refuses the conversation", str(error)))
        else:
            return rendering, marked.leaves_out("system")
    raise faults[0]


def _check_empty_results(
    template: ChatTemplate, conversation: Conversation, form: Form, settings: ChatSettings
) -> None:
    """Refuse what would be refused if the results of tools that are empty held a word, by which they are found.

    Raises:
        RowError: the template puts a result inside an assistant turn.
    """
    messages = conversation.messages
    filled = tuple({**m, "content": "0"} if m["role"] == "tool" and not m["content"].strip() else m for m in messages)
    if filled == messages:
        return
    try:
        _Locator(Marked(template, replace(conversation, messages=filled), form), settings).rendering()
    except RowError as error:
        if error.reason == FOREIGN:
            raise
    except (NotLocated, RefusedError):
        return  # they cannot be told otherwise then


class _Locator:
    """One marked conversation on its way to a Rendering."""

    def __init__(self, marked: Marked, settings: ChatSettings) -> None:
        self._marked = marked
        self._asked = marked.conversation.asked(settings.weighs_prompt)
        self._edges = Edges(marked, settings.template_adds == "prompt")
        self._has_stop: dict[int, bool] = {}

    def rendering(self) -> Rendering:
        marked = self._marked
        learnt = {*marked.conversation.responses(), *(i for i in self._asked if self._role(i) == "assistant")}
        found: dict[int, Found] = {turn: [] for turn in sorted(learnt)}
        for number, span in sorted(((n, spans[0]) for n, spans in marked.spans.items()), key=lambda each: each[1]):
            piece = marked.pieces[number]
            if piece.is_assistant and piece.turn in found:
                found[piece.turn].append((number, piece, span))
        self._check_words(found)
        turns: list[Turn] = []
        for turn, pieces in found.items():
            if pieces:
                turns.append(self._turn(turn, turns[-1].end if turns else 0, pieces))
        remarks = [*self._remarks(kept := self._as_marked(turns), found)]
        others = [turn for number in self._asked if self._role(number) != "assistant" for turn in self._other(number)]
        turns = sorted((*kept, *others), key=lambda each: each.start)
        if any(after.start < before.end for before, after in pairwise(turns)):
            raise RowError(NOT_FOUND, "it stands in the middle of another turn")
        if not turns:
            raise RowError(NOT_RENDERED)
        if len(others) < sum(self._role(number) != "assistant" for number in self._asked):
            remarks.append(Remark(NOT_RENDERED))
        return Rendering(marked.text, tuple(turns), tuple(remarks))

    def _role(self, number: int) -> str:
        return str(self._marked.messages[number]["role"])

    def _other(self, turn: int) -> Iterator[Turn]:
        """Locate a turn of another speaker by its words alone; nothing if the template leaves it out."""
        marked, whose = self._marked, f"the words of the {self._role(turn)} in message {turn + 1}"
        number = marked.content_piece(turn)
        if number is None:
            raise RowError(NOT_FOUND, f"{whose} cannot be told from the rest")
        if number not in marked.spans:
            return
        piece, places = marked.pieces[number], marked.spans[number]
        if len(places) > 1:
            raise RowError(NOT_FOUND, f"{whose} come out twice")
        (start, end) = place = places[0]
        if marked.text[start:end] != piece.source[piece.start : piece.end]:
            raise RowError(NOT_FOUND, f"{whose} are changed")
        before = marked.piece_before(start)
        (first, last), *_ = widened(marked.text, before[1][1] if before else 0, [(piece, place)])
        first = min(start, last - len(marked.text[first:last].lstrip()))  # the header may end with white space too
        stop_start, stop_end = self._edges.stop_token(turn, number, last)
        spans = ((first, stop_end),) if stop_start == last else ((first, last), (stop_start, stop_end))
        yield Turn(spans, ((first, last),), turn, ((piece, place),), is_assistant=False)

    def _check_words(self, found: dict[int, Found]) -> None:
        marked = self._marked
        if any(piece.part == "name" and number not in marked.spans for number, piece in enumerate(marked.pieces)):
            raise RowError("the chat template leaves out tool calls", "it may have no support for tools")
        if found and not any(found.values()) and not self._asked:
            raise RowError("the chat template leaves out an assistant turn")
        for pieces in found.values():
            for _, piece, (start, end) in pieces:
                if not piece.is_call and marked.text[start:end] != piece.source[piece.start : piece.end]:
                    raise RowError("the chat template changes the words of an assistant turn")

    def _turn(self, turn: int, low: int, found: Found) -> Turn:
        first = found[0][2][0]
        if first < low:
            raise NotLocated("the template changes the order of the turns")
        start = self._edges.start(turn, low, first)
        is_call = any(piece.is_call for _, piece, _ in found)
        if start is None and is_call:
            raise NotLocated("a tool call does not follow the generation prompt")
        start = self._edges.behind_header(first if start is None else start, first)
        places = [span for _, _, span in found]
        if is_call:
            end_words, end = self._edges.end(turn, found[-1][0], places[-1][1])
            words = (start, end_words)
            written = without(words, self._marked.template.added_tokens_in(self._marked.text, words))
        else:
            written = widened(self._marked.text, start, [(piece, span) for _, piece, span in found])
            end_words, end = self._edges.end(turn, found[-1][0], written[-1][1])
        self._has_stop[turn] = end > end_words
        self._check_foreign(turn, (start, end), places)
        headers = self._edges.headers_between(places)
        written = [span for each in written for span in without(each, headers)]
        pieces = tuple((piece, span) for _, piece, span in found)
        return Turn(tuple(without((start, end), headers)), tuple(written), turn, pieces)

    def _check_foreign(self, turn: int, span: Span, places: list[Span]) -> None:
        """No words of others in the turn; of roles that could not be bracketed, none anywhere but in its own words."""
        others = {piece.role for piece in self._marked.others_within(turn, span)}
        own = [self._marked.text[start:end] for start, end in without(span, places)]
        for message in self._marked.messages if self._marked.unmarked else ():
            words = message["content"].strip()
            if message["role"] in self._marked.unmarked and words and any(words in each for each in own):
                others.add(message["role"])
        if others:
            whose = f"words of {', '.join(sorted(others))} in message {turn + 1}"
            raise RowError(FOREIGN, f"{whose}; such rows need another chat_template.jinja (model.tokenizer)")

    def _as_marked(self, turns: list[Turn]) -> tuple[Turn, ...]:
        """Give the turns the spans that the template marks by ``{% generation %}``, if it does."""
        spans = self._marked.generation_spans()
        if spans is None:
            return tuple(turns)
        kept = []
        for turn, own in zip(turns, self._marks_of(turns, spans), strict=True):
            for span in own:
                self._check_foreign(turn.message, span, list(turn.written))
                if any(_cuts(span, words) for _, words in turn.pieces):
                    raise NotLocated("{% generation %} stands where it cannot be told what it marks")
            if own:
                written = [part for words in turn.written for part in _common(words, own)]
                kept.append(replace(turn, spans=tuple(own), written=tuple(written)))
        if turns and not kept:
            raise RowError("the chat template's {% generation %} marks no assistant turn")
        return tuple(kept)

    def _marks_of(self, turns: list[Turn], spans: list[Span]) -> list[list[Span]]:
        """Of which turn each marked span is: it lies in it, or follows its words, as a stop token marked by itself."""
        own: list[list[Span]] = [[] for _ in turns]
        starts, ends = [turn.start for turn in turns], [turn.end for turn in turns]
        numbers = {turn.message: number for number, turn in enumerate(turns)}
        for span in spans:
            inside = range(bisect_right(ends, span[0]), bisect_left(starts, span[1]))
            before = self._marked.piece_before(span[0])
            after = numbers.get(self._marked.pieces[before[0]].turn) if before and not inside else None
            for number in inside or ([] if after is None or span[0] < ends[after] else [after]):
                own[number].append(span)
        return own

    def _remarks(self, turns: tuple[Turn, ...], found: dict[int, Found]) -> Iterator[Remark]:
        marked = self._marked
        yield from left_out(marked)
        if not all(found.values()):
            yield Remark(UNMARKED_TURN)
        if marked.conversation.empty_turns():
            yield Remark(EMPTY_TURN)
        if any(not self._has_stop[turn.message] or turn.end == turn.written[-1][1] for turn in turns):
            yield Remark(NO_END)
        if marked.template.spells_special_token(marked.messages):
            yield Remark(SPECIAL_TEXT)
        unread = marked.template.arguments(marked.conversation).keys() - marked.template.variables(marked.conversation)
        if unread:
            yield Remark(UNREAD, ", ".join(map(repr, sorted(unread))))


def without(span: Span, holes: list[Span]) -> list[Span]:
    """Return what is left of ``span`` around ``holes``."""
    spans, start = [], span[0]
    for hole in holes:
        if hole[1] <= span[0] or hole[0] >= span[1]:
            continue
        if start < hole[0]:
            spans.append((start, hole[0]))
        start = hole[1]
    return [*spans, (start, span[1])] if start < span[1] or not spans else spans


def _cuts(span: Span, words: Span) -> bool:
    return words[0] < span[0] < words[1] or words[0] < span[1] < words[1]


def _common(span: Span, others: list[Span]) -> list[Span]:
    pairs = ((max(span[0], start), min(span[1], end)) for start, end in others)
    return [(start, end) for start, end in pairs if start < end]
