"""Rows of text -> conversations: lists of messages, a prompt beside a response, plain text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from xtf.data.cells import Cells
from xtf.data.conversation import Conversation
from xtf.data.flags import TurnWeight, refuse_unknown_switches, with_row_flags
from xtf.data.messages import (
    LEARNING,
    MEDIA,
    NO_MEDIA,
    as_arguments,
    as_tools,
    is_media,
    text_of,
)
from xtf.data.report import RowError
from xtf.data.roles import ROLES, SPEAKERS
from xtf.errors import kind_of

ARGUMENTS = "chat_template_kwargs"
"""Column of a row's own arguments for the chat template, as TRL and vLLM name it."""

TOOLS = ("tools", "functions", "available_tools")
"""Columns of tools: OpenAI's, its former form, Mistral's; the first that holds any is read."""

PLACEHOLDERS = ("<image>", "<video>", "<audio>")
"""What stands in a text where something goes that is none."""

Messages = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Chat:
    """Reads a list of messages."""

    messages: str

    def __call__(self, row: Cells) -> Conversation:
        """Read one row; RowError says what is wrong with it."""
        value = row.column(self.messages)
        if isinstance(value, (list, tuple)) and value and all(map(_is_exchange, value)):
            value = [message for each in value for message in _exchange_with_more(each)]
        return _conversation(row.messages(value, self.messages), row)


@dataclass(frozen=True, slots=True)
class Pair:
    """Reads a prompt and a response, each of them text or a list of messages.

    Attributes:
        prompt: Column of the prompt.
        response: Column of the response.
        more: Column of further text of the prompt, which goes behind it after a blank line.
        answer: Takes the response out of a column that does not hold it as such.
        reasoning: Column of what the assistant thinks before a response that is text.
    """

    prompt: str
    response: str
    more: str | None = None
    answer: Callable[[Any, str], Any] = lambda value, place: value
    reasoning: str | None = None

    def __call__(self, row: Cells) -> Conversation:
        """Read one row; RowError says what is wrong with it."""
        asked, addition = row.column(self.prompt), row.text(self.more)
        answered = self.answer(row.column(self.response), self.response)
        before = _history(row)
        if isinstance(asked, (list, tuple)):
            before += row.messages(asked, self.prompt)
            before += [{"role": "user", "content": addition}] if addition else []
            context = len(before)
        else:
            texts = [text_of(asked, self.prompt), addition]
            before += [{"role": "user", "content": "\n\n".join(text for text in texts if text.strip()) or texts[0]}]
            context = 0
        if isinstance(answered, (list, tuple)):
            after = row.messages(answered, self.response)
        else:
            after = [{"role": "assistant", "content": text_of(answered, self.response)}]
            after[0] |= {"reasoning_content": thoughts} if (thoughts := row.text(self.reasoning)) else {}
        return _conversation(before + after, row, context)


@dataclass(frozen=True, slots=True)
class Text:
    """Reads plain text, of which every token is a target, as in continued pre-training."""

    text: str

    def __call__(self, row: Cells) -> Conversation:
        """Read one row; RowError says what is wrong with it."""
        text = text_of(row.column(self.text), self.text)
        if not text.strip():
            raise RowError("empty text")
        _refuse_media(row)
        message = {"role": "assistant", "content": text}
        return Conversation((message,), is_text=True, learning=_learning([message], row, 0))


def text_alone(row: Cells) -> Conversation:
    """Read the column ``text`` as plain text, unless the row is one turn of a conversation, maybe of the one who asks.

    Raises:
        RowError: saying what is wrong with it.
    """
    for column in SPEAKERS:
        who = row.peek(column)
        if isinstance(who, str) and who.strip().lower() in ROLES:
            how = "put the turns of a conversation in one row, under 'messages'; or name the text: data.columns.text"
            raise RowError("a single turn of a conversation", f"{column!r} is {who!r}; {how}")
    return Text("text")(row)


