"""Choices: is the same option named, A to J?"""

from __future__ import annotations

import re
from typing import ClassVar

from xtf.evaluation.final_answer import marked_answer
from xtf.evaluation.metric import Metric, Task, Verdict

_OPTION = re.compile(
    r"\W*(?:\\text(?:bf)?\s*\{)?\s*(?:option|choice)?\s*\(?\**([A-J])\**\)?\}?(?:\s*[).:,;]|\s*$|\s*\n)"
)


class Choice(Metric):
    """The option named first, or marked as the answer, is that of the reference."""

    name: ClassVar[str] = "choice"
    label: ClassVar[str] = "choice"

    def unfit(self, task: Task) -> str | None:
        return "the reference names no option (A to J)" if option(task.reference) is None else None

    def judge(self, task: Task, answer: str) -> Verdict:
        expected, predicted = option(task.reference), option(answer)
        return Verdict(predicted is not None and predicted == expected, predicted, expected or "")


def option(text: str) -> str | None:
    """The letter of the marked answer, or with which the text begins: ``B``, ``(B)``, ``B. Paris``; else None."""
    for part in (marked_answer(text), text):
        match = _OPTION.match(part) if part is not None else None
        if match:
            return match[1]
    return None
