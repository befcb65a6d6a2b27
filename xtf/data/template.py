"""Conversation -> text by the model's own chat template."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from xtf.config import TEMPLATE_INPUTS
from xtf.data.conversation import Conversation
from xtf.data.loops import stop_idle_loops
from xtf.data.markers import LAST, Markers, NotLocated, Span
from xtf.data.messages import WRITTEN
from xtf.data.probe import Probe, common_prefix
from xtf.data.syntax import keys_read, names_read
from xtf.errors import listed

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
GENERATION = re.compile(r"\{%([-+]?)\s*generation\s*([-+]?)%\}")
END_GENERATION = re.compile(r"\{%([-+]?)\s*endgeneration\s*([-+]?)%\}")
OPENS, CLOSES = chr(LAST + 1), chr(LAST + 2)
MARKED_START = r"{%\1 set xtf_marked \2%}"
MARKED_END = rf"{{%\1 endset %}}{{{{ '{OPENS}' ~ xtf_marked ~ '{CLOSES}' }}}}{{% if true %}}{{% endif \2%}}"
"""What takes the place of ``{% generation %}``: transformers' own marks take quadratic time in the turns."""
EDGES = re.compile(f"[{OPENS}{CLOSES}]")
LONGEST_HEAD = 80  # characters in which a conversation's first header stands
THINKS = re.compile(r"think|reason")
KNOWN_KEYS = frozenset((*WRITTEN, "role", "tool_calls", "tool_call_id", "name", "id", "tool_responses", "tool_results"))
"""Keys of messages that are rendered, reported as left out by the template, or that name something."""
EMPTY: tuple[Any, ...] = (None, "", [], {}, ())
GIVEN = frozenset(("messages", "tools", "documents", "add_generation_prompt", "raise_exception", "strftime_now"))
"""Names that a template reads and no data set gives as an argument."""


class RefusedError(Exception):
    """The template does not render this conversation; the text is its own."""


