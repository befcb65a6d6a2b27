"""Hostile text made safe to show: no control sequence, invisible character or direction override gets through."""

from __future__ import annotations

import unicodedata

_NEWLINE, _TAB = "↵", "⇥"


def visible(text: str, keep_newlines: bool = False) -> str:
    """Return ``text`` with every character that could mislead a reader or a terminal replaced by a visible mark.

    Newlines become ``↵`` (followed by a real line break with ``keep_newlines``), tabs ``⇥``, other control characters
    their Unicode pictures, and format characters, separators, surrogates and unassigned ones ``<U+XXXX>``. Joiners
    inside emoji sequences stay.
    """
    return "".join(_visible(character, keep_newlines) for character in text)


def quoted(text: str) -> str:
    """``text`` made visible, between quotation marks, with spaces kept; for sentences that name a token."""
    return f"'{visible(text)}'"


def _visible(character: str, keep_newlines: bool) -> str:
    if character == "\n":
        return _NEWLINE + ("\n" if keep_newlines else "")
    if character == "\t":
        return _TAB
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    if code in (0x200C, 0x200D):
        return character
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"):
        return f"<U+{code:04X}>"
    return character
