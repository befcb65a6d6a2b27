"""What a metric is: it says which rows it can judge, and whether a generated answer is right."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal


@dataclass(frozen=True, slots=True)
class Task:
    """One held-out row to answer.

    Attributes:
        example_id: Names the row.
        prompt: The text before the last response, without special tokens.
        reference: The last response of the row.
        row: The row as it was read, for metrics that need more of it than its texts (``test``, ``entry_point``, …).
    """

    example_id: str
    prompt: str
    reference: str
    row: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a metric makes of one generated answer.

    Attributes:
        correct: Whether it is right.
        predicted: What was taken for the answer; None when there was nothing to take.
        expected: What it was compared with.
    """

    correct: bool
    predicted: str | None
    expected: str


class Metric(ABC):
    """Judges generated answers, each as right or wrong; an instance judges all arms of a comparison.

    A metric is found by its entry point under ``xtf.metrics``, whose name is ``name``, and is made without arguments.
    ``xtf.testing.check_metric`` holds it to what is promised here.

    Attributes:
        name: As configurations name it.
        label: What tables call it.
        chosen: When ``evaluation.metrics: auto`` takes it: where it fits most rows (``fitting``), where besides no
            other does (``last``), or never, only when it is named (``named``).
    """

    name: ClassVar[str]
    label: ClassVar[str]
    chosen: ClassVar[Literal["fitting", "last", "named"]] = "fitting"

    @abstractmethod
    def unfit(self, task: Task) -> str | None:
        """Why the row cannot be judged, in a few words that many rows share; None if it can be.

        Looks at prompt, reference and row alone, never at an answer: the same rows are judged in every arm.
        """

    @abstractmethod
    def judge(self, task: Task, answer: str) -> Verdict:
        """Judge one answer to a task that :meth:`unfit` lets pass. The reference itself is always right.

        Args:
            task: What was asked.
            answer: Generated text, without special tokens; may be empty or anything at all, and raises nothing.
        """
