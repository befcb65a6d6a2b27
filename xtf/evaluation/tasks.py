"""Benchmarks as the field reports them, by the lm-evaluation-harness (extra ``xtf-tokens[tasks]``)."""

from __future__ import annotations

import logging
import math
import random
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xtf.config import EvaluationConfig
from xtf.errors import ConfigError, did_you_mean
from xtf.evaluation.held_out import evaluating
from xtf.files import digest


@dataclass(frozen=True, slots=True)
class TaskResult:
    """One figure of one benchmark.

    Attributes:
        task: Name of the task or group in the harness.
        metric: As the harness calls it, with its filter: ``exact_match,strict-match``, ``acc``.
        value: What it comes to.
        error: Its standard error over rows, by the harness; None where it has none.
        rows: Rows that were asked.
        shots: Worked examples before each; None for a group of tasks.
    """

    task: str
    metric: str
    value: float
    error: float | None
    rows: int
    shots: int | None


def check_tasks(settings: EvaluationConfig) -> None:
    """Raise before anything is trained if ``settings.tasks`` cannot be run.

    Raises:
        ConfigError: the harness is not installed, there is no such folder, or it knows no task of that name.
    """
    if settings.tasks:
        _manager(settings)


def run_tasks(model: Any, tokenizer: Any, settings: EvaluationConfig) -> tuple[TaskResult, ...]:
    """What ``model`` scores in each of ``settings.tasks``; the parts of a group are summed up by the group.

    Raises:
        ConfigError: as :func:`check_tasks`, or a task fails: its data is not to be had, or it runs the model's code.
    """
    if not settings.tasks:
        return ()
    manager = _manager(settings)
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    with _undisturbed(), evaluating(model):
        harness: Any = HFLM
        try:
            found = simple_evaluate(
                harness(pretrained=model, tokenizer=tokenizer, batch_size=settings.batch_size),
                tasks=list(settings.tasks),
                num_fewshot=settings.tasks_fewshot,
                limit=settings.tasks_limit,
                task_manager=manager,
                log_samples=False,
                bootstrap_iters=1000,
            )
        except Exception as error:  # tasks are programs: they fetch data, compile patterns and call libraries
            reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise ConfigError(
                f"evaluation.tasks: {', '.join(settings.tasks)} cannot be run: {reason}. The harness downloads the "
                "data of its own tasks; tasks of your own lie under evaluation.tasks_folder"
            ) from error
    return tuple(_figures(found, settings))


def tasks_digest(settings: EvaluationConfig) -> str:
    """SHA-256 of the files of ``settings.tasks_folder``, whose change makes a benchmark another one."""
    if settings.tasks_folder is None or not settings.tasks:
        return ""
    folder = Path(settings.tasks_folder).expanduser()
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest([[str(path.relative_to(folder)), path.read_bytes().hex()] for path in files])


def _manager(settings: EvaluationConfig) -> Any:
    """The harness's list of tasks, with those of the user's folder."""
    if find_spec("lm_eval") is None:
        raise ConfigError(
            "evaluation.tasks: needs the lm-evaluation-harness, which is not installed. Install it: "
            "pip install 'xtf-tokens[tasks]'"
        )
    folder = None if settings.tasks_folder is None else Path(settings.tasks_folder).expanduser()
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"evaluation.tasks_folder: no folder {folder}. Give one with the YAML files of your tasks")
    manager = _read_manager(folder, tasks_digest(settings))
    for name in settings.tasks:
        if name not in manager.all_tasks:
            raise ConfigError(
                f"evaluation.tasks: the harness has no task {name!r}.{did_you_mean(name, manager.all_tasks)} "
                "`lm_eval ls tasks` lists them; those of your own lie under evaluation.tasks_folder"
            )
    return manager


@cache
def _read_manager(folder: Path | None, content: str) -> Any:
    """Read once what tasks there are, which takes seconds; again when the folder's ``content`` changes."""
    from lm_eval.tasks import TaskManager

    with _undisturbed():
        return TaskManager(include_path=None if folder is None else str(folder))


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Silence what the harness logs, and undo that it seeds the generators of this process."""
    kept = random.getstate(), np.random.get_state()
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        random.setstate(kept[0])
        np.random.set_state(kept[1])


def _figures(found: Mapping[str, Any], settings: EvaluationConfig) -> Iterator[TaskResult]:
    """The figures of each task and group, but not of the parts of a group that has figures of its own."""
    results, parts = found["results"], found.get("group_subtasks", {})
    summed = {name for name in parts if any(_is_figure(key, value) for key, value in results.get(name, {}).items())}
    hidden = {part for name in summed for part in parts[name]} - set(settings.tasks)
    for task, values in results.items():
        if task in hidden:
            continue
        count = values.get("sample_len") or found.get("n-samples", {}).get(task, {}).get("effective", 0)
        for key, value in values.items():
            if not _is_figure(key, value):
                continue
            metric, _, part = key.partition(",")
            error = values.get(f"{metric}_stderr,{part}")
            yield TaskResult(
                task=task,
                metric=metric if part in ("", "none") else key,
                value=float(value),
                error=float(error) if isinstance(error, int | float) and math.isfinite(error) else None,
                rows=int(count),
                shots=found.get("n-shot", {}).get(task),
            )


def _is_figure(key: str, value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and "," in key and not key.partition(",")[0].endswith("_stderr")
