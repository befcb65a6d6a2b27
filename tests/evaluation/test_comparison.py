"""A whole comparison of arms on a tiny model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import xtf.evaluation.comparison as compare
from tests.evaluation.test_held_out import EXAMPLES
from tests.tiny import tiny_model, tiny_tokenizer
from xtf.config import EvaluationConfig, LoraSettings, TrainingConfig
from xtf.evaluation import ArmResult, Comparison, HeldOut, Leg, merge_results
from xtf.model import LoadedModel
from xtf.training import ARMS, Labelling, labelled_rows, resolve_auto, train_model

TRAINING = TrainingConfig(
    arms=ARMS, seeds=(0, 1), epochs=3, batch_size=2, learning_rate=1e-2, lora=LoraSettings(r=2, alpha=4)
)
EVALUATION = EvaluationConfig(max_new_tokens=8)


def run(
    folder: Path, model: Any = None, training: TrainingConfig = TRAINING, held_out: Any = None, **options: Any
) -> list[ArmResult]:
    noise = [item.is_response & (np.arange(len(item)) % 3 == 0) for item in EXAMPLES]
    even = [item.is_response & (np.arange(len(item)) % 2 == 0) for item in EXAMPLES]
    settings: dict[str, Any] = {"evaluation": EVALUATION, "fingerprint": "f", **options}
    model = tiny_model() if model is None else model
    comparison = Comparison(
        LoadedModel.from_objects(model, tiny_tokenizer(), settings["fingerprint"]),
        HeldOut(EXAMPLES[:2] if held_out is None else held_out),
        resolve_auto(training, model),
        settings["evaluation"],
    )
    return comparison.compare(EXAMPLES, {"xtf": Labelling(noise), "even": Labelling(even)}, folder)


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
    assert full.held_out_loss is not None
    assert base.held_out_loss is not None
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
    monkeypatch.setattr(compare, "token_losses", fail)
    assert run(tmp_path) == results
    with pytest.raises(AssertionError, match="kept results"):
        run(tmp_path, fingerprint="another base")


def test_bfloat16_compares_all_arms_in_bfloat16(tmp_path: Path) -> None:
    training = TRAINING.model_copy(update={"arms": ("base", "xtf"), "seeds": (3,), "dtype": "bfloat16"})
    evaluation = EvaluationConfig(exact_match=False)
    exact = run(tmp_path / "a", training=training.model_copy(update={"arms": ("base",), "dtype": "float32"}))
    half = run(tmp_path / "b", training=training, evaluation=evaluation)
    assert half[0].held_out_loss is not None
    assert exact[0].held_out_loss is not None
    assert 0 < abs(half[0].held_out_loss - exact[0].held_out_loss) < 0.1
    assert (half[1].exact_match, half[1].exact_total, half[1].seed) == (None, None, 3)


def test_a_limit_cuts_what_is_trained_on(tmp_path: Path) -> None:
    training = TRAINING.model_copy(update={"arms": ("full",), "seeds": (0,), "max_examples": 1})
    (result,) = run(tmp_path, training=training, evaluation=EvaluationConfig(exact_match=False))
    assert result.tokens_response == int(EXAMPLES[0].is_response.sum())


def test_arms_by_other_labels_and_controls_of_them(tmp_path: Path) -> None:
    training = TRAINING.model_copy(update={"arms": ("xtf", "even", "random_of_even"), "seeds": (0,)})
    results = {r.arm: r for r in run(tmp_path, training=training, evaluation=EvaluationConfig(exact_match=False))}
    masked = sum(
        int((item.is_response & ~item.is_protected & (np.arange(len(item)) % 2 == 0)).sum()) for item in EXAMPLES
    )
    assert results["even"].tokens_kept == results["even"].tokens_response - masked
    assert results["random_of_even"].tokens_kept == results["even"].tokens_kept != results["xtf"].tokens_kept
    assert results["random_of_even"].train_losses != results["even"].train_losses
    assert {result.steps for result in results.values()} == {6}


def test_without_held_out_examples_arms_are_trained_all_the_same(tmp_path: Path) -> None:
    training = TRAINING.model_copy(update={"arms": ("base", "xtf"), "seeds": (0,)})
    base, trained = run(tmp_path, training=training, held_out=[])
    assert (base.steps, trained.steps) == (0, 6)
    for result in (base, trained):
        assert (result.held_out_loss, result.held_out_tokens, result.exact_match, result.exact_total) == (
            None,
            0,
            None,
            None,
        )
    assert (tmp_path / "xtf-seed0/model/adapter_model.safetensors").exists()
    assert not (tmp_path / "xtf-seed0/answers.json").exists()
    assert run(tmp_path, training=training, held_out=[]) == [base, trained]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_legs_go_on_from_one_another_and_are_not_trained_twice(tmp_path: Path, method: str) -> None:
    settings = TRAINING.model_copy(update={"method": method, "epochs": 1.0, "warmup_ratio": 0.0})
    legs = [
        Leg(labelled_rows("full", part, {}, objective="mask", seed=0), tmp_path / str(index), evaluate=bool(index))
        for index, part in enumerate((EXAMPLES[:2], EXAMPLES[2:]))
    ]
    model = tiny_model()
    comparison = Comparison(
        LoadedModel.from_objects(model, tiny_tokenizer(), "f"), HeldOut(EXAMPLES[:1]), settings, EVALUATION
    )
    first, second = comparison.train("full", 0, legs)
    assert (first.held_out_loss, second.held_out_loss is None) == (None, False)
    fresh = comparison.train("full", 0, [Leg(legs[1].rows, tmp_path / "fresh")])[0]
    assert fresh.train_losses[0] != second.train_losses[0], "the second leg starts where the first ended"
    whole = merge_results([first, second])
    assert whole.steps == first.steps + second.steps
    assert whole.tokens_kept == whole.tokens_response == sum(int(item.is_response.sum()) for item in EXAMPLES)
    assert (whole.train_losses, whole.held_out_loss) == (
        first.train_losses + second.train_losses,
        second.held_out_loss,
    )
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    assert comparison.train("full", 0, legs) == [first, second]
    other = replace(comparison, loaded=replace(comparison.loaded, fingerprint="another base"))
    other.train("full", 0, legs)
    changed = [path for path, before in times.items() if path.stat().st_mtime_ns != before]
    assert {path.relative_to(tmp_path).parts[0] for path in changed} == {"0", "1"}
