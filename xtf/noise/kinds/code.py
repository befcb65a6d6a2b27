"""Noise in program text: the small changes that make a bug."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xtf.noise.code import Piece, is_keyword, read_pieces
from xtf.noise.kind import Edit, Kind, Response, pick

_OPERATORS: tuple[tuple[str, ...], ...] = (
    ("<", "<=", ">", ">=", "==", "!="),
    ("+", "-", "*", "/", "//", "%", "**"),
    ("+=", "-=", "*=", "/="),
    ("&", "|", "^"),
    ("&&", "||"),
    ("<<", ">>"),
)
_ROW_OF = {operator: row for row in _OPERATORS for operator in row}
_WORDS = {"and": "or", "or": "and", "True": "False", "False": "True", "true": "false", "false": "true", "is": "is not"}
_WORDS |= {"min": "max", "max": "min", "any": "all", "all": "any", "break": "continue", "continue": "break"}
_CALLS: tuple[tuple[str, ...], ...] = (
    ("min", "max", "sum", "len"), ("sorted", "list", "set", "reversed"), ("append", "insert", "extend", "remove"),
    ("upper", "lower", "title", "swapcase"), ("startswith", "endswith"), ("strip", "lstrip", "rstrip"),
    ("int", "float", "str", "bool"), ("floor", "ceil", "round"), ("keys", "values", "items"), ("any", "all"),
    ("find", "index", "count"), ("push", "pop", "shift", "unshift"), ("isdigit", "isalpha", "isalnum"),
)  # fmt: skip
_CALL_OF = {name: row for row in _CALLS for name in row}


def _shuffled(pieces: list[Piece], random: np.random.Generator) -> Iterator[Piece]:
    return (pieces[int(i)] for i in random.permutation(len(pieces)))


def _pieces(response: Response) -> list[Piece]:
    return read_pieces(response.text) if response.is_code else []


class CodeOperator(Kind):
    """An operator, or a logical word, in place of another."""

    name = "code_operator"
    label = "a wrong operator"

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Replace an operator by another of its group, ``and`` by ``or``, ``True`` by ``False``."""
        for piece in _shuffled([p for p in _pieces(response) if p.text in _ROW_OF or p.text in _WORDS], random):
            if piece.text in _WORDS:
                yield Edit(piece.start, piece.end, _WORDS[piece.text])
            else:
                others = [other for other in _ROW_OF[piece.text] if other != piece.text]
                yield Edit(piece.start, piece.end, pick(others, random))


class CodeConstant(Kind):
    """A constant with another value."""

    name = "code_constant"
    label = "a wrong constant"

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Replace a whole number by a near one, or a short string by another of the program or an empty one."""
        pieces = _pieces(response)
        strings = sorted({p.text for p in pieces if p.sort == "string" and len(p.text) <= 12})
        for piece in _shuffled([p for p in pieces if p.sort in ("number", "string")], random):
            if piece.sort == "number" and piece.text.isdigit():
                near = [value for value in (int(piece.text) + d for d in (-2, -1, 1, 2, 10)) if value >= 0]
                yield Edit(piece.start, piece.end, str(near[int(random.integers(len(near)))]))
            elif piece.text in strings:
                others = [
                    text
                    for text in (*strings, piece.text[0] * 2, f"{piece.text[0]} {piece.text[0]}")
                    if text != piece.text
                ]
                yield Edit(piece.start, piece.end, pick(others, random))


class CodeName(Kind):
    """A variable in place of another."""

    name = "code_name"
    label = "a wrong variable"

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Replace a variable by another name of the same program."""
        pieces = _pieces(response)
        own = [
            p for i, p in enumerate(pieces) if p.sort == "name" and not is_keyword(p.text) and not _is_called(pieces, i)
        ]
        names = sorted({p.text for p in own})
        for piece in _shuffled(own, random) if len(names) > 1 else ():
            yield Edit(piece.start, piece.end, pick([name for name in names if name != piece.text], random))


class CodeCall(Kind):
    """A function or method in place of another."""

    name = "code_call"
    label = "a wrong call"

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Replace what is called by a relative of it, or by another function that the program calls."""
        pieces = _pieces(response)
        called = [
            p for i, p in enumerate(pieces) if p.sort == "name" and not is_keyword(p.text) and _is_called(pieces, i)
        ]
        names = sorted({p.text for p in called})
        for piece in _shuffled(called, random):
            others = [name for name in _CALL_OF.get(piece.text, names) if name != piece.text]
            if others:
                yield Edit(piece.start, piece.end, pick(others, random))


class OffByOne(Kind):
    """A bound or an index one too high or too low."""

    name = "off_by_one"
    label = "an index off by one"

    def propose(self, response: Response, random: np.random.Generator) -> Iterator[Edit]:
        """Put ``+ 1`` or ``- 1`` behind the last name or number before a closing bracket, or take such a term away."""
        pieces = _pieces(response)
        for i in random.permutation(max(len(pieces) - 1, 0)):
            piece, behind = pieces[int(i)], pieces[int(i) + 1]
            text = response.text
            if piece.text in ("+", "-") and behind.text == "1":
                start = piece.start - (text[piece.start - 1 : piece.start] == " ")
                yield Edit(start, behind.end, "")
            elif (
                piece.sort in ("name", "number")
                and text[piece.end : piece.end + 1] in ("]", ")")
                and not is_keyword(piece.text)
            ):
                yield Edit(piece.end, piece.end, pick((" + 1", " - 1"), random))


def _is_called(pieces: list[Piece], i: int) -> bool:
    return i + 1 < len(pieces) and pieces[i + 1].text == "(" and pieces[i + 1].start == pieces[i].end
