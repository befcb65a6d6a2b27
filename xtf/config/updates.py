"""How many updates a training makes, and whether warm-up leaves any of them a learning rate; nothing is loaded."""

from __future__ import annotations

import math

from xtf.config.run import RunConfig
from xtf.config.sections import TrainingConfig
from xtf.display import counted
from xtf.errors import ConfigError


def updates(config: TrainingConfig, examples: int, processes: int = 1) -> int:
    """Optimiser updates of one training on ``examples`` rows, each of ``processes`` taking batches of its own."""
    batches = math.ceil(examples / (config.batch_size * processes))
    per_epoch = math.ceil(batches / config.gradient_accumulation)
    return config.max_steps or math.ceil(config.epochs * per_epoch)


def refuse_zero_rates(config: TrainingConfig, examples: int, processes: int = 1, where: str = "training.") -> None:
    """Refuse a warm-up under which every learning rate is 0, so that nothing is learnt.

    Args:
        config: The training.
        examples: Rows that it learns from.
        processes: That share the batches.
        where: What comes before the names of settings in the message.

    Raises:
        ConfigError: every rate is 0.
    """
    if problem := _problem(config, examples, processes, where):
        raise ConfigError(problem)


def problems_of_rates(config: RunConfig) -> list[str]:
    """What :func:`refuse_zero_rates` would say, as far as a configuration alone tells how many rows there can be."""
    training = config.training
    if training is None or set(training.arms) == {"base"}:
        return []
    limits = [limit for limit in (training.max_examples, config.data.limit) if limit is not None]
    if not limits and training.max_steps is None:
        return []
    examples = min(limits, default=1) // (config.strategy.rounds or 1)
    problem = _problem(training, max(1, examples), 1, "training.")
    return [problem] if problem else []


def _problem(config: TrainingConfig, examples: int, processes: int, where: str) -> str | None:
    """Why every rate is 0; None if one is not.

    Warm-up takes its share of the updates, rounded up, and begins at 0. A second update has a rate above 0, within
    warm-up or after it, so that only a single one can be lost.
    """
    if config.warmup_ratio == 0.0 or updates(config, examples, processes) > 1:
        return None
    if config.max_steps is not None:
        why = f"{where}max_steps is 1"
    else:
        size = config.batch_size * config.gradient_accumulation * processes
        passes = "one pass" if config.epochs == 1.0 else f"{config.epochs:g} passes"
        why = f"{passes} over {counted(examples, 'example')}, {size:,} in an update"
    more = f"{where}epochs or {where}{'max_steps' if where else 'steps'}"
    return (
        f"{where}warmup_ratio: {config.warmup_ratio:g} of 1 update ({why}) makes every learning rate 0, since warm-up "
        f"begins at 0: nothing would be learnt. Give {where}warmup_ratio=0, or have more updates by {more}"
    )
