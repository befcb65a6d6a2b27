"""Where an assistant turn begins and ends, judged by what the template puts between its words and those around it.

A turn begins where the generation prompt ends (where the model starts to write) and ends with its stop token, wherever
the template puts that: behind the words, in the next turn (GLM), or another one in each place (gpt-oss). Where the
conversation is cut short for comparison, a rendering costs as much as the whole; so what one turn shows holds for all
others with the same text between the same speakers, and locating stays linear in the number of turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from xtf.data.markers import NotLocated, Span
from xtf.data.probe import common_prefix
from xtf.data.template import ChatTemplate, RefusedError

if TYPE_CHECKING:
    from xtf.data.marking import Marked

PREFIX_TAIL = 64  # characters of a generation prompt by which it is recognised where the text before it differs
LONGEST_TOKEN = 100  # characters; no added token is longer


@dataclass(frozen=True, slots=True)
class _Gap:
    """Template text between two pieces, and who stands on its sides: what is learnt of one holds for its like."""

    text: str
    before: str
    after: str


class Edges:
    """The edges of the turns of one marked conversation.

    Args:
        marked: The conversation with its words in brackets, as rendered.
        supplied: What a generation prompt can supply, with thoughts switched off too, is no part of the turn; else
            only what every prompt supplies is none, with thoughts switched on too.
    """

    def __init__(self, marked: Marked, supplied: bool) -> None:
        self._marked = marked
        self._template: ChatTemplate = marked.template
        self._supplied = supplied
        self._starts: dict[_Gap, int | None] = {}
        self._ends: dict[_Gap, Span] = {}

    def start(self, turn: int, low: int, first: int) -> int | None:
        """Return where the turn whose first word stands at ``first`` begins; None when the text does not say.

        Args:
            turn: Position of its message.
            low: End of the turn before.
            first: Place of its first word.
        """
        anchor = self._marked.piece_before(first)
        place = anchor[1][1] if anchor else 0
        speaker = self._marked.pieces[anchor[0]].role if anchor else ""
        previous = self._marked.messages[turn - 1]["role"] if turn else ""
        gap = _Gap(self._marked.text[place:first], f"{speaker} {previous}", "")
        if gap not in self._starts:
            self._starts[gap] = self._start_in(gap.text, turn, anchor[0] if anchor else None)
        offset = self._starts[gap]
        return None if offset is None or place + offset < low else place + offset

    def _start_in(self, gap: str, turn: int, anchor: int | None) -> int | None:
        try:
            prompts = self._prompts(turn, anchor)
            found = [len(p) + self._opening(gap, len(p)) for p in prompts if gap.startswith(p)]
            if found:
                return max(found) if self._supplied else min(found)
            prompt, bare = prompts[0], self._marked.tail(turn, anchor)
        except (RefusedError, NotLocated):  # a template may refuse a conversation that stops here
            return None
        shared = self._shared_tokens(prompt, gap, len(bare))
        if len(bare) <= shared:  # the prompt says more than the text does, such as <think>
            return shared
        tail = prompt[-PREFIX_TAIL:]
        place = gap.rfind(tail) if tail else -1
        return place + len(tail) if place >= 0 else None

    def _prompts(self, turn: int, anchor: int | None) -> list[str]:
        """What a generation prompt puts behind the words before it; first as the conversation itself asks for it.

        With thoughts switched off, a template may write more than the prompt (``/nothink`` behind the user's words);
        only what it then adds for the assistant counts.
        """
        marked, own = self._marked, self._template.arguments(self._marked.conversation)
        prompts = [marked.tail(turn, anchor, prompt=True)]
        for switch in self._template.thinking_switches(marked.conversation):
            if self._supplied and switch in own:
                continue
            try:
                other = {switch: not self._supplied}
                prompt = marked.tail(turn, anchor, prompt=True, **other)
                if prompt not in prompts:
                    added = prompt.removeprefix(marked.tail(turn, anchor, **other))
                    prompts += [marked.tail(turn, anchor) + added, prompt]
            except (RefusedError, NotLocated):
                continue  # not a switch to be turned
        return list(dict.fromkeys(prompts))

    def _opening(self, gap: str, place: int) -> int:
        opening = self._template.opening
        return len(opening) if gap.startswith(opening, place) else 0

    def _shared_tokens(self, first: str, second: str, low: int) -> int:
        """How many characters two texts begin with alike; ``<think>`` and ``<tool_call>`` share nothing."""
        shared = len(common_prefix(first, second))
        for text in (first, second):
            tokens = self._template.added_tokens_in(text, (min(low, shared), min(len(text), shared + LONGEST_TOKEN)))
            shared = next((start for start, end in tokens if start < shared < end), shared)
        return shared

    def end(self, turn: int, last: int, place: int) -> Span:
        """Return where the words of a turn end, and where the turn does, stop token included.

        Args:
            turn: Position of its message.
            last: Its last piece.
            place: Where that piece ends, with the white space behind it that was also written.
        """
        piece, ceiling = self._marked.pieces[last], self._marked.next_foreign(turn, place)
        after = self._marked.messages[turn + 1]["role"] if turn + 1 < len(self._marked.messages) else ""
        gap = _Gap(self._marked.text[place:ceiling], "call" if piece.is_call else "words", after)
        if gap not in self._ends:
            self._ends[gap] = self._end_in(gap.text, turn, last, place)
        words, end = self._ends[gap]
        return place + words, place + end

    def stop_token(self, turn: int, last: int, place: int) -> Span:
        """Return where the end-of-turn token stands behind the words of another speaker; an empty span if none does.

        It is one that ends the assistant's turns too, such as ``<|im_end|>``; no header of the next turn, such as
        ``[/INST]``. Arguments as for :meth:`end`.
        """
        after = self._marked.messages[turn + 1]["role"] if turn + 1 < len(self._marked.messages) else ""
        gap = _Gap(
            self._marked.text[place : self._marked.next_foreign(turn, place)], self._marked.pieces[last].role, after
        )
        if gap not in self._ends:
            self._ends[gap] = self._stop_token_in(gap.text, turn, last, place)
        start, end = self._ends[gap]
        return place + start, place + end

    def _stop_token_in(self, gap: str, turn: int, last: int, place: int) -> Span:
        endings = self._template.middle_endings
        direct = next((len(ending) for ending in endings if gap.startswith(ending)), 0)
        if direct:
            return 0, direct
        try:
            alone = self._marked.tail(turn + 1, last)[place - self._marked.spans[last][0][1] :]
        except (RefusedError, NotLocated):
            return 0, 0
        own = gap[: self._shared_tokens(alone, gap, 0)]  # what belongs to this turn, such as </tool_response>
        found = ((own.rfind(ending), ending) for ending in endings)
        return next(((start, start + len(ending)) for start, ending in found if start >= 0), (0, 0))

    def _end_in(self, gap: str, turn: int, last: int, place: int) -> Span:
        is_call = self._marked.pieces[last].is_call
        if not is_call:
            end = next((len(ending) for ending in self._template.endings if gap.startswith(ending)), 0)
            return 0, end or self._stop_behind(gap, 0)
        tail = gap
        if turn + 1 < len(self._marked.messages):
            alone = self._marked.tail(turn + 1, last)[place - self._marked.spans[last][0][1] :]
            tail = gap[: self._shared_tokens(alone, gap, 0)]
        for ending in self._template.endings:
            found = tail.rfind(ending)
            if found >= 0:
                return found, found + len(ending)
        added = self._template.added_tokens_in(tail, (0, len(tail)))
        while added and tail[slice(*added[-1])] in self._template.openers:
            added.pop()
        if added and self._template.endings:
            return added[-1]
        words = len(tail.rstrip())
        return words, self._stop_behind(gap, len(tail)) or words

    def _stop_behind(self, gap: str, place: int) -> int:
        """Where a stop token of the next turn ends, 0 if there is none; nobody stops by the assistant's own header."""
        end = self._template.special_token_at(gap, place)
        header = self._template.header.rstrip()
        return 0 if end is None or (header and gap[place:].lstrip().startswith(header)) else end

    def behind_header(self, start: int, first: int) -> int:
        """Return where a turn begins if the template's header stands before its first word after all."""
        header = self._header_in(start, first)
        return header[1] if header else start

    def headers_between(self, pieces: Sequence[Span]) -> list[Span]:
        """Return where the template's header stands again between the words of one turn."""
        found = [self._header_in(low, high) for (_, low), (high, _) in pairwise(pieces)]
        return [header for header in found if header]

    def _header_in(self, low: int, high: int) -> Span | None:
        whole = self._template.header
        for header in (whole, whole.rstrip()) if whole.strip() else ():
            place = self._marked.text.rfind(header, low, high)
            if place >= 0:
                return place, place + len(header)
        return None
