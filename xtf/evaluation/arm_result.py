"""What one arm came to, and how it is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from xtf.evaluation.judging import MetricResult
from xtf.evaluation.tasks import TaskResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmResult:
    """One arm trained with one seed, on the held-out examples.

    ``mask_share`` is the share of response tokens that weigh nothing. ``held_out_loss`` is None when there are no
    held-out examples; ``losses`` holds, of each example in order, its sum over the response tokens and their number.
    ``metrics`` says what each metric makes of the generated answers, and ``fits`` how many of the ``answered`` rows
    each metric can judge; ``exact_match`` and ``exact_total`` are those of the first metric, None without one.
    ``tasks`` are the figures of benchmarks. The base is not trained: 0 steps, no tokens.
    """

    arm: str
    seed: int
    steps: int = 0
    tokens_response: int = 0
    tokens_kept: int = 0
    mask_share: float = 0.0
    train_seconds: float = 0.0
    train_losses: tuple[float, ...] = ()
    held_out_loss: float | None = None
    held_out_tokens: int = 0
    losses: tuple[tuple[float, int], ...] = ()
    metrics: tuple[MetricResult, ...] = ()
    answered: int = 0
    fits: Mapping[str, int] = field(default_factory=dict)
    tasks: tuple[TaskResult, ...] = ()

    @property
    def exact_match(self) -> int | None:
        """Right answers by the first metric."""
        return self.metrics[0].correct if self.metrics else None

    @property
    def exact_total(self) -> int | None:
        """Answers that the first metric judged."""
        return self.metrics[0].judged if self.metrics else None


def merge_results(results: Sequence[ArmResult]) -> ArmResult:
    """The legs of one training as one result: costs and tokens add up, the held-out figures are those of the last."""
    response, kept = sum(r.tokens_response for r in results), sum(r.tokens_kept for r in results)
    return replace(
        results[-1],
        steps=sum(result.steps for result in results),
        tokens_response=response,
        tokens_kept=kept,
        mask_share=1.0 - kept / max(response, 1),
        train_seconds=sum(result.train_seconds for result in results),
        train_losses=tuple(loss for result in results for loss in result.train_losses),
    )


def kept_result(path: Path, fingerprint: str) -> ArmResult | None:
    """The result that ``path`` holds, if it is whole and was made under ``fingerprint``."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("fingerprint", None) != fingerprint:
            return None
        metrics = [MetricResult(**{**m, "unjudged": _tuples(m["unjudged"])}) for m in content["metrics"]]
        tasks = tuple(TaskResult(**task) for task in content.get("tasks", ()))
        losses = tuple((float(loss), int(tokens)) for loss, tokens in content.get("losses", ()))
        parts = {
            "train_losses": tuple(content["train_losses"]),
            "losses": losses,
            "metrics": tuple(metrics),
            "tasks": tasks,
        }
        return ArmResult(**{**content, **parts})
    except (FileNotFoundError, ValueError, TypeError, AttributeError, KeyError):
        return None  # not there, or not what was written: the arm is trained or evaluated again


def _tuples(lists: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(values) for name, values in lists.items()}
