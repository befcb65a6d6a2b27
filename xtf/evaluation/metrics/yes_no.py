"""Decisions: is it the same yes, no or maybe?"""

from __future__ import annotations

import re
from typing import ClassVar

from xtf.evaluation.final_answer import marked_answer
from xtf.evaluation.metric import Metric, Task, Verdict

_BEGINS = re.compile(
    r"\W*(?:text(?:bf)?\s*\{\W*)?(yes|no|maybe)(?![\w-])(?!\s+(?:one|body|longer|more|matter|doubt)\b)", re.IGNORECASE
)


class YesNo(Metric):
    """The decision marked as the answer, or with which the text begins, is that of the reference."""

    name: ClassVar[str] = "yes_no"
    label: ClassVar[str] = "yes / no / maybe"

    def unfit(self, task: Task) -> str | None:
        return "the reference says neither yes, no nor maybe" if decision(task.reference) is None else None

    def judge(self, task: Task, answer: str) -> Verdict:
        expected, predicted = decision(task.reference), decision(answer)
        return Verdict(predicted is not None and predicted == expected, predicted, expected or "")


def decision(text: str) -> str | None:
    """``yes``, ``no`` or ``maybe``: of the marked answer, of the first words, or of the last line; else None."""
    lines = text.strip().splitlines() or [""]
    last = lines[-1] if len(lines[-1].split()) == 1 else None
    for part in (marked_answer(text), text, last):
        match = _BEGINS.match(part) if part is not None else None
        if match:
            return match[1].lower()
    return None
