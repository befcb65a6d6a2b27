"""Program text: telling it from prose, and taking it apart, whole or in fragments."""

from __future__ import annotations

import io
import keyword
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Sort = Literal["name", "number", "operator", "string"]
_SORTS: tuple[Sort, ...] = ("name", "number", "operator", "string")

_SIGN = re.compile(
    r"^\s*(def |class |return\b|import |from \w+ import|for .*[:{]\s*$|while .*[:{]\s*$|if .*[:{]\s*$|else\s*[:{]"
    r"|elif .*:\s*$|\w[\w.\[\]]* ?[-+*/|&]?= ?\S|.*[;{}]\s*$|#include|function |const |let |var |public |private "
    r"|print\(|\w+\(.*\)\s*$|@\w+)"
)
_FENCE = re.compile(r"```.*?\n(.*?)(?:```|\Z)", re.S)
_PIECE = re.compile(
    r"(?P<string>\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')|(?P<comment>#[^\n]*|//[^\n]*)"
    r"|(?P<number>\b\d+(?:\.\d+)?\b)|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<operator>\*\*=?|//=?|<<=?|>>=?|[-+*/%&|^]=|==|!=|<=|>=|->|&&|\|\||[-+*/%<>=!&|^])"
)


@dataclass(frozen=True, slots=True)
class Piece:
    """A lexical piece of program text, and the characters it covers."""

    sort: Sort
    text: str
    start: int
    end: int


def looks_like_code(text: str) -> bool:
    """Whether at least half of the non-empty lines, or a fenced block, look like program text."""
    if _FENCE.search(text):
        return True
    lines = [line for line in text.splitlines() if line.strip()]
    return len(lines) >= 2 and sum(bool(_SIGN.match(line)) for line in lines) >= 0.5 * len(lines)


def read_pieces(text: str) -> list[Piece]:
    """The names, numbers, operators and strings of program text; of its fenced blocks, where it has any.

    Python's own tokenizer where the text is Python; a simple lexer for fragments and other languages. Keywords are
    names too.
    """
    blocks = [(match.start(1), match.group(1)) for match in _FENCE.finditer(text)] or [(0, text)]
    return [
        Piece(piece.sort, piece.text, start + piece.start, start + piece.end)
        for start, block in blocks
        for piece in _python(block) or _by_pattern(block)
    ]


def _python(text: str) -> list[Piece]:
    """The pieces by Python's tokenizer, or none if it refuses the text."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    sorts: dict[int, Sort] = {
        tokenize.NAME: "name",
        tokenize.NUMBER: "number",
        tokenize.OP: "operator",
        tokenize.STRING: "string",
    }
    found = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type in sorts and token.string:
                (first, column), (last, stop) = token.start, token.end
                found.append(
                    Piece(sorts[token.type], token.string, starts[first - 1] + column, starts[last - 1] + stop)
                )
    except (tokenize.TokenError, IndentationError, SyntaxError):
        return []
    return [piece for piece in found if text[piece.start : piece.end] == piece.text]


def _by_pattern(text: str) -> list[Piece]:
    return list(_matches(text))


def _matches(text: str) -> Iterator[Piece]:
    for match in _PIECE.finditer(text):
        for sort in _SORTS:
            if match.lastgroup == sort:
                yield Piece(sort, match.group(), match.start(), match.end())


def is_keyword(name: str) -> bool:
    """Whether a name is a word of a language rather than the program's own."""
    return keyword.iskeyword(name) or keyword.issoftkeyword(name) or name in _WORDS_OF_LANGUAGES


_WORDS_OF_LANGUAGES = {
    *("function", "const", "let", "var", "new", "this", "self", "public", "private", "static", "void", "int", "float"),
    *("double", "char", "bool", "string", "switch", "case", "default", "null", "undefined", "true", "false", "struct"),
    *("typedef", "include"),
}
