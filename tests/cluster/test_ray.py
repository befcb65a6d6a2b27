"""Scoring on a local Ray cluster of two actors: the same files as in one process, whatever dies on the way."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

import xtf
from tests.conftest import chat_rows, tiny_config
from xtf.runs.folder import RunFolder

SHARDS = 30
ENGINE = xtf.RayEngine(num_cpus=1)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """Room for two actors, and no CPU left for anybody else."""
    settings = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_worker_niceness": "0"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        logging.getLogger("ray").setLevel(logging.ERROR)
        ray.init("local", num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False, configure_logging=False)
        yield
        ray.shutdown()


def config(folder: Path, model: Path) -> dict[str, Any]:
    folder.mkdir()
    more: dict[str, Any] = {"attributes": {"knowledge_novelty": {}, "talr": {}, "random": {}}}
    return tiny_config(folder, model, chat_rows(SHARDS), scoring={"examples_per_shard": 1}, **more)


def actors() -> set[int]:
    """The processes of this cluster that hold a model, or are about to."""
    ours = psutil.Process().children(recursive=True)
    return {one.pid for one in ours if "MapWorker(MapBatches(ShardScorer))" in _title(one)}


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def once_scored(folder: RunFolder, count: int, act: Callable[[], None]) -> threading.Thread:
    """Do something as soon as so many shards are scored."""

    def work() -> None:
        while len(folder.indices("scores")) < count:
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_shards_that_lack_scores_are_scored_although_an_actor_dies(tmp_path: Path, tiny_folder: Path) -> None:
    plain = xtf.label(xtf.score(config(tmp_path / "plain", tiny_folder)))
    settings = config(tmp_path / "spread", tiny_folder)
    folder = xtf.score(settings, shard="1/3").folder
    for path in folder.state.glob("fitted*"):
        path.unlink()  # so that the cluster has to fit
    scored = {index: folder.shard_path("scores", index).stat().st_mtime_ns for index in folder.indices("scores")}
    lost: list[tuple[set[int], int]] = []

    def kill_one() -> None:
        victims = actors()
        lost.append((victims, len(folder.indices("scores"))))
        os.kill(min(victims), signal.SIGKILL)

    killer = once_scored(folder, len(scored) + 2, kill_one)
    spread = xtf.label(xtf.score(settings, engine=ENGINE))
    killer.join()
    [(victims, count)] = lost
    assert len(victims) == 2
    assert len(scored) < count < SHARDS
    assert {index: folder.shard_path("scores", index).stat().st_mtime_ns for index in scored} == scored

    assert spread.manifest["counts"] == plain.manifest["counts"]
    for kind in ("tokens", "scores", "labels"):
        ours, theirs = (sorted((run.path / kind).iterdir()) for run in (spread, plain))
        assert [path.name for path in ours] == [path.name for path in theirs]
        assert all(one.read_bytes() == two.read_bytes() for one, two in zip(ours, theirs, strict=True))
    assert spread.status().next == (*plain.status().next[:2], str(spread.path))
    of_both = (xtf.Scorer.load(run.path)(chat_rows(2))[0]["talr"].tobytes() for run in (spread, plain))
    assert next(of_both) == next(of_both)
