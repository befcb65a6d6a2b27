"""Which metrics fit the held-out rows, and what they make of generated answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from xtf.config import METRICS
from xtf.errors import ConfigError, PluginError
from xtf.evaluation.metric import Metric, Task, Verdict

_MOST = 0.5


@dataclass(frozen=True, slots=True)
class MetricResult:
    """One metric on the answers of one arm.

    Attributes:
        name: Of the metric.
        label: As tables call it.
        correct: Answers that are right.
        judged: Rows that it can judge.
        unjudged: Why it cannot judge the others, to their example ids.
    """

    name: str
    label: str
    correct: int
    judged: int
    unjudged: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Judges:
    """The metrics that judge a set of rows.

    Attributes:
        tasks: The rows.
        metrics: Those chosen, the first is the one that ``exact_match`` of ``metrics.json`` holds.
        unfit: Name to example id to why that metric cannot judge the row.
        fits: Name of every metric that was looked at to the number of rows that it can judge.
    """

    tasks: Sequence[Task]
    metrics: Sequence[Metric]
    unfit: Mapping[str, Mapping[str, str]]
    fits: Mapping[str, int] = field(default_factory=dict)

    @property
    def asked(self) -> list[bool]:
        """For each row, whether any metric can judge it; the others need no answer."""
        return [any(task.example_id not in self.unfit[m.name] for m in self.metrics) for task in self.tasks]

    def judge(self, answers: Mapping[str, str]) -> tuple[list[MetricResult], list[dict[str, Any]]]:
        """The result of each metric, and a row for each answer with what was compared.

        Args:
            answers: Example id to generated text, for the rows that are :attr:`asked`.
        """
        verdicts = {metric.name: self._verdicts(metric, answers) for metric in self.metrics}
        results = [self._result(metric, verdicts[metric.name]) for metric in self.metrics]
        return results, [_shown(task.example_id, answers[task.example_id], verdicts) for task in self._asked()]

    def _asked(self) -> list[Task]:
        return [task for task, asked in zip(self.tasks, self.asked, strict=True) if asked]

    def _verdicts(self, metric: Metric, answers: Mapping[str, str]) -> dict[str, Verdict]:
        unfit = self.unfit[metric.name]
        return {t.example_id: metric.judge(t, answers[t.example_id]) for t in self.tasks if t.example_id not in unfit}

    def _result(self, metric: Metric, verdicts: Mapping[str, Verdict]) -> MetricResult:
        reasons: dict[str, list[str]] = {}
        for example_id, reason in self.unfit[metric.name].items():
            reasons.setdefault(reason, []).append(example_id)
        correct = sum(verdict.correct for verdict in verdicts.values())
        unjudged = {reason: tuple(ids) for reason, ids in reasons.items()}
        return MetricResult(metric.name, metric.label, correct, len(verdicts), unjudged)


def _shown(example_id: str, answer: str, verdicts: Mapping[str, Mapping[str, Verdict]]) -> dict[str, Any]:
    """One row of ``answers.json``: the text, and the verdict of each metric; the first one's also on its own."""
    own = {name: verdict[example_id] for name, verdict in verdicts.items() if example_id in verdict}
    by_metric = {
        name: {"predicted": v.predicted, "expected": v.expected, "correct": v.correct} for name, v in own.items()
    }
    return {"example_id": example_id, **next(iter(by_metric.values())), "answer": answer, "metrics": by_metric}


def choose_judges(tasks: Sequence[Task], chosen: Sequence[str] | Literal["auto"]) -> Judges:
    """The metrics named, or with ``auto`` those that can judge at least half of the rows.

    Raises:
        ConfigError: a name that no metric has, or a named metric that can judge no row.
    """
    if chosen == "auto":
        return _fitting(tasks)
    metrics = [_loaded(name) for name in chosen]
    unfit = {metric.name: _unfit(metric, tasks) for metric in metrics}
    for name, rows in unfit.items():
        if tasks and len(rows) == len(tasks):
            reasons = "; ".join(f"{count} × {reason}" for reason, count in Counter(rows.values()).most_common(3))
            raise ConfigError(f"evaluation.metrics: {name} can judge none of the {len(tasks)} held-out rows: {reasons}")
    return Judges(tasks, metrics, unfit, {name: len(tasks) - len(rows) for name, rows in unfit.items()})


def load_metric(name: str) -> Metric:
    """The metric of this name.

    Raises:
        PluginError: there is none, or what is installed under it is no metric.
    """
    found = METRICS.load(name)
    if not (isinstance(found, type) and issubclass(found, Metric)) or found.name != name:
        raise PluginError(f"metric {name!r} of {METRICS.provider(name)} is no xtf.evaluation.Metric of that name")
    return found()


def _loaded(name: str) -> Metric:
    try:
        return load_metric(name)
    except PluginError as error:
        raise ConfigError(f"evaluation.metrics: {error}") from None


def _fitting(tasks: Sequence[Task]) -> Judges:
    candidates = [metric for metric in map(_loaded, sorted(METRICS.points())) if metric.chosen != "named"]
    unfit = {metric.name: _unfit(metric, tasks) for metric in candidates}
    fits = {name: len(tasks) - len(rows) for name, rows in unfit.items()}
    good = [metric for metric in candidates if tasks and fits[metric.name] >= _MOST * len(tasks)]
    metrics = [metric for metric in good if metric.chosen == "fitting"] or good
    metrics.sort(key=lambda metric: -fits[metric.name])
    return Judges(tasks, metrics, {metric.name: unfit[metric.name] for metric in metrics}, fits)


def _unfit(metric: Metric, tasks: Sequence[Task]) -> dict[str, str]:
    reasons = ((task.example_id, metric.unfit(task)) for task in tasks)
    return {example_id: reason for example_id, reason in reasons if reason is not None}
