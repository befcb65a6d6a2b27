"""What a row holds once it is understood: a conversation, plain text, or tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xtf.data.flags import TurnWeight
from xtf.data.messages import WRITTEN
from xtf.tokens import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages as a chat template takes them.

    Attributes:
        messages: Each with ``role`` and ``content`` (always text), and what else the row gives: ``tool_calls``, ….
        tools: Descriptions of the tools the assistant may call.
        context: So many first messages are the row's prompt: assistant turns among them are not response.
        template_args: Arguments of the chat template for this row, which go before ``data.template_args``.
        is_text: Plain text, the content of the only message: no chat template, and every token is a target.
        learning: For each message what flags say of it, or None; empty if there are no flags.
    """

    messages: tuple[Mapping[str, Any], ...]
    tools: list[Any] | None = None
    context: int = 0
    template_args: Mapping[str, Any] | None = None
    is_text: bool = False
    learning: tuple[TurnWeight | None, ...] = ()

    def responses(self) -> list[int]:
        """Return the positions of the assistant turns to learn from; a turn without a word is none."""
        return [i for i, message in enumerate(self.messages) if i >= self.context and says_something(message)]

    def asked(self, weighs_prompt: bool = False) -> list[int]:
        """Return the positions of other turns that flags ask to learn: of any role, or assistant turns of the prompt.

        Args:
            weighs_prompt: Also those that flags ask not to learn, for else they would be learnt with the prompt.
        """
        usual = set(self.responses())
        flagged = ((i, turn) for i, turn in enumerate(self.learning) if turn is not None and i not in usual)
        return [
            i for i, turn in flagged if (turn.asks or (weighs_prompt and turn.spares)) and has_words(self.messages[i])
        ]

    def weight(self, turn: int) -> float:
        """Return what flags say that the turn at a position weighs: 0 means that it is not learnt."""
        learning = self.learning[turn] if self.learning else None
        return 1.0 if learning is None else learning.weight

    def empty_turns(self) -> list[int]:
        """Return the positions of the assistant turns that have neither words nor calls."""
        learnt = enumerate(self.messages[self.context :], self.context)
        return [i for i, message in learnt if message["role"] == "assistant" and not says_something(message)]


def says_something(message: Mapping[str, Any]) -> bool:
    """Whether this is an assistant turn with words or calls in it."""
    return message["role"] == "assistant" and has_words(message)


def has_words(message: Mapping[str, Any]) -> bool:
    """Whether this is a turn with words or calls in it."""
    return any(str(message.get(key) or "").strip() for key in WRITTEN) or bool(message.get("tool_calls"))


@dataclass(frozen=True, slots=True)
class PreTokenized:
    """A row that is tokens already.

    Attributes:
        input_ids: ``(seq,)`` int32.
        is_response: ``(seq,)`` bool, True where the label is not -100 and every mask says 1.
        weights: ``(seq,)`` float32, what each target weighs, if the row says so.
    """

    input_ids: IntArray
    is_response: BoolArray
    weights: FloatArray | None = None
