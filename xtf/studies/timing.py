"""What a study will take: from its trainings done already, or from a short trial."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from xtf.config import ModelConfig, refuse_zero_rates, updates
from xtf.data import DataReport, read_examples
from xtf.display import counted
from xtf.errors import RunError
from xtf.evaluation.answers import Generation, generate_answers
from xtf.evaluation.held_out import token_losses
from xtf.files import read_sealed_json
from xtf.model import LoadedModel
from xtf.progress import duration, progress
from xtf.studies.planning import Plan, Setting
from xtf.training import ArmRows, Labelling, TrainingJob, resolve_auto, train_model

TRIAL_UPDATES = 2
TRIAL_ROWS = 4


@dataclass(frozen=True, slots=True)
class Timing:
    """What a study will take.

    Attributes:
        training: Seconds for one training with what is measured of it, on average.
        done: Trainings that seem to be done.
        source: Where the figure is from, in words.
    """

    training: float
    done: int
    source: str


def time_of(plan: Plan, load: Callable[[ModelConfig], LoadedModel]) -> Timing:
    """Estimate a study's time; a trial is made only if no training has been timed.

    Args:
        plan: The study; its rows are there.
        load: Loads a model.
    """
    known = done_so_far(plan)
    if known is not None:
        return known
    with progress("Timing a trial", len(plan.settings), "settings") as advance:
        each = []
        for setting in plan.settings.values():
            each.append(_trial(setting, load(setting.config.model)))
            advance(1)
    return Timing(sum(each) / len(each), 0, f"a trial of {TRIAL_UPDATES} updates")


def done_so_far(plan: Plan) -> Timing | None:
    """What the trainings done say of the time; None if there is none."""
    seconds = [found for training in plan.trainings if (found := _seconds(plan, training.setting, training.name))]
    if not seconds:
        return None
    return Timing(sum(seconds) / len(seconds), len(seconds), f"the {counted(len(seconds), 'training')} done")


def _seconds(plan: Plan, setting: str, name: str) -> float | None:
    try:
        kept = read_sealed_json(plan.settings[setting].folder / "arms" / name / "result.json")
        return float(kept["facts"]["seconds"])
    except (RunError, KeyError, TypeError, ValueError):
        return None


def _trial(setting: Setting, loaded: LoadedModel) -> float:
    """Seconds that one training of a setting will take with what is measured of it."""
    config, training = setting.config, resolve_auto(setting.training, loaded.model)
    rows = list(islice(read_examples(config.data, loaded.tokenizer, DataReport()), training.max_examples))
    refuse_zero_rates(training, len(rows))
    held = config.data.model_copy(update=config.evaluation.model_dump(include={"path", "split", "limit"}))
    held_out = list(read_examples(held, loaded.tokenizer, DataReport()))
    short = training.model_copy(update={"max_steps": TRIAL_UPDATES, "save_steps": None, "report_to": ()})
    folder = setting.folder / "trial"
    arm = ArmRows("full", rows, Labelling(), objective="mask", seed=0)
    with train_model(loaded.model, loaded.tokenizer, arm, short, TrainingJob(folder, "trial", resume=False)) as done:
        started = time.monotonic()
        token_losses(done.model, held_out[:TRIAL_ROWS])
        losses = (time.monotonic() - started) / max(min(TRIAL_ROWS, len(held_out)), 1) * len(held_out)
        answers = 0.0
        if config.evaluation.exact_match:
            asked = held_out[: config.evaluation.exact_match_limit]
            started = time.monotonic()
            generate_answers(
                done.model, loaded.tokenizer, asked[:TRIAL_ROWS], Generation(config.evaluation.max_new_tokens)
            )
            batches = math.ceil(len(asked) / config.evaluation.batch_size)
            answers = (time.monotonic() - started) * batches
        update = done.seconds / max(done.steps, 1)
    shutil.rmtree(folder, ignore_errors=True)
    return update * updates(training, len(rows)) + losses + answers


def describe_plan(plan: Plan, timing: Timing | None) -> str:
    """What will be trained, and about how long that takes, in a few lines."""
    study, count = plan.study, len(plan.trainings)
    arms = list(dict.fromkeys(one.arm for one in plan.trainings))
    lines = [
        f"Study {plan.folder}: {counted(count, 'training')}: {counted(len(plan.settings), 'setting')} "
        f"({', '.join(plan.settings)}), {counted(len(study.seeds), 'seed')}, {counted(len(arms), 'arm')}",
        f"  {', '.join(arms[:12])}{f' and {len(arms) - 12} more' if len(arms) > 12 else ''}",
    ]
    if timing is not None:
        left = (count - timing.done) * timing.training
        done = f"{timing.done} done; the rest takes" if timing.done else "They take"
        lines.append(f"  {done} about {duration(left)} by {timing.source}; scoring, if needed, comes before.")
    return "\n".join(lines)