class ChatTemplate:
    """Renders conversations with a tokenizer's chat template, or :data:`PLAIN_TEMPLATE` if it has none.

    Args:
        tokenizer: With its template and its special tokens.
        arguments: ``data.template_args``; a conversation's own go before them.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, arguments: Mapping[str, Any] | None = None) -> None:
        self._tokenizer = tokenizer
        self._arguments = dict(arguments or {})
        self._variables: dict[str, frozenset[str]] = {}
        self._keys: dict[str, frozenset[str]] = {}
        self.advice: dict[tuple[str, str], str] = {}
        """What to set for a role's part that is left out, kept once it has been found out."""
        self._source = None if getattr(tokenizer, "chat_template", None) else PLAIN_TEMPLATE
        added = {str(token): bool(token.special) for token in tokenizer.added_tokens_decoder.values()}
        added |= dict.fromkeys(map(str, tokenizer.all_special_tokens), True)
        self._added = _any_of([text for text in added if text.strip()])
        self._special = _any_of([text for text, special in added.items() if special and text.strip()])

    def text(self, conversation: Conversation, prompt: bool = False, source: str | None = None, **switches: Any) -> str:
        """Return the rendering, with the generation prompt at its end if asked for; ``switches`` are arguments too.

        ``source`` is another template than the tokenizer's.

        Raises:
            RefusedError: the template fails on these messages.
        """
        try:
            text = self._tokenizer.apply_chat_template(
                [dict(message) for message in conversation.messages],
                tools=conversation.tools,
                chat_template=stop_idle_loops(source or self.source(conversation)),
                add_generation_prompt=prompt,
                tokenize=False,
                **self.arguments(conversation) | switches,
            )
        except RENDERING_ERRORS as error:
            raise RefusedError(str(error) or type(error).__name__) from None
        assert isinstance(text, str)
        return text

    def arguments(self, conversation: Conversation) -> dict[str, Any]:
        """Return the arguments that the template gets for this conversation, apart from its messages and tools.

        Raises:
            RefusedError: the row's arguments are none of the template's own.
        """
        given = conversation.template_args or {}
        if own := given.keys() & TEMPLATE_INPUTS:
            raise RefusedError(f"chat_template_kwargs: {listed(map(repr, own))} is not the row's to give")
        return {**self._arguments, **given}

    def generation_spans(self, conversation: Conversation, plain: str) -> list[Span] | None:
        """Return what the template itself marks by ``{% generation %}``; None when it has no such mark.

        Args:
            conversation: In the form in which ``plain`` was rendered.
            plain: Its rendering.

        Raises:
            RefusedError: the template fails on these messages.
            NotLocated: it renders them otherwise then, or marks within marks.
        """
        source = self.source(conversation)
        if not GENERATION.search(source):
            return None
        marking = END_GENERATION.sub(MARKED_END, GENERATION.sub(MARKED_START, source))
        text = self.text(conversation, source=marking)
        parts, marks = EDGES.split(text), EDGES.findall(text)
        if "".join(parts) != plain or set(marks[::2]) - {OPENS} or set(marks[1::2]) - {CLOSES}:
            raise NotLocated("{% generation %} stands where it cannot be told what it marks")
        ends = [0, *accumulate(map(len, parts))]
        return [(start, end) for start, end in zip(ends[1::2], ends[2::2], strict=False) if start < end]

    def source(self, conversation: Conversation) -> str:
        """Return the template for this conversation; a tokenizer may have another one for tools.

        Raises:
            RefusedError: the tokenizer has several and none by default.
        """
        try:
            return str(self._tokenizer.get_chat_template(self._source, conversation.tools))
        except ValueError as error:
            raise RefusedError(str(error)) from None

    def variables(self, conversation: Conversation) -> frozenset[str]:
        """Return the names of the arguments that the template reads."""
        source = self.source(conversation)
        if source not in self._variables:
            self._variables[source] = names_read(source) - GIVEN - set(self._tokenizer.special_tokens_map)
        return self._variables[source]

    def unread_keys(self, conversation: Conversation) -> list[str]:
        """Return the keys that messages hold, that nobody knows and that the template does not look up."""
        keys = {key for message in conversation.messages for key, value in message.items() if value not in EMPTY}
        unknown = keys - KNOWN_KEYS
        if not unknown:
            return []
        source = self.source(conversation)
        if source not in self._keys:
            self._keys[source] = keys_read(source)
        return sorted(unknown - self._keys[source])

    def thinking_switches(self, conversation: Conversation) -> list[str]:
        """Return the switches for thoughts that the template reads."""
        return sorted(name for name in self.variables(conversation) if THINKS.search(name))

    @cached_property
    def _probe(self) -> Probe:
        """A short conversation, its content as text or, where that does not come out, as parts."""
        for as_parts in (False, True):
            try:
                return self._probed(as_parts)
            except (RefusedError, NotLocated, KeyError):  # a template for other conversations
                continue
        return Probe("", "", "", "", "")

    def _probed(self, as_parts: bool) -> Probe:
        markers = Markers()
        said = (("user", "Hi"), ("assistant", "Hello"), ("user", "Hm"), ("assistant", "Bye"))
        messages = tuple(markers.mark({"role": role, "content": text}, i) for i, (role, text) in enumerate(said))
        if as_parts:
            messages = tuple({**m, "content": [{"type": "text", "text": m["content"]}]} for m in messages)
        asked, answered = Conversation(messages[:1]), Conversation(messages[:2])
        before, prompted = (markers.read(self.text(asked, prompt))[0] for prompt in (False, True))
        text, spans = markers.read(self.text(answered))
        start, end = spans[1][0]
        longer, places = markers.read(self.text(Conversation(messages)))
        between = longer[places[1][0][1] : places[2][0][0]]
        return Probe(
            opening=text[len(before) : start] if text.startswith(before) else "",
            tail=text[end:],
            prompt=prompted[len(before) :] if prompted.startswith(before) else "",
            between=between,
            head=text[: spans[0][0][0]],
        )

    @property
    def header(self) -> str:
        """The beginning of the generation prompt, by which a header is recognised in the middle of a turn."""
        return common_prefix(self._probe.prompt, self._probe.opening).lstrip()

    @cached_property
    def opening(self) -> str:
        """What the template itself puts before the assistant's words, if it has no generation prompt to say so."""
        opening = self._probe.opening.rstrip(" ")  # the model writes the space before its first word
        return "" if self._probe.prompt or not opening.strip() else opening

    @cached_property
    def endings(self) -> tuple[str, ...]:
        """What may follow the assistant's last word up to the end of its turn, as a short conversation shows it.

        The first ending is up to the last of the tokens that stand side by side there (``<|END_RESPONSE|>`` and
        ``<|END_OF_TURN_TOKEN|>``), then the first token alone; each also without the white space before it, which may
        have counted as words. A template that ends turns with plain text has that text as its ending.
        """
        tail = self._probe.tail
        shared = len(common_prefix(tail, self._probe.between))
        tokens = self.added_tokens_in(tail, (0, len(tail)))
        if any(end <= shared for _, end in tokens):  # else the ending differs by place, or is no token
            tokens = [token for token in tokens if token[1] <= shared]
        ends = [tokens[0][1]] if tokens else [len(tail.rstrip())]
        for start, end in tokens[1:]:
            if start != ends[-1] or tail[start:end] in self.openers:
                break
            ends.append(end)
        endings = (each for end in (ends[-1], ends[0]) for each in (tail[:end], tail[:end].lstrip()))
        return tuple(dict.fromkeys(ending for ending in endings if ending))

    @cached_property
    def openers(self) -> frozenset[str]:
        """The added tokens that stand before the first words of a conversation: such a token opens a turn."""
        head = self._probe.head
        return frozenset(head[start:end] for start, end in self.added_tokens_in(head, (0, LONGEST_HEAD)))

    @property
    def middle_endings(self) -> tuple[str, ...]:
        """As :attr:`endings`, with the token that ends a turn in the middle of a conversation where it differs."""
        between = self._probe.between
        first = next(iter(self.added_tokens_in(between, (0, len(between)))), None)
        if first is None or between[: first[0]].strip():
            return self.endings
        return (*self.endings, between[: first[1]])

    def added_tokens_in(self, text: str, span: Span) -> list[Span]:
        """Return where tokens of the tokenizer's added vocabulary are spelled out within ``span``."""
        return [match.span() for match in self._added.finditer(text, *span)] if self._added else []

    def special_token_at(self, text: str, place: int) -> int | None:
        """Return where the special token that stands at ``place``, or behind white space there, ends."""
        while place < len(text) and text[place].isspace():
            place += 1
        match = self._special.match(text, place) if self._special else None
        return match.end() if match else None

    def spells_special_token(self, messages: Sequence[Mapping[str, Any]]) -> bool:
        """Whether a message contains the text of a special token, which the tokenizer reads as that token."""
        return self._special is not None and any(self._special.search(m["content"] or "") for m in messages)


def _any_of(texts: Sequence[str]) -> re.Pattern[str] | None:
    return re.compile("|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))) if texts else None
