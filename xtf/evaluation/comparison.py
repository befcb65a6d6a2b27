"""Train every arm with every seed, evaluate each on the same held-out examples, and go on after an interruption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from xtf.config import EvaluationConfig, TrainingConfig
from xtf.evaluation.answers import Generation, generate_answers, stop_ids, task_of
from xtf.evaluation.arm_result import ArmResult, kept_result
from xtf.evaluation.held_out import LossResult, token_losses
from xtf.evaluation.held_out_rows import HeldOut, digest_of
from xtf.evaluation.judging import Judges, choose_judges
from xtf.evaluation.processes import Processes
from xtf.evaluation.tasks import check_tasks, run_tasks, tasks_digest
from xtf.files import digest, write_json
from xtf.model import LoadedModel
from xtf.progress import progress as progress_bar
from xtf.runs.worker import Worker
from xtf.tokens import TokenizedExample
from xtf.training.arms import ArmRows, Labelling, labelled_rows
from xtf.training.loop import training_arguments
from xtf.training.rows import TrainingRow
from xtf.training.trainer import TrainingJob, train_model
from xtf.training.weights import held_in, weights_dtype

_UNDECISIVE = {"arms", "seeds", "report_to", "save_steps", "gradient_checkpointing", "rescore_steps"}
"""Settings of training that do not decide a model; the last one counts with the rows that it labels anew."""


@dataclass(frozen=True)
class Leg:
    """One stretch of training: its rows, where it is kept, and whether the model is evaluated at its end."""

    rows: Sequence[TrainingRow]
    folder: Path
    evaluate: bool = True

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the rows, and of how they are labelled anew."""
        rescoring = self.rows.rescoring if isinstance(self.rows, ArmRows) else None
        rows = digest_of(self.rows)
        return rows if rescoring is None else digest(rows, rescoring.fingerprint)


