"""Sums that can be checked: whether ``48 / 2 = 24``, as people write it, holds.

A language model reads ``47 + 30 = 87`` with little surprise; a machine that adds knows that it is wrong. What cannot
be read for certain (a variable, a change of units, a function) is no sum, and says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

_LEXEME = re.compile(
    r"""
    (?P<blank> \s+ | \\[()\[\],;:!\ ] | \\(?:left|right|displaystyle|boxed|mathbf|quad|qquad)\b | [$€£]
      | (?<![\d)])\*\* | \*\*(?![-\d(]) )
  | (?P<frac> \\[dt]?frac (?=\s*\{) )
  | (?P<unit> \\(?:text|mathrm|textbf|mbox)\s*\{[^{}]*\} )
  | (?P<percent> \\?% )
  | (?P<number> (?:\d{1,3}(?:,\d{3})+(?!\d) | \d+)(?:\.\d+)? | \.\d+ )
  | (?P<power> \^ | \*\* )
  | (?P<times> \\times\b | \\cdot\b | \\ast\b | [*×·⋅] | (?<=\s)[xX](?=\s+-?[\d$(.\\]) | (?<=\d)[xX](?=\d) )
  | (?P<over> \\div\b | [/÷] )
  | (?P<plus> \+ )
  | (?P<minus> [-−–] )
  | (?P<open> [({[] )
  | (?P<close> [)}\]] )
  | (?P<equals> = (?![=>]) )
  | (?P<word> [^\W\d_]+(?:['’][^\W\d_]+)* | \\[A-Za-z]+ )
  | (?P<stop> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_CALCULATOR = re.compile(r"<<([^<>\n]{1,200})>>")
_LARGE = {"hundred", "thousand", "million", "billion", "trillion", "dozen", "dozens", "score", "k", "m", "bn"}
_OPERATORS = {"plus", "minus", "times", "of", "divided", "multiplied", "by", "over", "less", "more", "percent", "mod"}
_ENDS = {
    "and",
    "or",
    "so",
    "then",
    "is",
    "are",
    "was",
    "were",
    "which",
    "that",
    "but",
    "because",
    "since",
    "if",
    "than",
    "to",
}
_MOST_LEXEMES = 60
_MOST_DIGITS = 24


@dataclass(frozen=True, slots=True)
class Sum:
    """Two sides that are said to be equal.

    Attributes:
        start, end: Where it stands in the text, in characters.
        result: Where its right side begins.
        holds: Whether it is true, to the digits that are written.
    """

    start: int
    end: int
    result: int
    holds: bool


class _Lexeme(NamedTuple):
    kind: str
    text: str
    start: int
    end: int


def find_sums(text: str) -> list[Sum]:
    """The sums of a text whose truth can be told, in the order of their right sides."""
    if "=" not in text:
        return []
    inside = list(_CALCULATOR.finditer(text))
    plain = _CALCULATOR.sub(lambda match: " " * len(match[0]), text)
    found = _sums_of(plain, 0)
    for match in inside:
        found += _sums_of(match[1], match.start(1))
    return sorted(found, key=lambda one: one.result)


def find_numbers(text: str) -> list[tuple[int, int, str]]:
    """Where numbers stand, and what they say: digits alone, so that ``$1,200.00`` is the same as ``1200``."""
    found = []
    for match in re.finditer(r"\d+(?:,\d{3})*(?:\.\d+)?", text):
        digits = match[0].replace(",", "")
        found.append((*match.span(), digits.rstrip("0").rstrip(".") if "." in digits else digits))
    return found


def _sums_of(text: str, at: int) -> list[Sum]:
    lexemes = [one for one in _lexemes(text) if one.kind != "blank"]
    found = []
    for place, one in enumerate(lexemes):
        if one.kind == "equals":
            left, right = _before(lexemes, place), _after(lexemes, place)
            holds = _equal(left, right) if left and right else None
            if left and right and holds is not None:
                found.append(Sum(at + left.start, at + right.end, at + right.start, holds))
    return found


def _lexemes(text: str) -> Iterator[_Lexeme]:
    for match in _LEXEME.finditer(text):
        kind = match.lastgroup or "stop"
        if kind == "blank" and "\n" in match[0]:
            kind = "stop"
        yield _Lexeme(kind, match[0], *match.span())


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of a sum, read to its end.

    Attributes:
        value: Exactly.
        plain: Whether it is a number alone.
        bare: Whether it is a number or a fraction of two numbers alone.
        decimals: Digits behind the point, of a number alone.
        unit: The word behind it.
        in_percent: Whether a sign of percent stands in it.
    """

    start: int
    end: int
    value: Fraction
    plain: bool
    bare: bool
    decimals: int
    unit: str
    in_percent: bool


def _equal(left: _Side, right: _Side) -> bool | None:
    """Whether both sides say the same; None where it can't be told, as for ``1/2 hour = 30 minutes``."""
    if left.plain and right.plain:
        return None  # "12 = 12", "5 = 3": names of something, not sums
    if left.bare and left.value < 1 <= right.value:
        return None  # 1/2 = 30 minutes
    if (left.plain and left.unit) or (left.bare and left.unit not in ("", right.unit)):
        return None  # 2 kg = 2 * 1000
    if {left.unit, right.unit} & _LARGE:
        return None
    scales = (Fraction(1), Fraction(100), Fraction(1, 100)) if left.in_percent or right.in_percent else (Fraction(1),)
    return any(_same(left.value * scale, right) or _same(right.value / scale, left) for scale in scales)


def _same(value: Fraction, written: _Side) -> bool:
    """Whether a value is what is written, rounded or cut where it has more digits than are written."""
    if value == written.value:
        return True
    step = Fraction(1, 10**written.decimals)
    return written.plain and (value / step).denominator != 1 and abs(value - written.value) < step


def _before(lexemes: Sequence[_Lexeme], equals: int) -> _Side | None:
    """The longest expression that ends at a sign of equality and begins where one may begin."""
    first = equals
    while first > 0 and equals - first < _MOST_LEXEMES and lexemes[first - 1].kind not in ("stop", "equals"):
        first -= 1
    for start in range(first, equals):
        if _may_begin(lexemes, start):
            side = _read(lexemes[start:equals], whole=True)
            if side is not None:
                return side
    return None


def _may_begin(lexemes: Sequence[_Lexeme], start: int) -> bool:
    """Whether an expression may begin here: not in the middle of a longer one, nor behind the name of a function."""
    own = lexemes[start]
    stuck = own.end == lexemes[start + 1].start
    if not (
        own.kind in ("number", "frac") or (own.kind == "open" and own.text != "{") or (own.kind == "minus" and stuck)
    ):
        return False
    if start == 0:
        return True
    before = lexemes[start - 1]
    if before.kind == "word":
        if before.text.lower() in _ENDS:
            return before.end < own.start
        known = before.text.lower() not in _OPERATORS and len(before.text) > 1 and not before.text.startswith("\\")
        compound = start > 1 and lexemes[start - 2].kind == "number"  # 1 hour 20 minutes
        return known and not compound and before.end < own.start
    if before.kind == "minus":  # the mark of a list's item
        return before.end < own.start and (start == 1 or lexemes[start - 2].kind == "stop")
    return before.kind == "equals" or (before.kind == "stop" and before.text not in "_^&|'~!")


def _after(lexemes: Sequence[_Lexeme], equals: int) -> _Side | None:
    """The expression behind a sign of equality."""
    return _read(lexemes[equals + 1 : equals + 1 + _MOST_LEXEMES], whole=False)


def _read(lexemes: Sequence[_Lexeme], whole: bool) -> _Side | None:
    """Read an expression; ``whole``: up to the last lexeme, else as far as it goes."""
    reader = _Reader(lexemes)
    try:
        value = reader.sum()
    except (_Unreadable, ZeroDivisionError):
        return None
    read = lexemes[: reader.place]
    if reader.place < len(lexemes):
        after = lexemes[reader.place]
        stuck = after.start == reader.end and after.kind in ("word", "open", "number", "frac")
        if whole or stuck or after.kind in ("times", "over", "plus", "minus", "power"):
            return None
        if after.kind == "word" and after.text.lower() in _OPERATORS:
            return None
    numbers = [one for one in read if one.kind == "number"]
    works = sum(one.kind in ("times", "over", "plus", "minus", "power", "frac") for one in read)
    plain = len(numbers) == 1 and works == (read[0].kind == "minus")
    bare = plain or (works == 1 and reader.is_fraction)
    decimals = len(numbers[0].text.partition(".")[2]) if plain else 0
    in_percent = any(one.kind == "percent" for one in read)
    return _Side(read[0].start, reader.end, value, plain, bare, decimals, reader.unit, in_percent)


class _Unreadable(Exception):
    """It is no expression of numbers alone."""


class _Reader:
    """Reads ``+ - * / ^``, brackets and fractions; units behind numbers are passed over."""

    def __init__(self, lexemes: Sequence[_Lexeme]) -> None:
        self.lexemes = lexemes
        self.place = 0
        self.end = lexemes[0].start if lexemes else 0
        self.unit = ""
        self.is_fraction = False

    def sum(self) -> Fraction:
        total = self._product()
        while self._next() in ("plus", "minus"):
            sign = 1 if self._take().kind == "plus" else -1
            total += sign * self._product()
        return total

    def _product(self) -> Fraction:
        value = self._power()
        while True:
            kind = self._next()
            if kind == "times":
                self._take()
                value *= self._power()
            elif kind == "over":
                self.is_fraction = self._take().start == self.lexemes[self.place - 2].end
                if self._next() == "word":
                    self._pass_units(stuck=True)  # $194/meter
                else:
                    value /= self._power()
            elif kind == "open" and self.lexemes[self.place].start == self.end:
                value *= self._power()  # (8)(6)
            else:
                return value

    def _power(self) -> Fraction:
        if self._next() == "minus":
            self._take()
            return -self._power()
        base = self._atom()
        if self._next() == "power":
            self._take()
            exponent = self._power()
            if exponent.denominator != 1 or abs(exponent) > _MOST_DIGITS or abs(base) > 10**6:
                raise _Unreadable
            base = base ** int(exponent)
        return base

    def _atom(self) -> Fraction:
        kind = self._next()
        if kind == "number":
            digits = self._take().text.replace(",", "")
            if len(digits) > _MOST_DIGITS or (digits[0] == "0" and digits[1:2].isdigit()):
                raise _Unreadable
            value = Fraction(digits)
            if self._next() == "percent":
                self._take()
                value /= 100
            self._pass_units()
            return value
        if kind == "frac":
            self._take()
            self.is_fraction = True
            return self._group() / self._group()
        if kind == "open":
            value = self._group()
            self._pass_units()
            return value
        raise _Unreadable

    def _group(self) -> Fraction:
        if self._next() != "open":
            raise _Unreadable
        self._take()
        value = self.sum()
        if self._next() != "close":
            raise _Unreadable
        self._take()
        return value

    def _pass_units(self, stuck: bool = False) -> None:
        """Pass over the few words behind a number; ``stuck``: the first may stand right behind what is read."""
        begun = self.place
        while self._next() in ("word", "unit") and self.place - begun < 5:
            one = self.lexemes[self.place]
            if one.kind == "word":
                if one.text.lower() in _ENDS:
                    break
                if one.text.lower() in _OPERATORS or len(one.text) < 2 or one.text.startswith("\\"):
                    raise _Unreadable
                if one.start == self.end and not stuck:
                    raise _Unreadable
            self._take()
        words = self.lexemes[begun : self.place]
        self.unit = re.sub(r"\\[a-z]+|[^\w]", "", words[0].text.lower()) if words else ""

    def _next(self) -> str:
        return self.lexemes[self.place].kind if self.place < len(self.lexemes) else "end"

    def _take(self) -> _Lexeme:
        one = self.lexemes[self.place]
        self.place += 1
        self.end = one.end
        return one
