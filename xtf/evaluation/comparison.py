"""Train every arm with every seed, evaluate each on the same held-out examples, and go on after an interruption."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from xtf.config import EvaluationConfig, TrainingConfig
from xtf.evaluation.held_out import exact_match, held_out_loss
from xtf.files import digest, write_json
from xtf.progress import progress as progress_bar
from xtf.tokens import TokenizedExample
from xtf.training.arms import Labelling, labelled_rows
from xtf.training.rows import TrainingRow
from xtf.training.trainer import train_model
from xtf.training.weights import held_in, settled, weights_dtype


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One arm trained with one seed, on the held-out examples.

    ``mask_share`` is the share of response tokens that weigh nothing. ``held_out_loss`` is None when there are no
    held-out examples; the ``exact_*`` fields are None when no answers were generated. The base is not trained: 0 steps,
    no tokens.
    """

    arm: str
    seed: int
    steps: int
    tokens_response: int
    tokens_kept: int
    mask_share: float
    train_seconds: float
    train_losses: tuple[float, ...]
    held_out_loss: float | None
    held_out_tokens: int
    exact_match: int | None
    exact_total: int | None


@dataclass(frozen=True)
class Leg:
    """One stretch of training: its rows, where it is kept, and whether the model is evaluated at its end."""

    rows: Sequence[TrainingRow]
    folder: Path
    evaluate: bool = True

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the rows."""
        return _digest_of(self.rows)


def compare_arms(
    model: PreTrainedModel,
    tokenizer: Any,
    examples: Sequence[TokenizedExample],
    labellings: Mapping[str, Labelling],
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
    ``evaluation.limit`` cut ``examples`` and ``held_out``. ``labellings`` holds what the arms name: ``xtf`` for the
    arms xtf, random and inverted.
    """
    training = settled(training, model)
    comparison = Comparison(
        model, tokenizer, held_out[: evaluation.limit], training, evaluation, fingerprint, resume, progress
    )
    examples = examples[: training.max_examples]
    results = []
    for arm in training.arms:
        if arm == "base":
            results.append(comparison.base(output_dir / arm))
            continue
        for seed in training.seeds:
            rows = labelled_rows(arm, examples, labellings, objective=training.objective, seed=seed)
            results.append(comparison.train(arm, seed, [Leg(rows, output_dir / f"{arm}-seed{seed}")])[0])
    return results


