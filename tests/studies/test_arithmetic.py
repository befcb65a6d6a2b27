"""Generated arithmetic: every written step holds, and the metric of mathematics reads the answers."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest

from xtf.evaluation import Task
from xtf.evaluation.metrics.math import MathAnswer
from xtf.studies.arithmetic import MOST, arithmetic_rows

OPERATIONS = {"+": Fraction.__add__, "-": Fraction.__sub__, "×": Fraction.__mul__}
ONE = re.compile(r"(\d+) ([-+×]) (\d+)(?: = (-?\d+))?")


def value(a: str, sign: str, b: str) -> Fraction:
    return OPERATIONS[sign](Fraction(a), Fraction(b))


def test_every_step_holds_and_leads_to_the_answer() -> None:
    for row in arithmetic_rows(300):
        asked = ONE.search(row["question"])
        assert asked is not None
        steps = ONE.findall(row["answer"])
        assert len(steps) >= 2
        assert all(value(a, sign, b) == Fraction(result) for a, sign, b, result in steps)
        answer = row["answer"].rpartition("#### ")[2]
        assert Fraction(answer) == value(*asked.groups()[:3]) == Fraction(steps[-1][3])


def test_rows_are_distinct_and_decided_by_the_seed() -> None:
    rows = arithmetic_rows(600, seed=1)
    assert len({row["question"] for row in rows}) == len({row["id"] for row in rows}) == 600
    assert arithmetic_rows(60, seed=1) == rows[:60]
    assert arithmetic_rows(60, seed=2) != rows[:60]
    with pytest.raises(ValueError, match="different problems"):
        arithmetic_rows(MOST + 1)


def test_the_metric_of_mathematics_checks_the_answers() -> None:
    metric = MathAnswer()
    for row in arithmetic_rows(30):
        task = Task(row["id"], row["question"], row["answer"], row)
        assert metric.unfit(task) is None
        assert metric.judge(task, row["answer"]).correct
        wrong = row["answer"] + "1"
        assert not metric.judge(task, wrong).correct
