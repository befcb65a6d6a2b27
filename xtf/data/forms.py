"""Ways to hand the same messages to a chat template; templates differ in what they expect, and fail on the rest."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from xtf.data.conversation import Conversation


@dataclass(frozen=True, slots=True)
class Form:
    """How content and tool calls are written: an empty content as null, arguments as JSON text, content as parts."""

    empty_is_none: bool = False
    arguments_as_text: bool = False
    content_as_parts: bool = False

    def __call__(self, conversation: Conversation) -> Conversation:
        """Return the conversation in this form."""
        return replace(conversation, messages=tuple(self._message(message) for message in conversation.messages))

    def _message(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        content = message["content"]
        if self.content_as_parts:
            message = {**message, "content": [{"type": "text", "text": content}]}
        if not message.get("tool_calls"):
            return message
        dump: Callable[[Any], Any] = _dumped if self.arguments_as_text else lambda arguments: arguments
        calls = [
            {**call, "function": {**call["function"], "arguments": dump(call["function"]["arguments"])}}
            for call in message["tool_calls"]
        ]
        content = None if self.empty_is_none and not content else message["content"]
        return {**message, "content": content, "tool_calls": calls}


AS_PARTS = Form(content_as_parts=True)


def forms_of(conversation: Conversation) -> tuple[Form, ...]:
    """Return the forms to try, the commonest first; templates for images want their content in parts."""
    has_calls = any(message.get("tool_calls") for message in conversation.messages)
    with_calls = tuple(Form(none, text) for text in (False, True) for none in (False, True))
    return (*(with_calls if has_calls else (Form(),)), AS_PARTS)


def _dumped(arguments: Any) -> str:
    return json.dumps(arguments, ensure_ascii=False)
