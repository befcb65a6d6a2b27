"""Hostile text made safe to show: no control sequence, invisible character or direction override gets through."""

from __future__ import annotations

import codecs
import os
import re
import shlex
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import IO, Any

_NEWLINE, _TAB = "↵", "⇥"
PLAIN = {
    "⟦": "[[",
    "⟧": "]]",
    "…": "...",
    "·": "-",
    "•": "*",
    "▲": "^",
    "±": "+-",
    "−": "-",
    "–": "-",
    "×": "x",
    "≤": "<=",
    "≥": ">=",
    "’": "'",
    "↵": "\\n",
    "⇥": "\\t",
    **{digit: str(value) for value, digit in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")},
    **{digit: f"_{value}" for value, digit in enumerate("₀₁₂₃₄₅₆₇₈₉")},
}
"""What stands for the signs of our own output where an encoding lacks them; texts of others are escaped."""


ESCAPE = "xtf-escape"
"""The error handler that writes what an encoding lacks in other characters, instead of failing."""


def _written_otherwise(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(PLAIN.get(one) or one.encode("ascii", "backslashreplace").decode() for one in characters), error.end


codecs.register_error(ESCAPE, _written_otherwise)


class Escaping:
    """A text stream, as whoever calls has it, that is written to without failing for its encoding."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write ``text``, in other characters where the encoding lacks some."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        return self._stream.write(text.encode(encoding, ESCAPE).decode(encoding))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


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


def command(*words: str | os.PathLike[str]) -> str:
    """A command line that a shell (bash, zsh) reads back as exactly these words, whatever they hold.

    Words with characters that cannot be shown, or that standard output's encoding lacks, are written as ``$'\\x0a'``.

    >>> command("xtf", "explain", "runs/my run", "--example=$(touch x)")
    "xtf explain 'runs/my run' '--example=$(touch x)'"
    >>> command("xtf", "label", "run", "--set", "training.arms=[full,xtf]")
    "xtf label run --set 'training.arms=[full,xtf]'"
    """
    return " ".join(_word(word if isinstance(word, str) else _path(word)) for word in words)


def counted(number: int, one: str, many: str | None = None) -> str:
    """A number and what is counted.

    >>> counted(1, "row"), counted(1234, "row"), counted(2, "entry", "entries")
    ('1 row', '1,234 rows', '2 entries')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def agreeing(text: str, number: int) -> str:
    """A sentence about a number, of whose ``[one|many]`` the word stays that goes with it; ``#`` is the number.

    >>> agreeing("# of 9 rows [is|are] cut", 1), agreeing("# of 9,000 rows [is|are] cut", 1200)
    ('1 of 9 rows is cut', '1,200 of 9,000 rows are cut')
    """
    chosen = re.sub(r"\[([^|\]]*)\|([^\]]*)\]", r"\1" if number == 1 else r"\2", text)
    return chosen.replace("#", f"{number:,}", 1)


def _path(path: os.PathLike[str]) -> str:
    """A path that no command takes for an option."""
    text = os.fspath(path)
    return f"./{text}" if text.startswith("-") else text


def _word(word: str) -> str:
    if visible(word) != word or not _can_be_shown(word):
        return f"$'{''.join(map(_escaped, word))}'"
    safe = shlex.quote(word)
    return f"'{word}'" if safe == word and word.startswith("=") else safe  # =word is a command's path to zsh


def _escaped(character: str) -> str:
    if character.isascii() and character.isprintable():
        return f"\\{character}" if character in "\\'" else character
    is_raw_byte = "\udc80" <= character <= "\udcff"  # of a file's name that is no UTF-8
    raw = character.encode("utf-8", "surrogateescape" if is_raw_byte else "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in raw)


def _can_be_shown(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


BOX = (
    "background:#fff;color:#1c1e22;border:1px solid #dedcd5;border-radius:8px;padding:10px 14px;"
    "font:14px/1.6 system-ui,sans-serif;overflow-wrap:anywhere"
)
"""Style of what a notebook shows."""
_CELL = 120
"""Characters of a value that a notebook shows."""


def html_box(title: str, content: str = "") -> str:
    """A title, which is escaped, above ``content``, which is HTML already."""
    return f'<div style="{BOX}"><b>{escape(visible(title))}</b>{content}</div>'


def html_lines(title: str, lines: Iterable[str]) -> str:
    """A title above lines of text; all of it is escaped."""
    return html_box(title, "".join(f"<div>{escape(visible(line))}</div>" for line in lines))


def html_facts(title: str, facts: Mapping[str, Any]) -> str:
    """A title above names and values; all of it is escaped."""
    return html_box(title, html_table((), [list(fact) for fact in facts.items()]))


def html_table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Cells of any values under ``names``, if there are some; all of it is escaped."""
    head = "".join(f"<th>{escape(visible(name))}</th>" for name in names)
    body = "".join("<tr>" + "".join(f"<td>{_cell(value)}</td>" for value in row) + "</tr>" for row in rows)
    return f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    text = visible(", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value))
    return escape(text if len(text) <= _CELL else f"{text[: _CELL - 1]}…")


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
