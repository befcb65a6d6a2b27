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
    """What ``data`` says on rendering: ``data.system``, ``data.template_adds``, and whether prompts weigh something."""

    system: SystemMode = "merge"
    template_adds: Literal["prompt", "target"] = "prompt"
    weighs_prompt: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A way to hand over a conversation.

    Attributes:
        conversation: As the template gets it.
        positions: For each of its messages the position in the row's own conversation.
        before: Position of a message of it to how many characters of system text stand before its own.
    """

    conversation: Conversation
    positions: tuple[int, ...]
    before: Mapping[int, int]


class SystemRole:
    """The ways to hand over one conversation's system text: as it is, then without the messages that have no place."""

    def __init__(self, settings: ChatSettings, conversation: Conversation) -> None:
        self._mode, self._conversation = settings.system, conversation
        self._asked = set(conversation.asked(settings.weighs_prompt and settings.system == "merge"))

    def candidates(self) -> Iterator[Candidate]:
        """Yield the conversation, then others if the template does not take it; ``refuse`` tells by them why not."""
        yield Candidate(self._conversation, tuple(range(len(self._conversation.messages))), {})
        places = [i for i, message in enumerate(self._conversation.messages) if message["role"] == "system"]
        later = [place for place in places if place > 0]
        for chosen in dict.fromkeys((frozenset(later), frozenset(places))):
            if chosen and not chosen & self._asked and (moved := self._without(chosen)) is not None:
                yield moved

    def _without(self, places: frozenset[int]) -> Candidate | None:
        messages: list[Mapping[str, Any]] = []
        before: dict[int, int] = {}
        waiting: list[str] = []
        for number, message in enumerate(self._conversation.messages):
            if number in places:
                waiting.append(message["content"])
                continue
            if message["role"] == "user" and waiting and self._mode != "drop":
                text = "\n\n".join([*waiting, ""])
                message, before[len(messages)], waiting = (
                    {**message, "content": text + message["content"]},
                    len(text),
                    [],
                )
            messages.append(message)
        if waiting and self._mode != "drop":
            return None
        row = self._conversation
        kept = tuple(i for i in range(len(row.messages)) if i not in places)
        learning = tuple(row.learning[i] for i in kept) if row.learning else ()
        context = row.context - sum(place < row.context for place in places)
        conversation = replace(row, messages=tuple(messages), context=context, learning=learning)
        return Candidate(conversation, kept, before)

    def remarks(self, used: Candidate, lacks_system: bool) -> list[Remark]:
        """What was done with the system text."""
        if used.conversation is self._conversation and not lacks_system:
            return []
        return [Remark(MERGED if self._mode == "merge" else DROPPED)]

    def refusal(self) -> RowError:
        """The error for a row whose system text has no place."""
        return RowError(NO_PLACE, f"set data.system: {'drop' if self._mode == 'merge' else 'merge or drop'}")
