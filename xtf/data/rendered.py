"""Messages that hold a chat template's own text already, as prompts and answers do that were rendered before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtf.data.conversation import Conversation
from xtf.data.report import RowError
from xtf.data.template import ChatTemplate

WORDS = ("content", "reasoning_content")


def refuse_rendered(template: ChatTemplate, conversation: Conversation) -> None:
    """Refuse turns that were rendered before, for the template would put its text around them once more.

    An assistant turn must not hold the template's header, behind which words of others may stand; the words of others
    must not end with it behind further special tokens. Words that quote a header are left alone, and so is a template
    whose header is plain text.

    Raises:
        RowError: naming the message.
    """
    header = template.header.rstrip()
    if not header or not _spells_token(template, header):
        return
    for place, message in enumerate(conversation.messages):
        texts = [words for key in WORDS if isinstance(words := message.get(key), str) and header in words]
        is_answer = message["role"] == "assistant"
        if any(is_answer or _is_prompt(template, words, header) for words in texts):
            how = "give each turn as a message of its own, without the template's tokens; or the whole as plain 'text'"
            raise RowError("rendered by a chat template already", f"messages[{place}] holds {header!r}: {how}")


def _is_prompt(template: ChatTemplate, words: str, header: str) -> bool:
    return words.rstrip().endswith(header) and _spells_token(template, words.replace(header, ""))


def _spells_token(template: ChatTemplate, text: str) -> bool:
    message: Mapping[str, Any] = {"content": text}
    return template.spells_special_token([message])
