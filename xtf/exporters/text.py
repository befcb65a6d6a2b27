"""An example as text, for trainers that tokenise again: its messages, and which of their characters are not learnt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xtf.data import Conversation, MaskedSpan, MaskedTurn


@dataclass(frozen=True, slots=True)
class TextExample:
    """One labelled example.

    Attributes:
        example_id: Its id.
        conversation: Messages, tools and arguments of the template, as the data gives them; plain text is one message.
        turns: The assistant turns that the template renders, in order, and turns of others that flags of the data ask
            to learn; what has no entry is not learnt. Of each, the characters that are not learnt, half open, places in
            ``conversation.messages[turn.message][span.key]``.
        causes: What each ``cause`` of a span means: attributes that lack, or what else decided.
        tokens: How many tokens the example has with the run's own tokenizer, all of it.
    """

    example_id: str
    conversation: Conversation
    turns: tuple[MaskedTurn, ...]
    causes: Sequence[tuple[str, ...]]
    tokens: int

    @property
    def messages(self) -> tuple[Mapping[str, Any], ...]:
        """The messages: ``role``, ``content``, and what else each has (``tool_calls``, ``reasoning_content``, …)."""
        return self.conversation.messages

    def is_assistant(self, turn: MaskedTurn) -> bool:
        """Whether the assistant says it; turns of others are learnt only where the data asks for it."""
        return bool(self.messages[turn.message]["role"] == "assistant")

    def turn(self, message: int) -> MaskedTurn | None:
        """The turn that a message is; None if nothing of the message is learnt, whoever says it."""
        found = next((turn for turn in self.turns if turn.message == message), None)
        return found if found is not None and (found.learnt or found.rest_learnt) else None

    def pieces(self, message: int, key: str = "content") -> Iterator[tuple[str, bool]]:
        """The text of a part of a message, cut into pieces that are learnt or not; joined they give the text."""
        text = str(self.messages[message].get(key) or "")
        turn = self.turn(message)
        if turn is None:
            yield from [(text, False)] if text else []
            return
        place = 0
        for start, end in _joined(turn.masked, key):
            if place < start:
                yield text[place:start], True
            yield text[start:end], False
            place = end
        if place < len(text):
            yield text[place:], True


def _joined(spans: Sequence[MaskedSpan], key: str) -> list[tuple[int, int]]:
    """The spans of a key, neighbours of different causes as one."""
    found: list[tuple[int, int]] = []
    for span in spans:
        if span.key != key:
            continue
        if found and found[-1][1] == span.start:
            found[-1] = (found[-1][0], span.end)
        else:
            found.append((span.start, span.end))
    return found