def first_answer(value: Any, place: str) -> Any:
    """The first of several right answers: of a list, or of an object with ``text`` (SQuAD) or ``value`` (TriviaQA).

    Raises:
        RowError: the list is empty.
    """
    if isinstance(value, Mapping):
        value = next((value[key] for key in ("text", "value") if key in value), value)
    if isinstance(value, (list, tuple)):
        if not value:
            raise RowError("empty response", f"{place} is an empty list")
        value = value[0] if isinstance(value[0], str) else value
    return value


def _conversation(messages: Messages, row: Cells, context: int = 0) -> Conversation:
    """The messages with what the row says besides, checked for a response."""
    _refuse_media(row, messages)
    system = row.system_prompt()
    if system and messages[:1] and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": system}, *messages]
        context += bool(context)
    tools = next((tools for name in TOOLS if (tools := as_tools(row.get(name)))), None)
    arguments, learning = as_arguments(row.get(ARGUMENTS), ARGUMENTS), _learning(messages, row, context)
    conversation = Conversation(tuple(messages), tools, context, arguments, learning=learning)
    learnt = conversation.asked()
    if not learnt and not any(message["role"] == "assistant" for message in messages[context:]):
        raise RowError("no assistant turn", f"roles: {', '.join(m['role'] for m in messages) or 'none'}")
    if not learnt and not conversation.responses():
        raise RowError("empty response")
    return conversation


def _learning(messages: Messages, row: Cells, context: int) -> tuple[TurnWeight | None, ...]:
    """What flags say of each message: its own, which are taken out of it, and those of the row."""
    own: list[TurnWeight | None] = [message.pop(LEARNING, None) for message in messages]
    roles = [message["role"] for message in messages]
    sizes = {len(roles), len(roles) - (roles[:1] == ["system"]), roles[context:].count("assistant")}
    refuse_unknown_switches({key: row.peek(key) for key in row}, sizes, row.settled)
    found = with_row_flags(own, row, roles, context)
    return tuple(found) if any(found) else ()


def _history(row: Cells) -> Messages:
    """Earlier turns of an Alpaca row, which are learnt as well (LLaMA-Factory, data/README): ``[[asked, said], …]``."""
    value = row.get("history") or []
    if not isinstance(value, (list, tuple)):
        raise RowError("malformed history", f"found {kind_of(value)}, expected a list of pairs")
    messages: Messages = []
    for number, pair in enumerate(value):
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise RowError("malformed history", f"history[{number}]: expected a prompt and a response")
        messages += _exchange(*(text_of(each, f"history[{number}]") for each in pair))
    return messages


def _exchange(asked: Any, said: Any) -> Messages:
    return [{"role": "user", "content": asked}, {"role": "assistant", "content": said}]


def _exchange_with_more(value: Mapping[str, Any]) -> Messages:
    """An exchange with its own system text, and with what else it says of the answer, such as flags."""
    rest = {key: each for key, each in value.items() if key not in ("input", "output", "system")}
    asked, said = _exchange(value["input"], value["output"])
    system = [{"role": "system", "content": value["system"]}] if value.get("system") else []
    return [*system, *([asked] if asked["content"] else []), {**rest, **said}]


def _is_exchange(value: Any) -> bool:
    """Whether this is a turn of both, as in Capybara: ``{"input": …, "output": …}``."""
    return isinstance(value, Mapping) and "input" in value and "output" in value and "role" not in value


def has_placeholder(messages: Iterable[Mapping[str, Any]]) -> bool:
    """Whether something that is no text is to go into the text of a message."""
    return any(each in str(message["content"]) for message in messages for each in PLACEHOLDERS)


def _refuse_media(row: Cells, messages: Messages | None = None) -> None:
    """Words about an image that the model does not see are not worth learning; an address alone is no image.

    It is one where the messages say, as those of LLaVA do, where to put it.
    """
    has_place = has_placeholder(messages or ())
    for column in MEDIA:
        value = row.peek(column)
        if is_media(value) or (has_place and isinstance(value, str) and value.strip()):
            raise RowError(NO_MEDIA, f"column {column!r}")
