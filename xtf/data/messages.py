"""Lists of messages, brought to one form: role, content as text, tool calls with arguments as an object."""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from xtf.data.flag_names import OF_TURNS
from xtf.data.flags import SpanWeight, TurnWeight, part_spans, take_turn_flags, with_length
from xtf.data.report import RowError
from xtf.data.roles import CALL, SPEAKERS, is_role, role_of
from xtf.data.value_tests import NO_TESTS, entry, passes
from xtf.errors import kind_of, listed

WRITTEN = ("reasoning_content", "reasoning", "thinking", "tool_plan", "content")
"""The parts of an assistant message that hold words of its own."""
TEXT_TYPES = frozenset(("text", "input_text", "output_text", "refusal"))
THOUGHT_TYPES = frozenset(("reasoning", "thinking"))
CALL_TYPES = frozenset(("tool_call", "tool_calls", "function_call"))
NO_ROLES: Mapping[str, str] = {}
CONTENTS = ("content", "value", "text", "message", "parts", "refusal")
"""Keys that hold what is said: OpenAI's, ShareGPT's, …, Gemini's, and OpenAI's where the assistant refuses."""
MEDIA = ("images", "videos", "audios", "image", "video", "audio")
NO_MEDIA = "a picture, video or sound, where only text is read"
LEARNING = "learning"
"""Key under which a message carries its :class:`TurnWeight` until it becomes part of a conversation."""


def as_messages(
    value: Any, key: str, roles: Mapping[str, str] = NO_ROLES, tests: Mapping[str, Any] = NO_TESTS
) -> list[dict[str, Any]]:
    """Bring a list of messages, OpenAI style (role, content) or ShareGPT style (from, value), to one form.

    Calls that follow each other in messages of their own (``tool_call``) become one message, as templates take them.
    What flags say of a message stands under :data:`LEARNING`; the flags themselves are taken out.

    Args:
        value: The list, or its JSON text.
        key: Its column, for errors.
        roles: ``data.roles``.
        tests: What ``data.only`` asks of the assistant's turns: key, or path with points, to what it must hold. Such a
            key is no flag and no verdict.

    Raises:
        RowError: when it is not a list of messages.
    """
    if isinstance(value, str):
        value = _json(value, key)
    if isinstance(value, Mapping):
        value = _by_message(value)
    if not isinstance(value, (list, tuple)):
        raise RowError("malformed messages", f"{key!r} is {kind_of(value)}, expected a list of messages")
    messages: list[dict[str, Any]] = []
    was_call = False
    for place, raw in _by_speaker(value, key):
        role, message = _message(raw, place, roles, tests)
        if role == CALL and was_call and messages[-1].get(LEARNING) == message.get(LEARNING):
            messages[-1]["tool_calls"] += message["tool_calls"]
        else:
            messages.append(message)
        was_call = role == CALL
    return messages


def _by_message(columns: Mapping[str, Any]) -> Any:
    """The messages of ``{"role": […], "content": […]}``, as ``datasets`` gives a sequence of objects."""
    lists = [column for column in columns.values() if isinstance(column, (list, tuple))]
    if len(lists) < max(len(columns), 1) or len({len(column) for column in lists}) > 1:
        return columns
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*lists, strict=True)]


def _by_speaker(messages: Sequence[Any], key: str) -> Iterator[tuple[str, Any]]:
    """Each message with its place; ``{"human": …, "assistant": …}`` is two, whose keys say who speaks."""
    for number, message in enumerate(messages):
        place = f"{key}[{number}]"
        if isinstance(message, Mapping) and message and all(is_role(name) for name in message):
            yield from ((place, {"role": who, "content": said}) for who, said in message.items())
        else:
            yield place, message


def as_tools(value: Any) -> list[Any] | None:
    """Return the tool descriptions as a list; JSON text is parsed, a bare function becomes a tool (OpenAI's old form).

    Raises:
        RowError: when it is not a list.
    """
    if isinstance(value, str):
        value = _json(value, "tools") if value.strip() else None
    if not value:
        return None
    if not isinstance(value, (list, tuple)):
        raise RowError("malformed tools", f"found {kind_of(value)}, expected a list")
    _check_unicode(value, "tools")
    return [_tool(tool) for tool in value]


