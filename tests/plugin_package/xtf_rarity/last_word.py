"""Last word: does the answer end in the word of the reference? For data that name their answer so."""

from __future__ import annotations

from typing import ClassVar, Literal

from xtf.evaluation import Metric, Task, Verdict


class LastWord(Metric):
    """The last words are the same."""

    name: ClassVar[str] = "last_word"
    label: ClassVar[str] = "last word"
    chosen: ClassVar[Literal["fitting", "last", "named"]] = "named"

    def unfit(self, task: Task) -> str | None:
        return None if task.reference.split() else "the reference has no words"

    def judge(self, task: Task, answer: str) -> Verdict:
        expected, words = task.reference.split()[-1], answer.split()
        predicted = words[-1] if words else None
        return Verdict(predicted == expected, predicted, expected)
