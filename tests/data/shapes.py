"""Conversations of every shape, in words that tell who says them: ``USERa``, ``SYSb``, ``TOOLc``, ``BOTd``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xtf.data import Conversation

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "lookup",
            "description": "SPECa SPECb.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string", "description": "SPECc"}},
                "required": ["city"],
            },
        },
    }
]
Message = dict[str, Any]


class _Words:
    """Each word is said once."""

    def __init__(self) -> None:
        self._said = 0

    def __call__(self, who: str, count: int = 2) -> str:
        words = [f"{who}{chr(97 + (self._said + i) // 26)}{chr(97 + (self._said + i) % 26)}" for i in range(count)]
        self._said += count
        return " ".join(words)


def _messages(plan: str) -> list[Message]:
    """``s`` system, ``u`` user, ``a`` answer, ``c`` call, ``C`` text and call, ``2`` two calls, ``t`` tool, ``T`` tool
    with JSON, ``h`` thoughts in tags and answer, ``r`` reasoning and answer, ``R`` reasoning and call, ``e`` empty."""
    word = _Words()
    called: list[str] = []
    make: dict[str, Callable[[], Message]] = {
        "s": lambda: {"role": "system", "content": f"{word('SYS')}."},
        "u": lambda: {"role": "user", "content": f"{word('USER')}?"},
        "a": lambda: {"role": "assistant", "content": f"{word('BOT', 3)}."},
        "h": lambda: {"role": "assistant", "content": f"<think>\n{word('BOT')}\n</think>\n\n{word('BOT')}."},
        "r": lambda: {"role": "assistant", "reasoning_content": f"{word('BOT')}.", "content": f"{word('BOT')}."},
        "R": lambda: _call(word, called) | {"reasoning_content": f"{word('BOT')}."},
        "c": lambda: _call(word, called),
        "C": lambda: _call(word, called) | {"content": f"{word('BOT')}."},
        "2": lambda: _call(word, called, 2),
        "t": lambda: {"role": "tool", "tool_call_id": called.pop(0), "name": "lookup", "content": word("TOOL")},
        "T": lambda: {
            "role": "tool",
            "tool_call_id": called.pop(0),
            "name": "lookup",
            "content": f'{{"found": "{word("TOOL")}"}}',
        },
        "e": lambda: {"role": "assistant", "content": ""},
    }
    return [make[kind]() for kind in plan]


def _call(word: _Words, called: list[str], count: int = 1) -> Message:
    ids = [f"call{len(called) + i:05d}" for i in range(count)]
    called += ids
    calls = [
        {"id": name, "type": "function", "function": {"name": "lookup", "arguments": {"city": word("BOT"), "days": 2}}}
        for name in ids
    ]
    return {"role": "assistant", "content": "", "tool_calls": calls}


PLANS = (
    *("ua", "uaua", "sua", "suaua", "uauaua", "ueua", "uaa", "uauua", "aua", "uau"),
    *("uh", "uhuh", "ur", "urur", "suhuh", "uhua"),
    *(
        "uc",
        "ucta",
        "uctaua",
        "uCta",
        "u2tta",
        "uctcta",
        "suctaucta",
        "uctau",
        "uaucta",
        "ucTa",
        "uRta",
        "uctr",
        "uRtr",
    ),
    *("usua", "uCtCta", "uctauR"),
)
"""Every shape by its plan; see :func:`_messages`."""


def shape(plan: str) -> Conversation:
    """The conversation of a plan, with tools where it calls them."""
    tools = TOOLS if any(kind in plan for kind in "cC2R") else None
    return Conversation(tuple(_messages(plan)), tools)
