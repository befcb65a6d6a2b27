"""Answers that end in an end token of their own, behind which the chat template would write another."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from xtf.data.conversation import Conversation
from xtf.data.report import Remark, RowError
from xtf.data.template import ChatTemplate

CUT = "an answer ends in an end token of its own: it is left out, for the chat template writes one"
FAMILIES = (
    *(f"<|{name}|>" for name in ("im_end", "eot_id", "eom_id", "eot", "end", "return", "endoftext", "end_of_text")),
    *("<|END_OF_TURN_TOKEN|>", "<|end_of_turn|>", "<end_of_turn>", "<turn|>", "<eos>", "</s>"),
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
)
"""End tokens of well-known models, which data carry over from one to another."""
STRUCK, END_OF_STRUCK = "<s>", "</s>"
"""In HTML, text that is struck out."""


class EndTokens:
    """Takes end tokens off the ends of answers.

    Args:
        template: Whose own end tokens count beside :data:`FAMILIES`.
        end: The tokenizer's end of text, "" if it has none.
    """

    def __init__(self, template: ChatTemplate, end: str) -> None:
        self._template, self._end = template, end

    @cached_property
    def _texts(self) -> tuple[str, ...]:
        endings = self._template.endings
        own = (text[a:b] for text in endings for a, b in self._template.added_tokens_in(text, (0, len(text))))
        return tuple(dict.fromkeys(text for text in (*own, self._end, *FAMILIES) if text.strip()))

    @cached_property
    def _at_end(self) -> re.Pattern[str]:
        return re.compile(rf"(?:(?:{'|'.join(map(re.escape, self._texts))})\s*)+\Z")

    def without(self, conversation: Conversation) -> tuple[Conversation, tuple[Remark, ...]]:
        """The conversation with answers that end in their own words, and what the report says of it.

        Raises:
            RowError: an end token is all there is to learn.
        """
        messages = list(map(self._cut, conversation.messages))
        found = [
            str(before["content"])[len(after["content"]) :].strip()
            for before, after in zip(conversation.messages, messages, strict=True)
            if before is not after
        ]
        if not found:
            return conversation, ()
        shorter = replace(conversation, messages=tuple(messages))
        if not shorter.responses() and not shorter.asked():
            raise RowError("empty response", f"nothing but {found[0]!r}")
        return shorter, (Remark(CUT, repr(found[0])),)

    def _cut(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        content = message["content"]
        if message["role"] != "assistant" or not content.rstrip().endswith(self._texts):
            return message
        if self._end != END_OF_STRUCK and content.rstrip().endswith(END_OF_STRUCK) and STRUCK in content:
            return message
        return {**message, "content": self._at_end.sub("", content)}
