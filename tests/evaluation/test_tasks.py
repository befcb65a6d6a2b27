"""Benchmarks of the lm-evaluation-harness on each arm, with a small task of this repository and no network."""

from __future__ import annotations

import json
import math
import random
import statistics
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

import xtf.evaluation.tasks as tasks
from tests.evaluation.test_comparison import TRAINING, run
from tests.tiny import tiny_model, tiny_tokenizer
from xtf.config import EvaluationConfig, parse_config
from xtf.errors import ConfigError
from xtf.evaluation import HeldOut
from xtf.evaluation.tasks import check_tasks, run_tasks
from xtf.report.terminal import print_metrics
from xtf.steps.training import metrics_of

FOLDER = Path(__file__).parent / "benchmark"
SETTINGS = EvaluationConfig(tasks=("tiny_sums",), tasks_folder=str(FOLDER))
ROWS = [json.loads(line) for line in (FOLDER / "tiny_sums.jsonl").read_text().splitlines()]


def test_without_the_harness_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "find_spec", lambda name: None)
    check_tasks(EvaluationConfig())
    with pytest.raises(ConfigError, match=r"pip install 'xtf-tokens\[tasks\]'"):
        check_tasks(SETTINGS)


@pytest.fixture
def _harness(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("lm_eval", reason="needs the extra tasks")
    monkeypatch.chdir(Path(__file__).parents[2])
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "datasets")


def likelier(model: Any, question: str, places: slice = slice(None)) -> str:
    """Which of the two results the model finds likelier, by its own logits."""
    tokenizer: Any = tiny_tokenizer()

    def log_prob(answer: str) -> float:
        prompt, whole = (tokenizer(text)["input_ids"] for text in (question, f"{question} {answer}"))
        with torch.no_grad():
            logits = model(torch.tensor([whole])).logits[0].log_softmax(-1)
        return sum(float(logits[place - 1, whole[place]]) for place in range(len(prompt), len(whole)))

    return max(("7", "8"), key=log_prob)


@pytest.mark.usefixtures("_harness")
def test_accuracy_and_its_standard_error() -> None:
    model = tiny_model()
    state, drawn = torch.get_rng_state(), random.getstate()
    (found,) = run_tasks(model, tiny_tokenizer(), SETTINGS)
    right = [float(likelier(model, row["question"]) == row["answer"]) for row in ROWS]
    assert (found.task, found.metric, found.rows, found.shots) == ("tiny_sums", "acc", 6, 0)
    assert found.value == pytest.approx(statistics.fmean(right))
    assert found.error == pytest.approx(statistics.stdev(right) / math.sqrt(6))
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == drawn


@pytest.mark.usefixtures("_harness")
def test_settings_are_heeded() -> None:
    settings = SETTINGS.model_copy(update={"tasks_limit": 4, "tasks_fewshot": 1})
    (found,) = run_tasks(tiny_model(), tiny_tokenizer(), settings)
    assert (found.rows, found.shots) == (4, 1)


@pytest.mark.usefixtures("_harness")
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tasks": ("tiny_sum",)}, r"no task 'tiny_sum'. Did you mean 'tiny_sums'\?"),
        ({"tasks_folder": "not/there"}, "evaluation.tasks_folder: no folder not/there"),
    ],
)
def test_mistakes_are_named_before_training(changed: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        run(tmp_path, evaluation=SETTINGS.model_copy(update=changed))
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("_harness")
def test_each_arm_has_its_figures_and_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = TRAINING.model_copy(update={"arms": ("base", "xtf")})
    results = run(tmp_path, training=training, held_out=[], evaluation=SETTINGS)
    assert [len(result.tasks) for result in results] == [1, 1, 1]
    (base,) = run_tasks(tiny_model(), tiny_tokenizer(), SETTINGS)
    assert asdict(results[0].tasks[0]) == asdict(base)

    def fail(*args: Any) -> Any:
        raise AssertionError("kept results must be used")

    monkeypatch.setattr("xtf.evaluation.comparison.run_tasks", fail)
    assert run(tmp_path, training=training, held_out=[], evaluation=SETTINGS) == results

    config = parse_config({"model": {"path": "m"}, "data": {"path": "d"}, "evaluation": SETTINGS.model_dump()})
    metrics = metrics_of(config, results, 3, HeldOut())
    (of_xtf,) = metrics["arms"][1]["tasks"]
    values = [result.tasks[0].value for result in results[1:]]
    assert (of_xtf["task"], of_xtf["value"]["values"], len(of_xtf["error"])) == ("tiny_sums", values, 2)
    shown = StringIO()
    print_metrics(Console(file=shown, width=160), metrics)
    assert f"{base.value:.4f} ± {base.error:.4f}" in shown.getvalue()
