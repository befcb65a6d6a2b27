"""Row -> conversation, whatever the columns are called.

Recognised by themselves, in this order: ``input_ids`` + ``labels``; ``messages``; ShareGPT ``conversations``;
``prompt`` + ``completion`` (text, or lists of messages); ``instruction`` (+ ``input``) + ``output``; ``question`` +
``answer``. A column holding null counts as absent. Anything else is named by ``data.columns``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from xtf.config import ColumnsConfig
from xtf.data.messages import NO_ROLES, WRITTEN, as_arguments, as_messages, as_tools, text_of
from xtf.data.report import RowError
from xtf.data.sources import Row
from xtf.errors import DataError, listed
from xtf.tokens import BoolArray, IntArray

KNOWN = (
    "'messages', 'conversations', 'prompt'+'completion', 'instruction'(+'input')+'output', 'question'+'answer' "
    "or 'input_ids'+'labels'"
)
PAIRS = (("prompt", "", "completion"), ("instruction", "input", "output"), ("question", "", "answer"))
IGNORED = -100
ARGUMENTS = "chat_template_kwargs"
"""Column of a row's own arguments for the chat template, as TRL and vLLM name it."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages as a chat template takes them.

    Attributes:
        messages: Each with ``role`` and ``content`` (always text), and what else the row gives: ``tool_calls``, ….
        tools: Descriptions of the tools the assistant may call.
        context: So many first messages are the row's prompt: assistant turns among them are not response.
        template_args: Arguments of the chat template for this row, which go before ``data.template_args``.
    """

    messages: tuple[Mapping[str, Any], ...]
    tools: list[Any] | None = None
    context: int = 0
    template_args: Mapping[str, Any] | None = None

    def responses(self) -> list[int]:
        """Return the positions of the assistant turns to learn from; a turn without a word is none."""
        return [i for i, message in enumerate(self.messages) if i >= self.context and says_something(message)]

    def empty_turns(self) -> list[int]:
        """Return the positions of the assistant turns that have neither words nor calls."""
        learnt = enumerate(self.messages[self.context :], self.context)
        return [i for i, message in learnt if message["role"] == "assistant" and not says_something(message)]


def says_something(message: Mapping[str, Any]) -> bool:
    """Whether this is an assistant turn with words or calls in it."""
    words = any(str(message.get(key) or "").strip() for key in WRITTEN)
    return message["role"] == "assistant" and (words or bool(message.get("tool_calls")))


@dataclass(frozen=True, slots=True)
class PreTokenized:
    """A row that is tokens already.

    Attributes:
        input_ids: ``(seq,)`` int32.
        is_response: ``(seq,)`` bool, True where the label is not -100.
    """

    input_ids: IntArray
    is_response: BoolArray


def check_columns(columns: ColumnsConfig) -> None:
    """Refuse a ``data.columns`` that names half of a schema.

    Raises:
        DataError: naming what is missing.
    """
    for first, second in (("prompt", "response"), ("input_ids", "labels")):
        for given, missing in ((first, second), (second, first)):
            if getattr(columns, given) is not None and getattr(columns, missing) is None:
                raise DataError(f"data.columns: {given!r} is given without {missing!r}; name both.")
    if columns.input is not None and columns.prompt is None:
        raise DataError("data.columns: 'input' is given without 'prompt' and 'response'; name all three.")
    sets = [name for name in ("messages", "prompt", "input_ids") if getattr(columns, name) is not None]
    if len(sets) > 1:
        raise DataError(f"data.columns: {listed(map(repr, sets))} exclude each other; keep one.")


def to_conversation(
    row: Row, columns: ColumnsConfig, roles: Mapping[str, str] = NO_ROLES
) -> Conversation | PreTokenized:
    """Recognise the columns of ``row``; ``roles`` are ``data.roles``.

    Raises:
        RowError: (a DataError) with place, reason and what was found, when the row holds no usable conversation.
    """
    try:
        return _recognised({key: value for key, value in row.value.items() if value is not None}, columns, roles)
    except RowError as error:
        raise error.at(row.location) from None


def _recognised(
    row: Mapping[str, Any], columns: ColumnsConfig, roles: Mapping[str, str]
) -> Conversation | PreTokenized:
    chat = _Chat(row, columns.system, roles)
    if columns.input_ids and columns.labels:
        return _pretokenized(row, columns.input_ids, columns.labels)
    if columns.messages:
        return chat.from_messages(columns.messages)
    if columns.prompt and columns.response:
        return chat.from_pair(columns.prompt, columns.input, columns.response)
    if "input_ids" in row and "labels" in row:
        return _pretokenized(row, "input_ids", "labels")
    for key in ("messages", "conversations"):
        if key in row:
            return chat.from_messages(key)
    for prompt, extra, response in PAIRS:
        if prompt in row and response in row:
            return chat.from_pair(prompt, extra, response)
    keys = ", ".join(repr(key) for key in sorted(map(str, row))) or "none"
    raise RowError("no known columns", f"expected {KNOWN}, found keys {keys}. Map them with data.columns.")


def _column(row: Mapping[str, Any], key: str) -> Any:
    if key not in row:
        raise RowError(f"no column {key!r}", f"data.columns names it; found keys {listed(map(repr, row))}")
    return row[key]


@dataclass(frozen=True, slots=True)
class _Chat:
    """One row's messages, its system column and the user's own names of roles."""

    row: Mapping[str, Any]
    system: str | None
    roles: Mapping[str, str]

    def from_messages(self, key: str) -> Conversation:
        return self._checked(self._with_system(as_messages(_column(self.row, key), key, self.roles)))

    def from_pair(self, prompt: str, extra: str | None, response: str) -> Conversation:
        asked, answered = _column(self.row, prompt), _column(self.row, response)
        addition = text_of(self.row[extra], extra) if extra and extra in self.row else ""
        if isinstance(asked, (list, tuple)):
            before = as_messages(asked, prompt, self.roles)
            before += [{"role": "user", "content": addition}] if addition else []
        else:
            text = text_of(asked, prompt)
            before = [{"role": "user", "content": f"{text}\n\n{addition}" if addition.strip() else text}]
        before = self._with_system(before)
        if isinstance(answered, (list, tuple)):
            after = as_messages(answered, response, self.roles)
        else:
            after = [{"role": "assistant", "content": text_of(answered, response)}]
        return self._checked(before + after, context=len(before))

    def _with_system(self, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Put the row's system text first, unless the messages bring their own."""
        value = _column(self.row, self.system) if self.system else self.row.get("system", "")
        text = text_of(value, self.system or "system")
        if not text or (messages and messages[0]["role"] == "system"):
            return messages
        return [{"role": "system", "content": text}, *messages]

    def _checked(self, messages: list[dict[str, Any]], context: int = 0) -> Conversation:
        tools, arguments = as_tools(self.row.get("tools")), as_arguments(self.row.get(ARGUMENTS), ARGUMENTS)
        conversation = Conversation(tuple(messages), tools, context, arguments)
        if not any(message["role"] == "assistant" for message in messages[context:]):
            raise RowError("no assistant turn", f"roles: {', '.join(m['role'] for m in messages) or 'none'}")
        if not conversation.responses():
            raise RowError("empty response")
        return conversation


