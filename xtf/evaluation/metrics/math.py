r"""Mathematics: is the final answer equal to that of the reference?

``math-verify`` reads LaTeX and plain expressions and compares them by sympy; only which part of a text is its answer is
decided here. Numbers that both sides write plainly are compared as such, and so are several of them in words.
"""

from __future__ import annotations

import logging
import re
import threading
from functools import lru_cache
from typing import Any, ClassVar

from xtf.evaluation.final_answer import marked_answer
from xtf.evaluation.metric import Metric, Task, Verdict
from xtf.evaluation.numbers import NUMBER, figures, in_latex, numbers_alone, plain_number

_FORMULA = re.compile(r"\$\$(.+?)\$\$|\$([^$\n]+?)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.S)
_WORDS = re.compile(r"(?:(?!\\)[^\W\d_]{2,}[\s.,;'’-]*)+|[A-J][.)]?|\([A-J]\)")
_IN_BASE = re.compile(r"\(?(?P<digits>\w+?)\)?_\{?(?P<base>\d+)\}?")
_LONGEST = 300
_SECONDS = 5

logging.getLogger("math_verify").setLevel(logging.ERROR)  # it logs every answer that it cannot read


class MathAnswer(Metric):
    """The final answer equals that of the reference, as mathematics: 0.5 is \\frac12, 5√3 is not 2√3.

    Units, currency and percent signs do not count, magnitudes do: $1.5 million is 1500000. An answer of several numbers
    in words (2 hours 30 minutes, 3 or 5, 7 remainder 2) is right if all of them are the same, in the same order.
    """

    name: ClassVar[str] = "math"
    label: ClassVar[str] = "mathematics"

    def unfit(self, task: Task) -> str | None:
        expected = expected_answer(task.reference)
        if expected is None:
            return "the reference marks no final answer (####, \\boxed{}, the answer is …)"
        numbers = figures(expected) if plain_number(expected) is None else ()
        if numbers is None and (_WORDS.fullmatch(in_latex(expected)) or not _parsed(expected)):
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
        found = numbers_alone(answer.replace("**", ""))
    else:
        found = [next(part for part in match.groups() if part) for match in _FORMULA.finditer(answer)]
    return (
        found[-1].strip() if found else (answer.strip() or None if not number and "\n" not in answer.strip() else None)
    )


def _shortened(text: str) -> str:
    """A number without the words that follow it; anything else as it is."""
    text = text.strip()
    match = None if plain_number(text) is None else NUMBER.match(in_latex(text))
    return text if match is None else match.group().strip()


def _equal(expected: str, predicted: str) -> bool:
    numbers = plain_number(expected), plain_number(predicted)
    if numbers[0] is not None and numbers[1] is not None:
        return numbers[0] == numbers[1]
    ours, theirs = expected.strip("$ "), predicted.strip("$ ")
    if ours == theirs:
        return True
    several = figures(ours), figures(theirs)
    if re.search(r"[^\W\d_]", ours + theirs) and any(some is not None and len(some) > 1 for some in several):
        return several[0] == several[1]
    bases = _IN_BASE.fullmatch(ours), _IN_BASE.fullmatch(theirs)
    if any(bases):
        return all(bases) and len({one.group("digits", "base") for one in bases if one}) == 1
    from math_verify import verify

    gold, found = _parsed(expected), _parsed(predicted)
    return bool(gold and found and verify(gold, found, timeout_seconds=_timeout()))


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Any:
    """What math-verify reads; empty when it reads nothing, or the text is longer than any answer."""
    from math_verify import parse

    if len(text) > _LONGEST:
        return []
    number = plain_number(text)
    inner = str(number) if number is not None else in_latex(text).replace("−", "-").strip().strip("$")
    return parse(f"${inner}$", parsing_timeout=_timeout())


def _timeout() -> int | None:
    """Seconds; math-verify stops by a signal, which only the main thread receives."""
    return _SECONDS if threading.current_thread() is threading.main_thread() else None
