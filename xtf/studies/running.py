"""The job: settings made ready, trainings one after another, each kept; then what they say."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, overload

import numpy as np

from xtf.config import ModelConfig, StudyConfig
from xtf.errors import OutOfSpaceError, RunError
from xtf.evaluation.held_out_rows import digest_of
from xtf.files import digest, write_json
from xtf.model import LoadedModel, load_model
from xtf.progress import duration, notice, progress
from xtf.runs.folder import RunFolder
from xtf.studies.analysis import analyse
from xtf.studies.bench import Bench, bench_digest, make_bench, make_data
from xtf.studies.outcomes import Outcome, measure, read_outcome, rows_to_measure, write_outcome
from xtf.studies.planning import Plan, Training, candidate_name, explained, plan_study
from xtf.studies.timing import describe_plan, time_of
from xtf.training import ArmRows, Labelling, TrainingJob, TrainingRow, labelled_rows, train_model
from xtf.training.weights import held_in, weights_dtype


@dataclass
class Study:
    """A study while it runs.

    Attributes:
        plan: What is trained.
        outcomes: What has been measured, by training.
        failed: Trainings that came to nothing, and why.
        benches: Settings that are ready, and why others are not.
        chosen: Setting and arm to the candidate that was chosen.
        found: Those whose outcome an earlier start had written.
    """

    plan: Plan
    outcomes: dict[Training, Outcome] = field(default_factory=dict)
    failed: dict[Training, str] = field(default_factory=dict)
    benches: dict[str, Bench | str] = field(default_factory=dict)
    chosen: dict[tuple[str, str], str] = field(default_factory=dict)
    found: set[Training] = field(default_factory=set)


def run_study(study: StudyConfig) -> dict[str, Any]:
    """Train what is not there yet, measure it, and write ``study.json``; returns what that holds.

    A training that fails is said, listed and left out; the others go on, and the next start tries it again.

    Raises:
        ConfigError: the study, or a configuration that it names, is wrong.
        RunError: another process runs this study, or every training failed.
        OutOfSpaceError: the disk is full.
    """
    plan = plan_study(study)
    with RunFolder(plan.folder).lock():
        for setting in plan.settings.values():
            make_data(setting)
        models = _Models()
        timing = time_of(plan, models.load)
        for line in describe_plan(plan, timing).split("\n"):
            notice(line)
        running = Study(plan)
        with ExitStack() as stack:
            advance = stack.enter_context(progress("study", len(plan.trainings), "trainings"))
            for number, training in enumerate(plan.trainings, 1):
                _train_or_fail(running, training, models)
                advance(1, found=training in running.found)
                if not sys.stderr.isatty():
                    notice(_said(running, number, training))
        if not running.outcomes:
            raise RunError(f"{plan.folder}: every training failed. The first: {next(iter(running.failed.values()))}")
        found = analyse(running.plan, running.outcomes, running.failed, running.benches, running.chosen)
        write_json(plan.folder / "study.json", found)
    return found


class _Models:
    """The base models of a study; settings with the same one share it."""

    def __init__(self) -> None:
        self._loaded: dict[str, LoadedModel] = {}

    def load(self, config: ModelConfig) -> LoadedModel:
        """The model of a configuration.

        Raises:
            ModelError: it cannot be loaded.
        """
        key = config.model_dump_json()
        if key not in self._loaded:
            self._loaded[key] = load_model(config)
        return self._loaded[key]


def _train_or_fail(running: Study, training: Training, models: _Models) -> None:
    """Fill in the outcome of a training, or why there is none."""
    try:
        bench = _bench(running, training.setting, models)
        running.outcomes[training] = _outcome(running, bench, training)
    except OutOfSpaceError:
        raise
    except Exception as error:  # whatever one arm's plug-ins or its training raise must not lose the others
        running.failed[training] = explained(error)
        notice(f"{training.setting}, {training.arm}, seed {training.seed}: failed: {running.failed[training]}")


def _bench(running: Study, name: str, models: _Models) -> Bench:
    """The bench of a setting, made when it is first asked for.

    Raises:
        RunError: it could not be made; every training of this setting fails for the same reason.
    """
    if name not in running.benches:
        setting, study = running.plan.settings[name], running.plan.study
        part = study.development if any(arm.candidates for arm in study.arms.values()) else 0.0
        try:
            loaded = models.load(setting.config.model)
            running.benches[name] = make_bench(setting, loaded, part, study.retention)
        except OutOfSpaceError:
            raise
        except Exception as error:
            running.benches[name] = explained(error)
    found = running.benches[name]
    if isinstance(found, str):
        raise RunError(found)
    return found


def _outcome(running: Study, bench: Bench, training: Training) -> Outcome:
    """The outcome kept in the training's folder; or train, measure and keep it."""
    folder = running.plan.path_of(training)
    rows = Fed(_rows(running, bench, training)) if training.role != "base" else None
    config = bench.training
    decisive = config.model_dump(mode="json", exclude={"arms", "seeds", "report_to", "save_steps"})
    trained = digest(bench.loaded.fingerprint, training.seed, decisive, digest_of(rows) if rows is not None else None)
    answers = training.role not in ("candidate", "worst", "best", "chance")
    fingerprint = digest(trained, bench_digest(bench), answers)
    kept = read_outcome(folder, fingerprint, bench)
    if kept is not None:
        running.found.add(training)
        return kept
    started = time.monotonic()
    facts = {**_facts(running, bench, training), "fingerprint": fingerprint}
    with ExitStack() as stack:
        stack.enter_context(held_in(bench.loaded.model, weights_dtype(config)))  # as the arms are, so is the base
        model: Any = bench.loaded.model
        if rows is not None:
            job = TrainingJob(folder, trained, training.seed, progress=True)
            done = stack.enter_context(train_model(model, bench.loaded.tokenizer, rows, config, job))
            model = done.model
            facts |= {
                "updates": done.steps,
                "tokens_response": done.tokens_response,
                "tokens_learnt": done.tokens_kept,
                "train_losses": list(done.losses),
                "train_seconds": done.seconds,
                "order": rows.order,
            }
        advance = stack.enter_context(
            progress(f"measuring {training.name}", rows_to_measure(bench, answers=answers), "rows")
        )
        outcome = measure(model, bench, folder, answers=answers, advance=advance)
    outcome = replace(outcome, facts={**facts, "seconds": round(time.monotonic() - started, 2)})
    write_outcome(folder, outcome)
    return outcome


