"""A whole comparison of arms on a tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import xtf.training.compare as compare
from tests.tiny import tiny_model, tiny_tokenizer
from tests.unit.test_evaluate import EXAMPLES
from tests.unit.test_train_trainer import one_thread
from xtf.config import EvaluationConfig, LoraSettings, TrainingConfig
from xtf.training import ARMS, ArmResult, compare_arms, mean_and_spread, train_model

__all__ = ["one_thread"]  # an autouse fixture

TRAINING = TrainingConfig(
    arms=ARMS, seeds=(0, 1), epochs=3, batch_size=2, learning_rate=1e-2, lora=LoraSettings(r=2, alpha=4)
)
EVALUATION = EvaluationConfig(max_new_tokens=8)


def run(folder: Path, model: Any = None, training: TrainingConfig = TRAINING, **options: Any) -> list[ArmResult]:
    noise = {item.example_id: item.is_response & (np.arange(len(item)) % 3 == 0) for item in EXAMPLES}
    settings: dict[str, Any] = {"evaluation": EVALUATION, "fingerprint": "f", **options}
    return compare_arms(
        tiny_model() if model is None else model,
        tiny_tokenizer(),
        EXAMPLES,
        noise,
        {},
        EXAMPLES[:2],
        training=training,
        output_dir=folder,
        **settings,
    )


def test_arms_are_trained_evaluated_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    results = run(tmp_path, model)
    assert [(result.arm, result.seed) for result in results] == [
        ("base", 0),
        *((arm, seed) for arm in ARMS[1:] for seed in (0, 1)),
    ]
    base, full, xtf = (next(r for r in results if r.arm == arm) for arm in ("base", "full", "xtf"))
    assert (base.steps, base.tokens_kept, base.exact_total) == (0, 0, 1)
    assert {result.steps for result in results[1:]} == {6}
    assert full.held_out_loss < base.held_out_loss
    assert (full.mask_share, full.tokens_kept) == (0.0, full.tokens_response)
    assert {result.tokens_kept for result in results if result.arm in ("xtf", "random", "inverted")} == {
        xtf.tokens_kept
    }
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert json.loads((tmp_path / "xtf-seed0/answers.json").read_text())[0]["expected"] == "7"

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("kept results must be used")

    (tmp_path / "full-seed1/result.json").unlink()
    trained: list[bool] = []

    def watched(*args: Any, **kwargs: Any) -> Any:
        trained.append((result := train_model(*args, **kwargs)).reused)
        return result

    monkeypatch.setattr(compare, "train_model", watched)
    assert run(tmp_path) == results
    assert trained == [True], "a trained arm whose evaluation was lost is only evaluated again"
    monkeypatch.setattr(compare, "train_model", fail)
    monkeypatch.setattr(compare, "held_out_loss", fail)
    assert run(tmp_path) == results
    with pytest.raises(AssertionError, match="kept results"):
        run(tmp_path, fingerprint="another base")


def test_bfloat16_compares_all_arms_in_bfloat16(tmp_path: Path) -> None:
    training = TRAINING.model_copy(update={"arms": ("base", "xtf"), "seeds": (3,), "dtype": "bfloat16"})
    evaluation = EvaluationConfig(exact_match=False)
    exact = run(tmp_path / "a", training=training.model_copy(update={"arms": ("base",), "dtype": "float32"}))
    half = run(tmp_path / "b", training=training, evaluation=evaluation)
    assert 0 < abs(half[0].held_out_loss - exact[0].held_out_loss) < 0.1
    assert (half[1].exact_match, half[1].exact_total, half[1].seed) == (None, None, 3)


def test_limits_cut_both_sets(tmp_path: Path) -> None:
    training = TRAINING.model_copy(update={"arms": ("full",), "seeds": (0,), "max_examples": 1})
    (result,) = run(tmp_path, training=training, evaluation=EvaluationConfig(limit=1, exact_match=False))
    assert result.tokens_response == result.held_out_tokens == int(EXAMPLES[0].is_response.sum())


def result(arm: str, seed: int, loss: float, correct: int | None) -> ArmResult:
    return ArmResult(arm, seed, 5, 100, 80, 0.2, 2.0, (), loss, 50, correct, None if correct is None else 10)


def test_mean_and_spread() -> None:
    one, two = mean_and_spread([result("full", 0, 1.0, 2), result("xtf", 0, 3.0, None), result("full", 1, 2.0, 4)])
    assert (one.arm, one.seeds, one.held_out_loss) == ("full", 2, 1.5)
    assert one.held_out_loss_sd == pytest.approx(0.5**0.5)
    assert one.exact_share == pytest.approx(0.3)
    assert one.exact_share_sd == pytest.approx(0.02**0.5)
    assert (two.arm, two.held_out_loss_sd, two.exact_share, two.exact_share_sd) == ("xtf", None, None, None)
