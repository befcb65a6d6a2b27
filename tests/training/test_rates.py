"""A training whose every learning rate is 0 is refused before it begins; transformers' own schedulers say which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import get_scheduler

import xtf
from tests.conftest import tiny_config, write_config
from tests.tiny import tiny_model
from tests.training.test_trainer import CONFIG, train
from xtf.api import plan_study
from xtf.config import refuse_zero_rates, updates
from xtf.errors import ConfigError
from xtf.training.loop import training_arguments

ONE_UPDATE = {"max_steps": 1, "warmup_ratio": 0.03, "batch_size": 2}


def rates(arguments: Any, count: int) -> list[float]:
    """The learning rate of each of ``count`` updates."""
    optimiser = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    warm_up = arguments.get_warmup_steps(count)
    scheduler = get_scheduler(arguments.lr_scheduler_type, optimiser, warm_up, count)
    found = []
    for _ in range(count):
        found.append(float(optimiser.param_groups[0]["lr"]))
        optimiser.step()
        scheduler.step()
    return found


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
@pytest.mark.parametrize("warm_up", [0.0, 1e-300, 0.03, 0.5, 0.99, 1.0])
def test_what_is_refused_is_what_would_learn_nothing(schedule: str, warm_up: float, tmp_path: Path) -> None:
    for epochs, examples in ((1.0, 4), (0.1, 40), (1.0, 5), (2.0, 4), (3.0, 12)):
        changes = {"schedule": schedule, "warmup_ratio": warm_up, "epochs": epochs, "batch_size": 4}
        config = CONFIG.model_copy(update=changes)
        found = rates(training_arguments(tiny_model(), config, 0, tmp_path), updates(config, examples))
        if any(found):
            refuse_zero_rates(config, examples)
        else:
            with pytest.raises(ConfigError, match="makes every learning rate 0"):
                refuse_zero_rates(config, examples)


def test_processes_share_the_batches() -> None:
    config = CONFIG.model_copy(update={"warmup_ratio": 0.1, "epochs": 1.0, "batch_size": 4})
    refuse_zero_rates(config, 8)
    with pytest.raises(ConfigError, match=r"of 1 update \(one pass over 8 examples, 8 in an update\)"):
        refuse_zero_rates(config, 8, processes=2)


def test_the_trainer_itself_refuses(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^warmup_ratio: 1 of 1 update \(max_steps is 1\)"):
        train(tmp_path, config=CONFIG.model_copy(update={"max_steps": 1, "warmup_ratio": 1.0}))
    assert not (tmp_path / "model").exists()


def test_it_is_said_as_soon_as_it_is_known(tmp_path: Path, tiny_folder: Path) -> None:
    config = tiny_config(tmp_path, tiny_folder, training=ONE_UPDATE)
    with pytest.raises(ConfigError, match=r"training\.warmup_ratio: 0.03 of 1 update .* Give training\.warmup_ratio=0"):
        xtf.load_config(config)
    few = {**config, "training": {"epochs": 1, "batch_size": 4}}
    xtf.load_config(few)
    xtf.load_config({**few, "data": {**config["data"], "limit": 5}})
    with pytest.raises(ConfigError, match="one pass over 4 examples, 4 in an update"):
        xtf.load_config({**few, "data": {**config["data"], "limit": 4}})
    xtf.load_config({**config, "training": {**ONE_UPDATE, "arms": ["base"]}})
    few["evaluation"] = {"path": config["data"]["path"]}
    base = write_config(tmp_path / "base.yaml", few)
    study = {"config": str(base), "arms": {"mine": {"attributes": ["random"]}}, "changes": {"training": ONE_UPDATE}}
    with pytest.raises(ConfigError, match=r"setting data: training\.warmup_ratio"):
        plan_study(study)
    influence = {"influence": {"reference": {"share": 0.5, "steps": 1, "warmup_ratio": 0.1}}}
    with pytest.raises(ConfigError, match="warmup_ratio: with steps: 1 every learning rate would be 0"):
        xtf.load_config({**config, "training": None, "attributes": influence})


def test_a_run_and_its_rounds_are_refused_before_a_model_learns(tmp_path: Path, tiny_folder: Path) -> None:
    one_pass = {"epochs": 1, "batch_size": 12, "arms": ["full"]}
    run = xtf.run({**tiny_config(tmp_path, tiny_folder), "attributes": {"random": {}}})
    with pytest.raises(ConfigError, match=r"training\.warmup_ratio: 0.03 of 1 update \(one pass over 12 examples"):
        xtf.train(run, [f"training={one_pass}"])
    assert not (run.path / "model").exists()
    assert xtf.open_run(run.path).config.training is None, "what was refused is not kept either"
    evolving = tiny_config(
        tmp_path,
        tiny_folder,
        output=str(tmp_path / "evolving"),
        attributes={"influence": {}},
        strategy={"kind": "self_evolving", "rounds": 3},
        training={"epochs": 1, "batch_size": 4},
    )
    with pytest.raises(ConfigError, match="one pass over 4 examples, 4 in an update"):
        xtf.run(evolving)
    assert not (tmp_path / "evolving/rounds").exists()
