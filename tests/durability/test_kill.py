"""Killed at any moment and started again, every step ends with what an uninterrupted run writes."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file

from tests.conftest import write_config
from tests.durability.conftest import THOROUGHNESS, small_config
from tests.durability.driver import Driver
from xtf.files import read_sealed_json

TRAINING = {"arms": ["full", "xtf"], "epochs": 2, "batch_size": 4, "save_steps": 1}
RELABEL = ("--set", "thresholds.knowledge_novelty.cut=0.9969")
KILLS = {"score": 4, "label": 3, "train": 4, "report": 2}
"""How often each step is killed; ``make fuzz``: twenty times as often, at other moments."""
SEED = 20 if THOROUGHNESS == 1 else None


def steps(folder: Path) -> dict[str, tuple[object, ...]]:
    """The command of each step of the run under ``folder``."""
    run = folder / "run"
    return {
        "score": ("score", folder / "a.yaml"),
        "label": ("label", run, *RELABEL),
        "train": ("train", run),
        "report": ("report", run),
    }


def undo(step: str, run: Path) -> None:
    """Take back what a step wrote."""
    for path in {
        "score": [run],
        "label": [run / "labels", run / "state/labels", run / "state/rules.json"],
        "train": [run / "model", run / "metrics.json"],
        "report": [run / "report.html"],
    }[step]:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path, forked: Driver) -> Path:
    """A whole run, and beside it in ``cost.json`` what each step takes."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    write_config(folder / "a.yaml", small_config(folder, tiny_folder, training=TRAINING))
    ended = {step: forked.done(*command) for step, command in steps(folder).items()}
    (folder / "cost.json").write_text(json.dumps({step: [e.operations, e.seconds] for step, e in ended.items()}))
    return folder


@pytest.mark.parametrize("step", list(KILLS))
def test_killed_and_started_again(
    uninterrupted: Path, tmp_path: Path, tiny_folder: Path, forked: Driver, step: str
) -> None:
    write_config(tmp_path / "a.yaml", small_config(tmp_path, tiny_folder, training=TRAINING))
    operations, seconds = json.loads((uninterrupted / "cost.json").read_text())[step]
    commands = steps(tmp_path)
    for before in list(commands)[: list(commands).index(step)]:
        forked.done(*commands[before])
    chance, kills, at_operation = random.Random(SEED), 0, True
    while kills < KILLS[step] * THOROUGHNESS:
        if at_operation:
            kill: dict[str, Any] = {"kill_at": chance.randint(1, max(operations // 2, 2))}
        else:
            kill = {"delay": chance.uniform(0.0, seconds)}
        ended = forked.run(*commands[step], **kill)
        assert ended.killed or ended.code == 0, ended.text
        if ended.killed:
            kills, at_operation = kills + 1, not at_operation
        else:
            undo(step, tmp_path / "run")
    forked.done(*commands[step])
    same_run(tmp_path / "run", uninterrupted / "run", list(commands)[: list(commands).index(step) + 1])
    if step == "report":  # which names its folder
        forked.done("report", tmp_path / "run", "-o", tmp_path / "whole.html")
        assert (tmp_path / "run/report.html").read_bytes().__hash__() == (
            tmp_path / "whole.html"
        ).read_bytes().__hash__()


def same_run(left: Path, right: Path, done: list[str]) -> None:
    """Every file of two runs holds the same values, after the steps in ``done``."""
    compared: dict[str, list[tuple[str, Callable[[Path], Any]]]] = {
        "score": [("tokens/*", table), ("scores/*", table), ("state/distribution-*", Path.read_bytes)],
        "label": [("labels/*", table), ("state/rules.json", read_sealed_json)],
        "train": [("model/*/model/*.safetensors", load_file), ("metrics.json", figures)],
        "report": [],
    }
    for step in done:
        for pattern, read in compared[step]:
            names = sorted(str(path.relative_to(right)) for path in right.glob(pattern))
            assert names, pattern
            assert sorted(str(path.relative_to(left)) for path in left.glob(pattern)) == names
            for name in names:
                np.testing.assert_equal(read(left / name), read(right / name), err_msg=name)
    if "report" not in done:  # which holds no lock; the next step that does clears up
        assert not list(left.rglob("*.tmp")), "what a killed writer left beside its file is gone"


def table(path: Path) -> dict[str, Any]:
    """The columns of a shard."""
    columns: dict[str, Any] = pq.read_table(path).to_pydict()
    return columns


def figures(path: Path) -> Any:
    """What was measured, less the time it took."""
    return without_times(json.loads(path.read_text(encoding="utf-8")))


def without_times(value: Any) -> Any:
    """``value`` without what depends on the clock and on the folder."""
    if isinstance(value, dict):
        return {key: without_times(inner) for key, inner in value.items() if "seconds" not in key and key != "path"}
    return [without_times(inner) for inner in value] if isinstance(value, list) else value