@dataclass(frozen=True, slots=True)
class Comparison:
    """What all arms share; see :func:`compare_arms`.

    ``held_out`` may be empty: then nothing is evaluated. The dtype of ``training`` is settled, not ``auto``.
    """

    model: PreTrainedModel
    tokenizer: Any
    held_out: Sequence[TokenizedExample]
    training: TrainingConfig
    evaluation: EvaluationConfig
    fingerprint: str
    resume: bool = True
    progress: bool = False

    def base(self, folder: Path) -> ArmResult:
        """Evaluate the model as it is."""
        return self.result("base", self.training.seeds[0], Leg([], folder), self.fingerprint, None)

    def train(self, arm: str, seed: int, legs: Sequence[Leg]) -> list[ArmResult]:
        """Train from the base over all legs, each going on from the model of the one before; one result for each.

        Every leg has a learning-rate schedule of its own. Legs that are already there are not trained again.
        """
        results, start, done = [], None, self.fingerprint
        for leg in legs:
            results.append(self.result(arm, seed, leg, done, start))
            start, done = leg.folder / "model", self.trained_fingerprint(arm, seed, leg, done)
        return results

    def trained_fingerprint(self, arm: str, seed: int, leg: Leg, before: str) -> str:
        """Of the model after a leg; ``before`` is that of the model before it."""
        decisive = self.training.model_dump(mode="json", exclude={"arms", "seeds", "report_to", "save_steps"})
        return digest(before, arm, seed, decisive, leg.digest)

    def result(self, arm: str, seed: int, leg: Leg, before: str, start: Path | None) -> ArmResult:
        """Return the result kept in the leg's folder, or train and evaluate and keep it there.

        ``start`` is the folder of the model to go on from (None: the base), and ``before`` its fingerprint.
        """
        trained = self.trained_fingerprint(arm, seed, leg, before)
        settings = self.evaluation.model_dump(mode="json") if leg.evaluate else None
        whole = digest(trained, settings, _digest_of(self.held_out))
        path = leg.folder / "result.json"
        kept = _kept_result(path, whole) if self.resume else None
        if kept is not None:
            return kept
        with held_in(self.model, weights_dtype(self.training)):  # the base is evaluated in the precision of the arms
            if arm == "base":
                result = self._evaluated(arm, seed, leg, self.model)
            else:
                result = self._trained(arm, seed, leg, trained, start)
        write_json(path, {"fingerprint": whole, **asdict(result)})
        return result

    def _trained(self, arm: str, seed: int, leg: Leg, fingerprint: str, start: Path | None) -> ArmResult:
        with train_model(
            self.model,
            self.tokenizer,
            leg.rows,
            self.training,
            seed=seed,
            output_dir=leg.folder,
            fingerprint=fingerprint,
            start=start,
            resume=self.resume,
            progress=self.progress,
        ) as done:
            return replace(
                self._evaluated(arm, seed, leg, done.model),
                steps=done.steps,
                tokens_response=done.tokens_response,
                tokens_kept=done.tokens_kept,
                mask_share=1.0 - done.tokens_kept / max(done.tokens_response, 1),
                train_seconds=done.seconds,
                train_losses=done.losses,
            )

    def _evaluated(self, arm: str, seed: int, leg: Leg, model: Any) -> ArmResult:
        """Evaluate ``model``; what training cost is filled in by the caller."""
        untrained = ArmResult(arm, seed, 0, 0, 0, 0.0, 0.0, (), None, 0, None, None)
        if not leg.evaluate or not self.held_out:
            return untrained
        answered = self.held_out[: self.evaluation.exact_match_limit]
        with ExitStack() as stack:
            advance = None
            if self.progress:
                total = len(self.held_out) + (len(answered) if self.evaluation.exact_match else 0)
                advance = stack.enter_context(progress_bar(f"evaluating {leg.folder.name}", total, "examples"))
            loss = held_out_loss(model, self.held_out, advance=advance)
            result = replace(untrained, held_out_loss=loss.loss, held_out_tokens=loss.tokens)
            if not self.evaluation.exact_match:
                return result
            match = exact_match(
                model,
                self.tokenizer,
                answered,
                max_new_tokens=self.evaluation.max_new_tokens,
                batch_size=self.evaluation.batch_size,
                advance=advance,
            )
        write_json(leg.folder / "answers.json", [asdict(answer) for answer in match.answers])
        return replace(result, exact_match=match.correct, exact_total=match.total)


def joined(results: Sequence[ArmResult]) -> ArmResult:
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


def _kept_result(path: Path, fingerprint: str) -> ArmResult | None:
    """The result that ``path`` holds, if it is whole and was made under ``fingerprint``."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("fingerprint", None) != fingerprint:
            return None
        return ArmResult(**{**content, "train_losses": tuple(content["train_losses"])})
    except (FileNotFoundError, ValueError, TypeError, AttributeError, KeyError):
        return None  # not there, or not what was written: the arm is trained or evaluated again


def _digest_of(items: Sequence[TrainingRow] | Sequence[TokenizedExample]) -> str:
    hashed = hashlib.sha256()
    for item in items:
        last = item.weights if isinstance(item, TrainingRow) else item.is_protected
        hashed.update(f"{item.example_id}\n{len(item)}\n".encode())
        for array in (item.input_ids, item.is_response, last):
            hashed.update(array.tobytes())
    return hashed.hexdigest()