def _pretokenized(row: Mapping[str, Any], ids_key: str, labels_key: str) -> PreTokenized:
    ids, labels = _integers(row, ids_key), _integers(row, labels_key)
    if ids.shape != labels.shape:
        raise RowError("input_ids and labels differ in length", f"{len(ids)} and {len(labels)}")
    if "attention_mask" in row:
        mask = _integers(row, "attention_mask")
        if mask.shape != ids.shape:
            raise RowError("input_ids and attention_mask differ in length", f"{len(ids)} and {len(mask)}")
        ids, labels = ids[mask != 0], labels[mask != 0]
    is_response = labels != IGNORED
    wrong = np.flatnonzero(is_response & (labels != ids))
    if wrong.size:
        where = int(wrong[0])
        raise RowError(
            "labels are not the tokens of input_ids",
            f"position {where}: label {int(labels[where])}, token {int(ids[where])}. A label names the token at its "
            "own position (not the next one), or -100.",
        )
    is_response[:1] = False  # nothing predicts the first token
    if not is_response.any():
        raise RowError("empty response", f"every label is {IGNORED}")
    return PreTokenized(ids.astype(np.int32), is_response)


def _integers(row: Mapping[str, Any], key: str) -> IntArray:
    value = _column(row, key)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        raise RowError(f"{key} is not a list of whole numbers") from None
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iub"):
        raise RowError(f"{key} is not a list of whole numbers")
    if array.size and (array.min() < -(2**31) or array.max() >= 2**31):
        raise RowError(f"{key} holds a number that no token can have")
    return array.astype(np.int32)
