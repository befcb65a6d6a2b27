"""Conversation -> text by the model's own chat template."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from xtf.data.conversation import Conversation
from xtf.data.markers import Markers, NotLocated, Span

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

RENDERING_ERRORS = (
    TemplateError,
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
)  # what bad input makes them raise

Messages = Sequence[Mapping[str, Any]]


class RefusedError(Exception):
    """The template does not render this conversation; the text is its own."""


class ChatTemplate:
    """Renders messages with a tokenizer's chat template, or :data:`PLAIN_TEMPLATE` if it has none."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._source = None if getattr(tokenizer, "chat_template", None) else PLAIN_TEMPLATE
        added = {str(token): bool(token.special) for token in tokenizer.added_tokens_decoder.values()}
        added |= dict.fromkeys(map(str, tokenizer.all_special_tokens), True)
        self._added = _any_of([text for text in added if text.strip()])
        self._special = _any_of([text for text, special in added.items() if special and text.strip()])

    def text(self, messages: Messages, tools: list[Any] | None = None, prompt: bool = False) -> str:
        """Return the rendering, with the generation prompt at its end if asked for.

        Raises:
            RefusedError: the template fails on these messages.
        """
        try:
            text = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tools=tools,
                chat_template=self._source,
                add_generation_prompt=prompt,
                tokenize=False,
            )
        except RENDERING_ERRORS as error:
            raise RefusedError(str(error) or type(error).__name__) from None
        assert isinstance(text, str)
        return text

    @cached_property
    def _probe(self) -> tuple[str, str]:
        """What stands before and behind the assistant's words in a short conversation."""
        question: Mapping[str, Any] = {"role": "user", "content": "Hi"}
        markers = Markers()
        answer = markers.mark({"role": "assistant", "content": "Hello"}, 1)
        try:
            text, spans = markers.read(self.text([question, answer]))
            before = self.text([question])
        except (RefusedError, NotLocated):  # a template for other conversations
            return "", ""
        start, end = spans.get(0, (0, len(text)))
        return text[len(before) : start] if text.startswith(before) else "", text[end:]

    @cached_property
    def opening(self) -> str:
        """What the template itself puts before the assistant's words, if it has no generation prompt to say so."""
        question = [{"role": "user", "content": "Hi"}]
        try:
            has_prompt = self.text(question, prompt=True) != self.text(question)
        except RefusedError:
            return ""
        opening = self._probe[0].rstrip(" ")  # the model writes the space before its first word
        return "" if has_prompt or not opening.strip() else opening

    @cached_property
    def endings(self) -> tuple[str, ...]:
        """What may follow the assistant's last word up to the end of its turn, as a short conversation shows it.

        The first ending is up to the last of the tokens that stand side by side there (``<|END_RESPONSE|>`` and
        ``<|END_OF_TURN_TOKEN|>``), then the first token alone; each also without the white space before it, which may
        have counted as words. A template that ends turns with plain text has that text as its ending.
        """
        tail = self._probe[1]
        tokens = self.added_tokens_in(tail, (0, len(tail)))
        ends = [tokens[0][1]] if tokens else [len(tail.rstrip())]
        for start, end in tokens[1:]:
            if start != ends[-1]:
                break
            ends.append(end)
        endings = (each for end in (ends[-1], ends[0]) for each in (tail[:end], tail[:end].lstrip()))
        return tuple(dict.fromkeys(ending for ending in endings if ending))

    def added_tokens_in(self, text: str, span: Span) -> list[Span]:
        """Return where tokens of the tokenizer's added vocabulary are spelled out within ``span``."""
        return [match.span() for match in self._added.finditer(text, *span)] if self._added else []

    def spells_special_token(self, messages: Messages) -> bool:
        """Whether a message contains the text of a special token, which the tokenizer reads as that token."""
        return self._special is not None and any(self._special.search(m["content"] or "") for m in messages)


@dataclass(frozen=True, slots=True)
class Form:
    """A way to hand over tool calls; templates differ in what they expect, and fail on or drop what they do not."""

    empty_is_none: bool
    arguments_as_text: bool

    def __call__(self, conversation: Conversation) -> Conversation:
        messages = tuple(self._message(message) for message in conversation.messages)
        return Conversation(messages, conversation.tools, conversation.context)

    def _message(self, message: Mapping[str, Any]) -> Mapping[str, Any]:
        if not message.get("tool_calls"):
            return message
        content = None if self.empty_is_none and not message["content"] else message["content"]
        dump: Callable[[Any], Any] = _dumped if self.arguments_as_text else lambda arguments: arguments
        calls = [
            {**call, "function": {**call["function"], "arguments": dump(call["function"]["arguments"])}}
            for call in message["tool_calls"]
        ]
        return {**message, "content": content, "tool_calls": calls}


FORMS = tuple(Form(none, text) for text in (False, True) for none in (False, True))


def _dumped(arguments: Any) -> str:
    return json.dumps(arguments, ensure_ascii=False)


def _any_of(texts: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))) if texts else None
