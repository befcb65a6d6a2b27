"""Lists of messages, brought to one form: role, content as text, tool calls with arguments as an object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from xtf.data.report import RowError
from xtf.errors import kind_of, listed

ROLES = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "function_call": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
}
WRITTEN = ("reasoning_content", "reasoning", "thinking", "tool_plan", "content")
"""The parts of an assistant message that hold words of its own."""


def as_messages(value: Any, key: str) -> list[dict[str, Any]]:
    """Bring a list of messages, OpenAI style (role, content) or ShareGPT style (from, value), to one form.

    Raises:
        RowError: when it is not a list of messages.
    """
    if isinstance(value, str):
        value = _json(value, key)
    if not isinstance(value, (list, tuple)):
        raise RowError("malformed messages", f"{key!r} is {kind_of(value)}, expected a list of messages")
    return [_message(message, f"{key}[{number}]") for number, message in enumerate(value)]


def as_tools(value: Any) -> list[Any] | None:
    """Return the tool descriptions as a list; JSON text is parsed."""
    if isinstance(value, str):
        value = _json(value, "tools") if value.strip() else None
    if not value:
        return None
    if not isinstance(value, (list, tuple)):
        raise RowError("malformed tools", f"found {kind_of(value)}, expected a list")
    _check_unicode(value, "tools")
    return list(value)


def text_of(value: Any, place: str) -> str:
    """Return ``value`` if it is text, the joined text if it is a list of text parts.

    Raises:
        RowError: for anything else, and for text that is not valid Unicode.
    """
    if isinstance(value, (list, tuple)):
        value = "".join(_part(part, place) for part in value)
    if not isinstance(value, str):
        raise RowError("content is not text", f"{place} is {kind_of(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RowError("not valid Unicode", f"{place}: lone surrogate at character {error.start + 1}") from None
    return value


def _part(part: Any, place: str) -> str:
    text = part.get("text") if isinstance(part, Mapping) and part.get("type", "text") == "text" else part
    if not isinstance(text, str):
        kind = f"a part of type {part.get('type')!r}" if isinstance(part, Mapping) else kind_of(part)
        raise RowError("content is not text", f"{place} holds {kind}")
    return text


def _message(raw: Any, place: str) -> dict[str, Any]:
    if not isinstance(raw, Mapping):
        raise RowError("malformed messages", f"{place} is {kind_of(raw)}, expected an object with role and content")
    role_key, content_key = ("role", "content") if "role" in raw else ("from", "value")
    if role_key not in raw:
        raise RowError("malformed messages", f"{place}: expected role and content, found keys {listed(map(str, raw))}")
    role = raw[role_key]
    if not isinstance(role, str) or role not in ROLES:
        raise RowError("unknown role", f"{place}: {role!r}. Known: {listed(ROLES)}")
    message = {key: value for key, value in raw.items() if value is not None}
    content = message.pop(content_key, None)
    message.pop(role_key)
    calls = message.pop("tool_calls", None) or _legacy_call(message.pop("function_call", None))
    if role == "function_call":
        content, calls = "", _json(text_of(content, place), place)
    if content is None and not calls:
        raise RowError("content is not text", f"{place} has no {content_key!r}")
    result = {"role": ROLES[role], "content": "" if content is None else text_of(content, place), **message}
    for key in WRITTEN:
        if key in result:
            result[key] = text_of(result[key], f"{place}.{key}")
    if calls:
        result["tool_calls"] = [_tool_call(call, place) for call in (calls if isinstance(calls, list) else [calls])]
    return result


def _legacy_call(call: Any) -> list[Any]:
    return [{"type": "function", "function": call}] if call else []


def _tool_call(call: Any, place: str) -> dict[str, Any]:
    """Chat templates take ``{"type": "function", "function": {"name", "arguments": object}}``."""
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str) or not function["name"].strip():
        raise RowError("malformed tool call", f"{place}: expected a function with name and arguments")
    assert isinstance(call, Mapping)
    arguments = function.get("arguments", function.get("parameters", {}))
    if isinstance(arguments, str):
        arguments = _json(arguments, f"{place}: arguments") if arguments.strip() else {}
    rest = {key: value for key, value in call.items() if key not in {"function", "name", "arguments", "parameters"}}
    result = {**rest, "type": "function", "function": {"name": function["name"], "arguments": arguments}}
    _check_unicode(result, place)
    return result


def _json(text: str, place: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RowError("broken JSON inside a column", f"{place}: {error}") from None


def _check_unicode(value: Any, place: str) -> None:
    try:
        text_of(json.dumps(value, ensure_ascii=False), place)
    except (TypeError, ValueError) as error:
        raise RowError("malformed tools", f"{place}: {error}") from None
