"""Who speaks in a message, under the names that data sets and trainers give to roles."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from xtf.data.report import RowError
from xtf.data.suggestion import UNWANTED
from xtf.errors import listed

SPEAKERS = ("role", "from", "speaker")
"""Keys, and columns, that say who speaks."""
CALL = "call"
"""Role of a message whose content is the assistant's tool call as JSON."""

ROLES: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(("system", "developer", "sys", "system_prompt"), "system")
    | dict.fromkeys(("user", "human", "prompter"), "user")
    | dict.fromkeys(("assistant", "gpt", "chatgpt", "model", "bot", "chatbot", "ai", "bing", "bard"), "assistant")
    | dict.fromkeys(("claude", "gemini", "llm"), "assistant")
    | dict.fromkeys(("function_call", "tool_call", "tool_calls"), CALL)
    | dict.fromkeys(("tool", "function", "observation", "ipython"), "tool")
    | dict.fromkeys((f"{who}_{what}" for who in ("function", "tool") for what in ("response", "result")), "tool")
    | dict.fromkeys((f"{who}_{what}" for who in ("function", "tool") for what in ("output", "results")), "tool")
)
"""Spellings that are known by themselves, and what they mean; case, hyphens and spaces do not count, nor do the signs
of ``Assistant:`` and ``<|assistant|>``."""


def role_of(name: object, place: str, own: Mapping[str, str]) -> str:
    """Return ``system``, ``user``, ``assistant``, ``tool`` or :data:`CALL`.

    Args:
        name: What the message says.
        place: Where, for the error.
        own: ``data.roles``: further spellings, as written in the data; they go before the known ones.

    Raises:
        RowError: for a role that is neither known nor among ``own``.
    """
    if isinstance(name, str):
        spelling = _plain(name)
        mapped = own.get(name) or next((role for key, role in own.items() if _plain(key) == spelling), None)
        if role := ROLES.get(_plain(mapped) if mapped else spelling):
            return role
    how = " by data.roles"
    if isinstance(name, str) and not UNWANTED.search(name):
        how = f", for example data.roles: {{{json.dumps(name)}: assistant}}"
    raise RowError("unknown role", f"{place}: {name!r}. Known: {listed(ROLES)}. Map others{how}")


def is_role(name: object) -> bool:
    """Whether this is a known spelling of a role whose words are plain text."""
    return isinstance(name, str) and ROLES.get(_plain(name)) in ("system", "user", "assistant")


def _plain(name: str) -> str:
    return name.strip(" \t\n:<|>").lower().replace("-", "_").replace(" ", "_")
