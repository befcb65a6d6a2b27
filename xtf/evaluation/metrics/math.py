r"""Mathematics: is the final answer equal to that of the reference?

``math-verify`` reads LaTeX and plain expressions and compares them by sympy; only which part of a text is its answer is
decided here. Numbers that both sides write plainly are compared as decimals.
"""

from __future__ import annotations

import logging
import re
import threading
from decimal import Decimal
from functools import lru_cache
from typing import Any, ClassVar

from xtf.evaluation.final_answer import marked_answer
from xtf.evaluation.metric import Metric, Task, Verdict

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+"
_NUMBER = re.compile(rf"\\?\$?\s*(?P<sign>[-−]?)\s*\\?\$?\s*(?P<digits>{_DIGITS})")
_ANY_NUMBER = re.compile(rf"(?:(?<![\w)\]}}])[-−])?\\?\$?(?:{_DIGITS})")
_LEADS_ON = re.compile(r"(?:[\w\\_{}.)\]]|[-−+*/÷×·^]\s*)$")
_FORMULA_FOLLOWS = re.compile(r"[^\W\d_]|\s*[-−+*/^_\\{}()\[\],:=<>·×÷!]\s*[\w\\({\[]")
_NO_END = re.compile(r"[^\W\d]|[.,]\d|[-−]\d|\s*[+*/^_\\=<>·×÷{(]\s*[\w\\({\[]|\s+[-−]\s*[\d\\({]")
_FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.S)
_WORDS = re.compile(r"(?:(?!\\)[^\W\d_]{2,}[\s.,;'’-]*)+|[A-J][.)]?|\([A-J]\)")
_LONGEST = 300
_SECONDS = 5

logging.getLogger("math_verify").setLevel(logging.ERROR)  # it logs every answer that it cannot read


class MathAnswer(Metric):
    """The final answer equals that of the reference, as mathematics: 0.5 is \\frac12, 5√3 is not 2√3."""

    name: ClassVar[str] = "math"
    label: ClassVar[str] = "mathematics"

    def unfit(self, task: Task) -> str | None:
        expected = expected_answer(task.reference)
        if expected is None:
            return "the reference marks no final answer (####, \\boxed{}, the answer is …)"
        if plain_number(expected) is None and (_WORDS.fullmatch(expected) or not _parsed(expected)):
            return "the reference's final answer is no mathematics"
        return None

    def judge(self, task: Task, answer: str) -> Verdict:
        expected = expected_answer(task.reference) or ""
        predicted = predicted_answer(answer, number=plain_number(expected) is not None)
        return Verdict(predicted is not None and _equal(expected, predicted), predicted, expected)


def expected_answer(reference: str) -> str | None:
    """The marked answer of a reference, or a reference that is nothing but a number or a formula."""
    marked = marked_answer(reference)
    if marked is not None:
        return _shortened(marked)
    whole = reference.strip().rstrip(".")
    formula = _FORMULA.fullmatch(whole)
    return whole if (plain_number(whole) is not None and " " not in whole) or formula else None


def predicted_answer(answer: str, *, number: bool) -> str | None:
    """The marked answer of a generated text; without a mark its last number that stands alone, or its last formula.

    Args:
        answer: Generated text.
        number: Whether a number is asked for.
    """
    marked = marked_answer(answer)
    if marked is not None:
        return _shortened(marked)
    if number:
        plain = answer.replace("**", "")
        found = [match.group() for match in _ANY_NUMBER.finditer(plain) if _stands_alone(plain, match)]
    else:
        found = [next(part for part in match.groups() if part) for match in _FORMULA.finditer(answer)]
    return (
        found[-1].strip() if found else (answer.strip() or None if not number and "\n" not in answer.strip() else None)
    )


def plain_number(text: str) -> Decimal | None:
    """The number that a text begins with, if no formula goes on from it; commas, currency and units do not matter."""
    match = _NUMBER.match(text.strip())
    if match is None or _FORMULA_FOLLOWS.match(text.strip(), match.end()):
        return None
    return Decimal(("-" if match["sign"] else "") + match["digits"].replace(",", ""))


def _stands_alone(text: str, number: re.Match[str]) -> bool:
    """Whether a number is no part of a word or a formula; what an equation ends in stands alone."""
    before = text[: number.start()].split("\n")[-1]
    return not _LEADS_ON.search(before) and not _NO_END.match(text, number.end())


def _shortened(text: str) -> str:
    """A number without the words that follow it; anything else as it is."""
    text = text.strip()
    match = _NUMBER.match(text)
    return text if match is None or plain_number(text) is None else match.group().strip()


def _equal(expected: str, predicted: str) -> bool:
    numbers = plain_number(expected), plain_number(predicted)
    if numbers[0] is not None and numbers[1] is not None:
        return numbers[0] == numbers[1]
    if expected.strip("$ ") == predicted.strip("$ "):
        return True
    from math_verify import verify

    gold, found = _parsed(expected), _parsed(predicted)
    return bool(gold and found and verify(gold, found, timeout_seconds=_timeout()))


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Any:
    """What math-verify reads; empty when it reads nothing, or the text is longer than any answer."""
    from math_verify import parse

    if len(text) > _LONGEST:
        return []
    inner = text.replace("−", "-").strip().strip("$")
    return parse(f"${inner}$", parsing_timeout=_timeout())


def _timeout() -> int | None:
    """Seconds; math-verify stops by a signal, which only the main thread receives."""
    return _SECONDS if threading.current_thread() is threading.main_thread() else None
