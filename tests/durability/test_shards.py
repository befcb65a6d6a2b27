"""Several processes on one run: disjoint shares, one writer of each, and a lock that a dead process does not hold."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import xtf
from tests.conftest import Cli, chat_row, tiny_config, write_config
from tests.durability.conftest import small_config
from tests.durability.driver import Driver
from tests.durability.test_kill import same_run
from xtf.data.seen import SeenIds
from xtf.errors import ConfigError, RunError
from xtf.runs.folder import RunFolder
from xtf.runs.worker import Worker

HOLDER = """
import sys, time
from xtf.runs.folder import RunFolder
from xtf.runs.worker import Worker
share = Worker.parse(sys.argv[2]) if len(sys.argv) > 2 else None
with RunFolder(sys.argv[1]).lock(share):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of ``tmp_path/run``."""
    yield from _holding(tmp_path / "run")


@pytest.fixture
def sharer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the share 1/2 of ``tmp_path/run``."""
    yield from _holding(tmp_path / "run", "1/2")


def _holding(folder: Path, *share: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(folder), *share]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_run_into_a_folder_is_refused(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    with pytest.raises(RunError, match=f"another process \\(process {holder.pid} on .*is writing to this run"):
        RunFolder(tmp_path / "run").lock().__enter__()
    with pytest.raises(RunError, match="another process"):
        RunFolder(tmp_path / "run").lock(Worker(1, 2)).__enter__()


def test_a_dead_process_holds_no_lock(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with RunFolder(tmp_path / "run").lock():
        pass


def test_two_writers_of_one_share_are_refused(sharer: subprocess.Popen[str], tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.lock(Worker(2, 2)):
        pass
    for share in (Worker(1, 2), Worker(1, 3), None):
        with pytest.raises(RunError, match="another process"):
            folder.lock(share).__enter__()
    sharer.kill()
    sharer.wait()
    with folder.lock(Worker(1, 3)), folder.lock(Worker(2, 3)):
        pass


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "1/0", "-1/2", "a/b", "1/2/3", "", "1 / 2", "١/٢"])
def test_shares_that_are_none(text: str) -> None:
    with pytest.raises(ConfigError, match="expected NUMBER/OF"):
        Worker.parse(text)


def test_every_shard_belongs_to_one_share() -> None:
    shares = [Worker.parse(f"{number}/16") for number in range(1, 17)]
    for index in range(100):
        assert [share.takes(index) for share in shares].count(True) == 1
    assert Worker.of_launch({"RANK": "2", "WORLD_SIZE": "4"}) == Worker(3, 4)
    assert Worker.of_launch({"RANK": "0", "WORLD_SIZE": "1"}) is None
    assert Worker.of_launch({"RANK": "x", "WORLD_SIZE": "4"}) is None


def test_three_processes_score_what_one_scores(tmp_path: Path, tiny_folder: Path, forked: Driver) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        write_config(folder / "a.yaml", small_config(folder, tiny_folder))
    forked.done("score", whole / "a.yaml")
    first = forked.done("score", parts / "a.yaml", "--shard", "2/3")
    assert "1 of 4 shards there" in first.text
    early = forked.run("label", parts / "run")
    assert early.code == 2
    assert "1 of 4 shards there" in early.text
    ended = forked.together(*(("score", parts / "a.yaml", "--shard", share) for share in ("1/3", "3/3")))
    assert [one.code for one in ended] == [0, 0], ended
    forked.done("label", parts / "run")
    forked.done("label", whole / "run")
    same_run(parts / "run", whole / "run", ["score", "label"])


def test_shares_compute_only_their_shards(tmp_path: Path, tiny_folder: Path) -> None:
    config = small_config(tmp_path, tiny_folder)
    run = xtf.score(config, shard="2/2")
    assert run.folder.indices("scores") == [1, 3]
    assert not run.is_scored
    assert xtf.score(config, shard="1/2").is_scored
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "run/scores").glob("*")}
    config["attributes"] = {**config["attributes"], "again": {"attribute": "random", "seed": 3}}
    assert not xtf.score(config, shard="1/2").is_scored
    with pytest.raises(RunError, match="scoring has not finished"):
        xtf.label(tmp_path / "run")
    changed = [path.name for path, time_ in times.items() if path.stat().st_mtime_ns != time_]
    assert sorted(changed) == ["part-00000.parquet", "part-00002.parquet"]
    assert xtf.score(config).is_scored
    with pytest.raises(ConfigError, match="--overwrite"):
        xtf.score(config, shard="1/2", overwrite=True)


def test_processes_of_one_launch_share(tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = small_config(tmp_path, tiny_folder)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(xtf.score, config)
        while not waiting.done() and len(list((tmp_path / "run/state/scores").glob("*"))) < 2:
            time.sleep(0.05)
        monkeypatch.setenv("RANK", "0")
        assert xtf.score(config).is_scored
        assert waiting.result(60).is_scored


def test_iterators_are_not_kept_in_memory(tmp_path: Path, tiny_folder: Path) -> None:
    config = tiny_config(tmp_path, tiny_folder)
    rows = (chat_row(str(i), f"{i}?", f"It is {i}.") for i in range(9))
    assert list(xtf.score(config, data=rows).example_ids()) == [str(i) for i in range(9)]


def test_seen_ids_are_a_set_of_any_size() -> None:
    ids = SeenIds(recent=8, block=64)
    names = [f"id-{i}-\udc80" for i in np.random.default_rng(0).permutation(1000)]
    for place, name in enumerate(names):
        assert name not in ids
        ids.add(name)
        assert names[place // 2] in ids
    assert all(name in ids for name in names)
    assert "another" not in ids


def test_an_impossible_share_is_one_clear_line(cli: Cli, tmp_path: Path, tiny_folder: Path) -> None:
    path = write_config(tmp_path / "a.yaml", small_config(tmp_path, tiny_folder))
    outcome = cli("score", path, "--shard", "3/2")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "for example 3/16" in outcome.err