@dataclass(frozen=True)
class Comparison:
    """Arms that start from one model and are evaluated on the same examples.

    Attributes:
        loaded: The base, unchanged by what is trained; its fingerprint stands for it and its tokenizer.
        held_out: It may have no examples: then only benchmarks are run.
        training: Without ``auto``: see :func:`xtf.training.resolve_auto`.
        evaluation: How answers are generated and judged; its ``limit`` was taken when ``held_out`` was read.
        resume: Whether what an earlier, interrupted comparison left is used.
        progress: Show bars when standard error is a terminal.
        merge: Whether a leg merges the adapter of the one before and trains a fresh one, instead of going on with it.
    """

    loaded: LoadedModel
    held_out: HeldOut
    training: TrainingConfig
    evaluation: EvaluationConfig
    resume: bool = field(default=True, kw_only=True)
    progress: bool = field(default=False, kw_only=True)
    merge: bool = field(default=False, kw_only=True)

    def compare(
        self, examples: Sequence[TokenizedExample], labellings: Mapping[str, Labelling], output_dir: Path
    ) -> list[ArmResult]:
        """One result for each arm and seed, in the order of the configuration; the base has a single one.

        Every arm sees the same rows in the same order. ``output_dir/ARM-seedN/`` receives the trained model,
        ``answers.json`` with the generated answers, and ``result.json``, from which an interrupted comparison goes on.

        Args:
            examples: What is trained on, up to ``training.max_examples``.
            labellings: What the arms name: ``xtf`` for the arms xtf, random and inverted.
            output_dir: A folder of this comparison alone.

        Raises:
            ConfigError: a metric that is not there, or that can judge none of the rows; a task that cannot be run.
        """
        check_tasks(self.evaluation)
        _ = self.judges  # what no metric can judge is said before anything is trained
        examples = examples[: self.training.max_examples]
        results = []
        for arm in self.training.arms:
            if arm == "base":
                results.append(self.base(output_dir / arm))
                continue
            for seed in self.training.seeds:
                rows = labelled_rows(arm, examples, labellings, objective=self.training.objective, seed=seed)
                results.append(self.train(arm, seed, [Leg(rows, output_dir / f"{arm}-seed{seed}")])[0])
        return results

    @cached_property
    def judges(self) -> Judges | None:
        """The metrics of the rows that are answered; None if none are.

        Raises:
            ConfigError: a metric that is not there, or that can judge none of the rows.
        """
        if not self.held_out.examples or not self.evaluation.exact_match:
            return None
        examples = self.held_out.examples[: self.evaluation.exact_match_limit]
        tasks = [task_of(item, self.held_out.rows.get(item.example_id, {}), self.loaded.tokenizer) for item in examples]
        return choose_judges(tasks, self.evaluation.metrics)

    @cached_property
    def processes(self) -> Processes:
        """Those of the launch, among which held-out examples are shared out."""
        if Worker.of_launch() is None:
            return Processes()
        arguments = training_arguments(self.loaded.model, self.training, 0, Path())  # which joins the launch
        return Processes(arguments.process_index, arguments.world_size)

    def base(self, folder: Path) -> ArmResult:
        """Evaluate the model as it is."""
        return self.result("base", self.training.seeds[0], Leg([], folder), self.loaded.fingerprint, None)

    def train(self, arm: str, seed: int, legs: Sequence[Leg]) -> list[ArmResult]:
        """Train from the base over all legs, each going on from the model of the one before; one result for each.

        Every leg has a learning-rate schedule of its own. Legs that are already there are not trained again.
        """
        results, start, done = [], None, self.loaded.fingerprint
        for leg in legs:
            results.append(self.result(arm, seed, leg, done, start))
            start, done = leg.folder / "model", self.trained_fingerprint(arm, seed, leg, done)
        return results

    def trained_fingerprint(self, arm: str, seed: int, leg: Leg, before: str) -> str:
        """Of the model after a leg; ``before`` is that of the model before it."""
        decisive = self.training.model_dump(mode="json", exclude=_UNDECISIVE)
        return digest(before, arm, seed, decisive, leg.digest, *(["merge"] if self.merge else []))

    def result(self, arm: str, seed: int, leg: Leg, before: str, start: Path | None) -> ArmResult:
        """Return the result kept in the leg's folder, or train and evaluate and keep it there.

        ``start`` is the folder of the model to go on from (None: the base), and ``before`` its fingerprint.
        """
        trained = self.trained_fingerprint(arm, seed, leg, before)
        settings = self.evaluation.model_dump(mode="json") if leg.evaluate else None
        whole = digest(trained, settings, self.held_out.digest, tasks_digest(self.evaluation))
        path = leg.folder / "result.json"
        kept = kept_result(path, whole) if self.resume else None
        if kept is not None:
            return kept
        dtype = weights_dtype(self.training)  # the base is evaluated in the precision of the arms
        with held_in(self.loaded.model, dtype):
            if arm == "base":
                result = self._evaluated(arm, seed, leg, self.loaded.model)
            else:
                result = self._trained(arm, seed, leg, trained, start)
        write_json(path, {"fingerprint": whole, **asdict(result)})
        return result

    def _trained(self, arm: str, seed: int, leg: Leg, fingerprint: str, start: Path | None) -> ArmResult:
        kept = {"merge": self.merge, "resume": self.resume, "progress": self.progress}
        job = TrainingJob(leg.folder, fingerprint, seed, start, **kept)
        with train_model(self.loaded.model, self.loaded.tokenizer, leg.rows, self.training, job) as done:
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
        untrained = ArmResult(arm=arm, seed=seed)
        if not leg.evaluate:
            return untrained
        untrained = replace(untrained, tasks=run_tasks(model, self.loaded.tokenizer, self.evaluation))
        examples, judges = self.held_out.examples, self.judges
        if not examples:
            return untrained
        answered = [item for item, asked in zip(examples, judges.asked if judges else (), strict=False) if asked]
        with ExitStack() as stack:
            advance = None
            if self.progress:
                total = len(self.processes.part(examples)) + len(self.processes.part(answered))
                advance = stack.enter_context(progress_bar(f"evaluating {leg.folder.name}", total, "examples"))
            losses = partial(token_losses, model, advance=advance)
            loss = LossResult.of(self.processes.spread(examples, losses))
            result = replace(untrained, held_out_loss=loss.loss, held_out_tokens=loss.tokens, losses=loss.by_example)
            if judges is None:
                return result
            tokenizer, stops = self.loaded.tokenizer, stop_ids(model, self.loaded.tokenizer, answered)
            settings = Generation(self.evaluation.max_new_tokens, self.evaluation.batch_size, stops)
            answers = partial(generate_answers, model, tokenizer, settings=settings, advance=advance)
            texts = self.processes.spread(answered, answers)
        metrics, shown = judges.judge(dict(zip((item.example_id for item in answered), texts, strict=True)))
        write_json(leg.folder / "answers.json", shown)
        return replace(result, metrics=tuple(metrics), answered=len(judges.tasks), fits=dict(judges.fits))
