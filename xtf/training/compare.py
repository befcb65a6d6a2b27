"""Train every arm with every seed, evaluate each on the same held-out examples, and go on after an interruption."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from xtf.config import EvaluationConfig, TrainingConfig
from xtf.evaluation import exact_match, held_out_loss
from xtf.files import digest, write_json
from xtf.progress import progress as progress_bar
from xtf.tokens import BoolArray, FloatArray, TokenizedExample
from xtf.training.arms import arm_rows
from xtf.training.rows import TrainingRow
from xtf.training.trainer import train_model
from xtf.training.weights import held_in, weights_dtype


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One arm trained with one seed, on the held-out examples.

    ``mask_share`` is the share of response tokens that weigh nothing. The ``exact_*`` fields are None when no answers
    were generated. The base is not trained: 0 steps, no tokens.
    """

    arm: str
    seed: int
    steps: int
    tokens_response: int
    tokens_kept: int
    mask_share: float
    train_seconds: float
    train_losses: tuple[float, ...]
    held_out_loss: float
    held_out_tokens: int
    exact_match: int | None
    exact_total: int | None


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and sample standard deviation (None for one seed) of an arm over its seeds."""

    arm: str
    seeds: int
    held_out_loss: float
    held_out_loss_sd: float | None
    exact_share: float | None
    exact_share_sd: float | None
    mask_share: float
    train_seconds: float


def compare_arms(
    model: PreTrainedModel,
    tokenizer: Any,
    examples: Sequence[TokenizedExample],
    noise: Mapping[str, BoolArray],
    weights: Mapping[str, FloatArray],
    held_out: Sequence[TokenizedExample],
    *,
    training: TrainingConfig,
    evaluation: EvaluationConfig,
    output_dir: Path,
    fingerprint: str,
    resume: bool = True,
    progress: bool = False,
) -> list[ArmResult]:
    """Return one result for each arm and seed, in the order of the configuration; the base has a single one.

    Every arm starts from ``model`` as given, which is unchanged afterwards, and sees the same rows in the same order.
    ``output_dir/ARM-seedN/`` receives the trained model, ``answers.json`` with the generated numbers, and
    ``result.json``, from which an interrupted comparison goes on. ``fingerprint`` stands for the base model and its
    tokenizer; rows, held-out examples and settings are added here. ``training.max_examples`` and
    ``evaluation.limit`` cut ``examples`` and ``held_out``.
    """
    comparison = _Comparison(model, tokenizer, held_out[: evaluation.limit], training, evaluation, resume, progress)
    examples = examples[: training.max_examples]
    results = []
    with held_in(model, weights_dtype(training)):  # the base is evaluated in the same precision as the arms
        for arm in training.arms:
            if arm == "base":
                results.append(comparison.result(arm, training.seeds[0], [], output_dir / arm, fingerprint))
                continue
            for seed in training.seeds:
                rows = arm_rows(arm, examples, noise, weights, objective=training.objective, seed=seed)
                results.append(comparison.result(arm, seed, rows, output_dir / f"{arm}-seed{seed}", fingerprint))
    return results


def mean_and_spread(results: Sequence[ArmResult]) -> list[Spread]:
    """Summarise each arm over its seeds, in the order in which the arms appear."""
    spreads = []
    for arm in dict.fromkeys(result.arm for result in results):
        group = [result for result in results if result.arm == arm]
        losses = [result.held_out_loss for result in group]
        shares = [r.exact_match / r.exact_total for r in group if r.exact_match is not None and r.exact_total]
        spreads.append(
            Spread(
                arm=arm,
                seeds=len(group),
                held_out_loss=statistics.fmean(losses),
                held_out_loss_sd=_deviation(losses),
                exact_share=statistics.fmean(shares) if shares else None,
                exact_share_sd=_deviation(shares),
                mask_share=statistics.fmean(result.mask_share for result in group),
                train_seconds=statistics.fmean(result.train_seconds for result in group),
            )
        )
    return spreads


@dataclass(frozen=True, slots=True)
class _Comparison:
    """What all arms share."""

    model: PreTrainedModel
    tokenizer: Any
    held_out: Sequence[TokenizedExample]
    training: TrainingConfig
    evaluation: EvaluationConfig
    resume: bool
    progress: bool

    def result(self, arm: str, seed: int, rows: Sequence[TrainingRow], folder: Path, fingerprint: str) -> ArmResult:
        """Return the result kept in ``folder``, or train and evaluate and keep it there."""
        decisive = self.training.model_dump(mode="json", exclude={"arms", "seeds", "report_to", "save_steps"})
        trained = digest(fingerprint, arm, seed, decisive, _digest_of(rows))
        whole = digest(trained, self.evaluation.model_dump(mode="json"), _digest_of(self.held_out))
        path = folder / "result.json"
        kept = _kept_result(path, whole) if self.resume else None
        if kept is not None:
            return kept
        if arm == "base":
            result = self._evaluated(arm, seed, folder, self.model)
        else:
            result = self._trained(arm, seed, rows, folder, trained)
        write_json(path, {"fingerprint": whole, **asdict(result)})
        return result

    def _trained(self, arm: str, seed: int, rows: Sequence[TrainingRow], folder: Path, fingerprint: str) -> ArmResult:
        with train_model(
            self.model,
            self.tokenizer,
            rows,
            self.training,
            seed=seed,
            output_dir=folder,
            fingerprint=fingerprint,
            resume=self.resume,
            progress=self.progress,
        ) as done:
            return replace(
                self._evaluated(arm, seed, folder, done.model),
                steps=done.steps,
                tokens_response=done.tokens_response,
                tokens_kept=done.tokens_kept,
                mask_share=1.0 - done.tokens_kept / max(done.tokens_response, 1),
                train_seconds=done.seconds,
                train_losses=done.losses,
            )

    def _evaluated(self, arm: str, seed: int, folder: Path, model: Any) -> ArmResult:
        """Evaluate ``model``; what training cost is filled in by the caller."""
        passes = 2 if self.evaluation.exact_match else 1
        match = None
        with ExitStack() as stack:
            advance = None
            if self.progress:
                total = passes * len(self.held_out)
                advance = stack.enter_context(progress_bar(f"evaluating {folder.name}", total, "examples"))
            loss = held_out_loss(model, self.held_out, advance=advance)
            if self.evaluation.exact_match:
                match = exact_match(
                    model,
                    self.tokenizer,
                    self.held_out,
                    max_new_tokens=self.evaluation.max_new_tokens,
                    batch_size=self.evaluation.batch_size,
                    advance=advance,
                )
                write_json(folder / "answers.json", [asdict(answer) for answer in match.answers])
        correct, total_matched = (match.correct, match.total) if match is not None else (None, None)
        return ArmResult(arm, seed, 0, 0, 0, 0.0, 0.0, (), loss.loss, loss.tokens, correct, total_matched)


def _kept_result(path: Path, fingerprint: str) -> ArmResult | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    if content.pop("fingerprint", None) != fingerprint:
        return None
    return ArmResult(**{**content, "train_losses": tuple(content["train_losses"])})


def _digest_of(items: Sequence[TrainingRow] | Sequence[TokenizedExample]) -> str:
    hashed = hashlib.sha256()
    for item in items:
        last = item.weights if isinstance(item, TrainingRow) else item.is_protected
        hashed.update(f"{item.example_id}\n{len(item)}\n".encode())
        for array in (item.input_ids, item.is_response, last):
            hashed.update(array.tobytes())
    return hashed.hexdigest()


def _deviation(values: Sequence[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None