def _facts(running: Study, bench: Bench, training: Training) -> dict[str, Any]:
    """What a training was, for its ``result.json``: whoever doubts that arms are comparable finds it there."""
    return {
        "setting": training.setting,
        "arm": training.arm,
        "seed": training.seed,
        "role": training.role,
        "start": bench.loaded.fingerprint,
        "rows": _rows_digest(bench),
        "candidate": running.chosen.get((training.setting, training.of)) if training.role != "candidate" else None,
    }


def _rows_digest(bench: Bench) -> str:
    """SHA-256 of ids and tokens of the training rows, in order; the same in every arm."""
    whole = hashlib.sha256()
    for example in bench.examples:
        whole.update(f"{example.example_id}\n{len(example)}\n".encode() + example.input_ids.tobytes())
    return whole.hexdigest()


def _rows(running: Study, bench: Bench, training: Training) -> Sequence[TrainingRow]:
    """The rows of a training.

    Raises:
        RunError: the labels of its arm could not be made.
    """
    if training.role in ("worst", "best", "chance"):
        return _curve_rows(bench, training)
    objectives, plain = bench.setting.objectives, bench.setting.training.objective
    name = training.arm if training.role == "candidate" else _labels_of(running, training)
    if name in bench.failed:
        raise RunError(bench.failed[name])
    arm = name if training.role in ("full", "oracle", "method", "candidate") else f"{training.role}_of_{name}"
    objective = objectives.get(name, plain)
    return labelled_rows(arm, bench.examples, bench.labelled, objective=objective, seed=training.seed)


def _labels_of(running: Study, training: Training) -> str:
    """The labelling that an arm stands for: its own, or that of the candidate that its study chose.

    Raises:
        RunError: no candidate could be trained.
    """
    arm = running.plan.study.arms.get(training.of)
    if arm is None or not arm.candidates:
        return training.of or training.arm
    key = training.setting, training.of
    if key not in running.chosen:
        running.chosen[key] = _choose(running, *key, len(arm.candidates))
    return running.chosen[key]


def _choose(running: Study, setting: str, arm: str, count: int) -> str:
    """The candidate with the lowest loss on the development rows; of equal ones the first."""
    names = [candidate_name(arm, number) for number in range(1, count + 1)]
    bench = running.benches[setting]
    assert isinstance(bench, Bench)
    rows = [int(place) for place in np.flatnonzero(bench.development)]
    losses = {
        training.arm: float(np.concatenate([outcome.held_out[row] for row in rows]).mean(dtype=np.float64))
        for training, outcome in running.outcomes.items()
        if training.setting == setting and training.arm in names and rows
    }
    if not losses:
        raise RunError(f"{arm}: none of its candidates could be trained and judged on development rows")
    return min(losses, key=lambda name: losses[name])


def _curve_rows(bench: Bench, training: Training) -> Sequence[TrainingRow]:
    assert training.share is not None
    if training.role == "chance":
        random = np.random.default_rng([training.seed, 11])
        scores = [random.random(len(example), dtype=np.float32) for example in bench.examples]
    else:
        scores = bench.scores(training.of)
    labelling: Labelling = bench.curve_labelling(scores, training.share, largest=training.role == "best")
    return ArmRows("xtf", bench.examples, labelling, objective="mask", seed=training.seed)


class Fed(Sequence[TrainingRow]):
    """Rows that remember in which order they were fed to training.

    Attributes:
        order: Numbers of the rows, as they were asked for one at a time; only the last ones after a resumption.
    """

    def __init__(self, rows: Sequence[TrainingRow]) -> None:
        self._rows = rows
        self.order: list[int] = []

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[TrainingRow]:
        """Go through the rows without feeding them."""
        return iter(self._rows)

    @overload
    def __getitem__(self, index: int) -> TrainingRow: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[TrainingRow]: ...
    def __getitem__(self, index: int | slice) -> TrainingRow | Sequence[TrainingRow]:
        if isinstance(index, int | np.integer):
            self.order.append(int(index))
        return self._rows[index]


def _said(running: Study, number: int, training: Training) -> str:
    """One line on a training that is done."""
    count = len(running.plan.trainings)
    outcome = running.outcomes.get(training)
    what = f"[{number}/{count}] {training.setting}, {training.arm}, seed {training.seed}"
    if outcome is None:
        return f"{what}: failed"
    losses = np.concatenate([np.zeros(0, np.float32), *outcome.held_out])
    said = f"{what}: held-out loss {losses.mean(dtype=np.float64):.4f}"
    if training in running.found:
        return f"{said}; it was there"
    made = [float(one.facts["seconds"]) for found, one in running.outcomes.items() if found not in running.found]
    return f"{said}; about {duration((count - number) * sum(made) / len(made))} left"
