"""The contract check of metrics: does one keep what comparisons rely on?

In a test file of your own package::

    from xtf.testing import check_metric

    def test_contract():
        check_metric(MyMetric(), tasks)  # rows of yours: some that it can judge, and one that it cannot
"""

from __future__ import annotations

from collections.abc import Sequence

from xtf.config import METRICS
from xtf.errors import PluginError
from xtf.evaluation.judging import load_metric
from xtf.evaluation.metric import Metric, Task, Verdict

_ANYTHING = (
    "",
    " ",
    "\n",
    "####",
    "\\boxed{",
    "The answer is",
    "$" * 999,
    "\0\ud800",
    "٣ 七",
    "```",
    "(" * 999,
    "9" * 5000,
)


def check_metric(metric: Metric, tasks: Sequence[Task]) -> None:
    """Hold a metric to its promises.

    It is found by its entry point; rows are judged or refused by their own content, alike every time; the reference is
    right, an empty answer is not, and no answer at all raises.

    Args:
        metric: The metric.
        tasks: Rows, at least one of which it can judge, and at least one of which it cannot.

    Raises:
        AssertionError: which promise is broken, and by which row.
    """
    name = f"metric {metric.name!r}"
    _check_found(metric, name)
    reasons = [metric.unfit(task) for task in tasks]
    assert reasons == [metric.unfit(task) for task in tasks], f"{name}: unfit answers otherwise the second time"
    for reason in reasons:
        assert reason is None or reason.strip(), f"{name}: an empty reason for a row that cannot be judged"
    fit = [task for task, reason in zip(tasks, reasons, strict=True) if reason is None]
    assert fit, f"{name}: give at least one row that it can judge"
    assert len(fit) < len(tasks), f"{name}: give a row that it cannot judge, too; it must say so by unfit"
    for task in fit:
        _check_task(metric, task, f"{name}, row {task.example_id!r}")


def _check_found(metric: Metric, name: str) -> None:
    assert metric.label.strip(), f"{name}: label is empty"
    assert metric.chosen in ("fitting", "last", "named"), f"{name}: chosen is {metric.chosen!r}"
    assert metric.name in METRICS.points(), f"{name}: no entry point of that name under {METRICS.group}"
    try:
        assert type(load_metric(metric.name)) is type(metric), f"{name}: its entry point is another class"
    except PluginError as error:
        raise AssertionError(str(error)) from None


def _check_task(metric: Metric, task: Task, place: str) -> None:
    right = metric.judge(task, task.reference)
    assert isinstance(right, Verdict), f"{place}: judge returned {type(right).__name__}, no Verdict"
    assert right.correct, f"{place}: the reference itself is judged wrong"
    assert right == metric.judge(task, task.reference), f"{place}: another verdict the second time"
    assert not metric.judge(task, "").correct, f"{place}: an empty answer is judged right"
    for answer in _ANYTHING:
        try:
            verdict = metric.judge(task, answer)
        except Exception as error:  # whatever a metric raises
            raise AssertionError(f"{place}: raises {type(error).__name__} for the answer {answer[:20]!r}") from error
        assert isinstance(verdict.correct, bool), f"{place}: correct is no bool for the answer {answer[:20]!r}"
