"""Sums that can be checked, and what is made of them: against Python's own arithmetic, and by hand."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from xtf_attributes.label_quality.arithmetic import find_numbers, find_sums
from xtf_attributes.label_quality.checks import FAILS, HOLDS, KNOWN, NEW, WRONG_RESULT, check_batch
from xtf_attributes.label_quality.spelling import Spelling

from xtf.tokens import TokenBatch, TokenizedExample

BY_HAND: list[tuple[str, list[bool]]] = [
    ("5 + 3 = 8", [True]),
    ("5 + 3 = 9", [False]),
    ("She sold 48/2 = <<48/2=24>>24 clips.", [True, True]),
    ("She sold 48/2 = <<48/2=25>>24 clips.", [False, True]),
    ("4 bags x 12 pounds per bag = 48 pounds", [True]),
    ("$194/meter × 150 meters = $29,100.", [True]),
    ("B = (-8 + -4 - -9 - 7) = (-8 + -4 + 9 + 7) = (-12 + 12) = 0.", [False, False, True]),
    (r"so \(4 \times 3 = 12\) miles", [True]),
    (r"\[x = \frac{51}{3} = 18\]", [False]),
    (r"\left(8\right)(6) = \boxed{48}", [True]),
    ("3500 pounds ÷ 2250 pounds per trip = 1.55 trips", [True]),  # cut, not rounded
    ("100/3 = 33.33 and 100/3 = 33.4", [True, True]),
    ("10 / 4 = 2.6", [False]),  # 2.5 can be written as it is
    ("20% * 50 = 10", [True]),
    (r"30\% \times 8000 = 0.3 \times 8000 = 2,400", [True, True]),
    ("5*2=10+3=13", [False, True]),
    ("3 × $5 = $15 and 15 + 2 = $18", [True, False]),
    ("**5 + 3 = 8**", [True]),
    ("- 6 x 6 = 36", [True]),
    ("2^10 = 1024, 2**3 = 9", [True, False]),
    ("30 minutes / 60 minutes per hour = 0.5 hours", [True]),
]
NO_SUMS = [
    "x + 5 = 8",
    "2x + 3 = 7",
    "3x-5=16",
    "51 = 3x",
    "f(2) = 5",
    "a_{14} = 7 * 299",
    "1/2 hour = 30 minutes",
    "1/2 = 30 minutes",
    "12 hours = 720 minutes",
    "2 kg = 2 * 1000",
    "2.5 million * 2 = 5 thousand",
    "0900-0130 = 0730 hours",
    "3 times Darcy last year = 3*15",
    "1 hour 20 minutes = (60+30) minutes",
    "9 books each week = 45 books / 9 books per week",
    "width = 5, height = 3",
    "if a == 3 + 4 or 3 + 4 >= 8 or 3 + 4 != 8",
    "log_2{8}=3",
    "1/0 = 5",
    "9^9^9 = 1",
]


@pytest.mark.parametrize(("text", "expected"), BY_HAND)
def test_sums_by_hand(text: str, expected: list[bool]) -> None:
    assert [one.holds for one in find_sums(text)] == expected


@pytest.mark.parametrize("text", NO_SUMS)
def test_what_cannot_be_told_is_no_sum(text: str) -> None:
    assert find_sums(text) == []


numbers = st.integers(1, 999).map(str)
expressions = st.recursive(
    numbers,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/"]), inner).map(lambda t: f"{t[0]} {t[1]} {t[2]}"),
        inner.map(lambda one: f"({one})"),
        inner.map(lambda one: f"-({one})"),
    ),
    max_leaves=6,
)


def by_python(expression: str) -> Fraction | None:
    """The value, by Python's own parser."""
    wrapped = "".join(f"Fraction({part})" if part.isdigit() else part for part in _split(expression))
    try:
        return Fraction(eval(wrapped, {"Fraction": Fraction}))
    except ZeroDivisionError:
        return None


def _split(expression: str) -> list[str]:
    parts = [""]
    for letter in expression:
        if letter.isdigit() == parts[-1].isdigit():
            parts[-1] += letter
        else:
            parts.append(letter)
    return parts


@given(expressions, expressions, st.booleans())
def test_whether_two_expressions_are_equal_is_what_python_says(left: str, right: str, same: bool) -> None:
    value, other = by_python(left), by_python(right)
    if same and value is not None and value.denominator == 1:
        right, other = str(value), value
    found = find_sums(f"We get {left} = {right}.")
    if value is None or other is None:
        assert found == []
    for one in found:
        rounded = right.isdigit() and value is not None and value.denominator > 1 and abs(value - Fraction(right)) < 1
        cut = left.isdigit() and other is not None and other.denominator > 1 and abs(other - Fraction(left)) < 1
        assert one.holds == (value == other or rounded or cut)
    if value is not None and other is not None and any(sign in left for sign in "+*") and not left.startswith("-"):
        assert len(found) == 1


def test_where_a_sum_stands() -> None:
    text = "First, 3 + 4 = 8 apples; then 8 * 2 = 16."
    first, second = find_sums(text)
    assert (text[first.start : first.result], text[first.result : first.end]) == ("3 + 4 = ", "8 apples")
    assert (text[second.start : second.end], second.holds) == ("8 * 2 = 16", True)


def test_numbers_say_the_same_however_they_are_written() -> None:
    assert [value for _, _, value in find_numbers("$1,200.00 or 1200, 0.50 or 100")] == ["1200", "1200", "0.5", "100"]


def test_a_text_of_many_signs_takes_no_longer_than_its_length() -> None:
    assert find_sums("1 + " * 5000 + "= " * 5000) == []
    assert find_sums("(" * 50_000 + "=" + ")" * 50_000) == []


def batch_of(prompt: str, answer: str) -> tuple[TokenBatch, bytes]:
    """One example, a token a byte."""
    text = (prompt + answer).encode()
    ids = np.array(list(text), np.int32)
    inside = np.arange(len(ids)) >= len(prompt.encode())
    return TokenBatch.collate([TokenizedExample("e", ids, inside, np.zeros(len(ids), np.bool_))]), text


def test_features_by_hand() -> None:
    spelling = Spelling([bytes([i]) for i in range(256)])
    batch, text = batch_of("Anna has 12 pens. ", "12 + 5 = 18, été 7 * 2 = 14, so 99 and 99.")
    found = check_batch(batch, spelling)[0]

    def marked(column: int) -> str:
        return bytes(text[i] for i in found[:, column].nonzero()[:, 0].tolist()).decode()

    assert marked(FAILS) == "12 + 5 = 18"
    assert marked(WRONG_RESULT) == "18"
    assert marked(HOLDS) == "7 * 2 = 14"
    assert marked(KNOWN) == "1299"  # the answer's 12, and the second 99
    assert marked(NEW) == "12" + "5" + "18" + "7" + "2" + "99"


def test_spelling_is_read_by_characters_and_survives_saving() -> None:
    pieces = [b"a", b"\xc3", b"\xa9\xe2\x82", b"\xac", b"\xff", "𝛼".encode(), b" b"]
    spelling = Spelling.of_state(Spelling(pieces).state())
    assert list(spelling.pieces) == pieces
    text, begins = spelling.read(np.arange(8))
    assert text == "aé€\udcff𝛼 b\x00"
    assert begins.tolist() == [0, 1, 1, 2, 3, 4, 5, 7, 8]
    assert spelling.ends_step.tolist() == [False] * 7
    assert torch.equal(Spelling([b"a.", b"b! ", b"\n", b"c"]).ends_step, torch.tensor([True, True, True, False]))