def _tool(tool: Any) -> Any:
    if not isinstance(tool, Mapping) or not isinstance(tool.get("name"), str) or "function" in tool:
        return tool
    return {"type": "function", "function": {key: value for key, value in tool.items() if key != "type"}}


def as_arguments(value: Any, key: str) -> Mapping[str, Any] | None:
    """Return the arguments that a row gives to the chat template; JSON text is parsed.

    Raises:
        RowError: when they are not an object.
    """
    if isinstance(value, str):
        value = _json(value, key) if value.strip() else None
    if value is not None and not isinstance(value, Mapping):
        raise RowError(f"malformed {key}", f"found {kind_of(value)}, expected an object")
    return value or None


def text_of(value: Any, place: str) -> str:
    """Return ``value`` if it is text, the joined text if it is a list of text parts.

    Raises:
        RowError: for anything else, and for text that is not valid Unicode.
    """
    if isinstance(value, (list, tuple)):
        value = "".join(_text_of_part(part, place) for part in value)
    if not isinstance(value, str):
        raise RowError("content is not text", f"{place} is {kind_of(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RowError("not valid Unicode", f"{place}: lone surrogate at character {error.start + 1}") from None
    return value


def _text_of_part(part: Any, place: str) -> str:
    if isinstance(part, Mapping) and ("role" in part or "from" in part):
        raise RowError("content is not text", f"{place} holds messages; name such a column: data.columns.messages")
    text = _value_of(part) if isinstance(part, Mapping) and part.get("type", "text") in TEXT_TYPES else part
    if not isinstance(text, str):
        kind = f"a part of type {part.get('type')!r}" if isinstance(part, Mapping) else kind_of(part)
        raise RowError("content is not text", f"{place} holds {kind}")
    return text


def _value_of(part: Mapping[str, Any]) -> Any:
    """What a typed part holds, under the key of its type (``thinking``) or one that serves all types (``value``)."""
    keys = (str(part.get("type", "text")), "text", "value", "content")
    return next((part[key] for key in keys if part.get(key) is not None), None)


def _message(raw: Any, place: str, roles: Mapping[str, str], tests: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the role as written, :data:`CALL` told apart, and the message."""
    if not isinstance(raw, Mapping):
        raise RowError("malformed messages", f"{place} is {kind_of(raw)}, expected an object with role and content")
    message = {key: value for key, value in raw.items() if value is not None}
    role_key = next((key for key in SPEAKERS if key in message), None)
    if role_key is None:
        raise RowError("malformed messages", f"{place}: expected role and content, found keys {listed(map(str, raw))}")
    role = role_of(message.pop(role_key), place, roles)
    for key in MEDIA:
        if is_media(message.get(key)):
            raise RowError(NO_MEDIA, f"{place}.{key}")
    learning = _learning(role, message, place, tests)
    spans: tuple[SpanWeight, ...] = ()
    content_key = next((key for key in CONTENTS if key in message), "content")
    content = message.pop(content_key, None)
    calls = message.pop("tool_calls", None) or _legacy_call(message.pop("function_call", None))
    if role == "tool" and content is not None and not _is_text(content):
        content = json.dumps(content, ensure_ascii=False, default=str)  # a result as data, not as text
    calls = _json(calls, f"{place}: tool_calls") if isinstance(calls, str) else calls
    if role == CALL:
        content, calls = "", _json(text_of(content, place), place)
    elif isinstance(content, (list, tuple)):
        spans = part_spans(_measured(content, place), place, tests)
        content, thoughts, more = _by_type(content, place)
        calls = [*_listed(calls), *more] if more else calls
        message |= {"reasoning_content": thoughts} if thoughts else {}
    if content is None and role != "assistant" and content_key not in raw:
        raise RowError("content is not text", f"{place} has no {content_key!r}")
    known = "assistant" if role == CALL else role
    result = {"role": known, "content": "" if content is None else text_of(content, place), **message}
    for key in WRITTEN:
        if key in result:
            result[key] = text_of(result[key], f"{place}.{key}")
    if calls:
        result["tool_calls"] = [_tool_call(call, place) for call in _listed(calls)]
    if learning is not None or spans:
        turn = with_length(learning or TurnWeight(), len(result["content"]), place)
        result[LEARNING] = replace(turn, spans=(*turn.spans, *spans))
    return role, result


def _learning(role: str, message: dict[str, Any], place: str, tests: Mapping[str, Any]) -> TurnWeight | None:
    """What flags say of a message, which are taken out of it, and ``data.only`` of one of the assistant's."""
    learning = take_turn_flags(message, place, tests)
    for key, wanted in tests.items() if role in ("assistant", CALL) else ():
        if not passes(entry(message, key), wanted):
            return TurnWeight(0.0, OF_TURNS + key, is_named=True)
    return learning


def is_media(value: Any) -> bool:
    """Whether this holds a picture, video or sound; text (an address) is none, and neither is an empty list."""
    return value is not None and not isinstance(value, str) and bool(len(value) if hasattr(value, "__len__") else 1)


def _measured(parts: Sequence[Any], place: str) -> Iterator[tuple[str, int, Any]]:
    """For each part the text that it becomes a piece of ("" for a tool call), its characters, and itself."""
    for part in parts:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind in CALL_TYPES:
            yield "", 0, part
        elif kind in THOUGHT_TYPES:
            yield "reasoning_content", len(text_of(_value_of(part), place)), part
        else:
            yield "content", len(text_of([part], place)), part


def _by_type(parts: Sequence[Any], place: str) -> tuple[list[Any], str, list[Any]]:
    """Take the parts that are thoughts and tool calls out of a list of typed parts."""
    texts: list[Any] = []
    thoughts: list[str] = []
    calls: list[Any] = []
    for part in parts:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if kind in THOUGHT_TYPES:
            thoughts.append(text_of(_value_of(part), place))
        elif kind in CALL_TYPES:
            value = _value_of(part)
            calls += _listed(_json(value, place) if isinstance(value, str) else value)
        else:
            texts.append(part)
    return texts, "".join(thoughts), calls


def _is_text(value: Any) -> bool:
    """Whether this is text, or parts that hold text."""
    if isinstance(value, (list, tuple)):
        return all(isinstance(part, str) or (isinstance(part, Mapping) and "type" in part) for part in value)
    return isinstance(value, str)


def _listed(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, (list, tuple)) else [value]


def _legacy_call(call: Any) -> list[Any]:
    return [{"type": "function", "function": call}] if call else []


def _tool_call(call: Any, place: str) -> dict[str, Any]:
    """Chat templates take ``{"type": "function", "function": {"name", "arguments": object}}``."""
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str) or not function["name"].strip():
        raise RowError("malformed tool call", f"{place}: expected a function with name and arguments")
    assert isinstance(call, Mapping)
    arguments = function.get("arguments", function.get("parameters", {}))
    for _ in range(2):  # JSON text, in some data sets within JSON text
        if isinstance(arguments, str):
            arguments = _json(arguments, f"{place}: arguments") if arguments.strip() else {}
    if isinstance(arguments, str):
        raise RowError("malformed tool call", f"{place}: the arguments of {function['name']!r} are text, no object")
    rest = {key: value for key, value in call.items() if key not in {"function", "name", "arguments", "parameters"}}
    result = {**rest, "type": "function", "function": {"name": function["name"], "arguments": arguments}}
    _check_unicode(result, place)
    return result


def _json(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
            if isinstance(value := ast.literal_eval(text), (list, dict)):  # as pandas writes lists into CSV files
                return value
        raise RowError("broken JSON inside a column", f"{place}: {error}") from None


def _check_unicode(value: Any, place: str) -> None:
    try:
        text_of(json.dumps(value, ensure_ascii=False), place)
    except (TypeError, ValueError) as error:
        raise RowError("malformed tools", f"{place}: {error}") from None
