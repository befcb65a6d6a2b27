"""System text under a chat template that has no place for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from xtf.data.conversation import Conversation
from xtf.data.report import Remark, RowError

SystemMode = Literal["merge", "drop", "refuse"]
NO_PLACE = "the chat template has no place for system text"
MERGED = f"{NO_PLACE}: put before the user's next words (data.system: merge)"
DROPPED = f"{NO_PLACE}: left out (data.system: drop)"


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """What ``data`` says on rendering: ``data.system`` and ``data.template_adds``."""

    system: SystemMode = "merge"
    template_adds: Literal["prompt", "target"] = "prompt"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to hand over a conversation, and for each of its messages the position in the row's own conversation."""

    conversation: Conversation
    positions: tuple[int, ...]


class SystemRole:
    """The ways to hand over one conversation's system text: as it is, then without the messages that have no place."""

    def __init__(self, mode: SystemMode, conversation: Conversation) -> None:
        self._mode, self._conversation = mode, conversation

    def candidates(self) -> Iterator[Candidate]:
        """Yield the conversation, then others if the template does not take it; ``refuse`` tells by them why not."""
        yield Candidate(self._conversation, tuple(range(len(self._conversation.messages))))
        places = [i for i, message in enumerate(self._conversation.messages) if message["role"] == "system"]
        later = [place for place in places if place > 0]
        for chosen in dict.fromkeys((frozenset(later), frozenset(places))):
            if chosen and (moved := self._without(chosen)) is not None:
                yield moved

    def _without(self, places: frozenset[int]) -> Candidate | None:
        messages: list[Mapping[str, Any]] = []
        waiting: list[str] = []
        for number, message in enumerate(self._conversation.messages):
            if number in places:
                waiting.append(message["content"])
            elif message["role"] == "user" and waiting and self._mode != "drop":
                messages.append({**message, "content": "\n\n".join([*waiting, message["content"]])})
                waiting = []
            else:
                messages.append(message)
        if waiting and self._mode != "drop":
            return None
        context = self._conversation.context - sum(place < self._conversation.context for place in places)
        kept = tuple(i for i in range(len(self._conversation.messages)) if i not in places)
        return Candidate(replace(self._conversation, messages=tuple(messages), context=context), kept)

    def remarks(self, used: Candidate, lacks_system: bool) -> list[Remark]:
        """What was done with the system text."""
        if used.conversation is self._conversation and not lacks_system:
            return []
        return [Remark(MERGED if self._mode == "merge" else DROPPED)]

    def refusal(self) -> RowError:
        """The error for a row whose system text has no place."""
        return RowError(NO_PLACE, f"set data.system: {'drop' if self._mode == 'merge' else 'merge or drop'}")
