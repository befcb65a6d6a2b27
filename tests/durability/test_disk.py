"""A full disk: one clear error, everything written before intact, and after making room the run goes on."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import xtf
from tests.conftest import Cli, write_config
from tests.durability.conftest import small_config
from tests.durability.test_kill import same_run
from xtf.errors import OutOfSpaceError
from xtf.files import write_text


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> Path:
    """A labelled run."""
    folder = tmp_path_factory.mktemp("whole")
    xtf.run(small_config(folder, tiny_folder))
    return folder / "run"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_full(small_disk: Path, whole: Path, tmp_path: Path, tiny_folder: Path) -> None:
    config = {**small_config(tmp_path, tiny_folder), "output": str(small_disk / "run")}
    ballast = small_disk / "ballast"
    failures = 0
    for room in (0, 40_000, 70_000, 100_000, 130_000):
        _fill(small_disk, ballast, room)
        with suppress(OutOfSpaceError):
            xtf.run(config)
            failures -= 1
        failures += 1
        for kind in ("tokens", "scores", "labels"):
            folder = xtf.runs.folder.RunFolder(small_disk / "run")
            for record in folder.records(kind):
                assert folder.intact(kind, record.index), "what was written before is complete"
        ballast.unlink()
    assert failures >= 2
    xtf.run(config)
    same_run(small_disk / "run", whole, ["score", "label"])


def _fill(disk: Path, ballast: Path, room: int) -> None:
    """Leave ``room`` bytes of the disk."""
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    ballast.write_bytes(bytes(max(free - room, 0)))


@pytest.mark.parametrize(("call", "code"), [("fsync", errno.ENOSPC), ("replace", errno.EDQUOT)])
def test_every_write_may_find_the_disk_full(
    whole: Path, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    config = small_config(tmp_path, tiny_folder)
    original, countdown = getattr(os, call), [0]

    def full(*args: Any, **kwargs: Any) -> Any:
        countdown[0] -= 1
        if countdown[0] == 0:
            raise OSError(code, os.strerror(code))
        return original(*args, **kwargs)

    monkeypatch.setattr(os, call, full)
    failures = 0
    for at in (1, 2, 3, 5, 8, 12, 16, 20, 24):
        countdown[0] = at
        try:
            xtf.run(config)
        except OutOfSpaceError:
            failures += 1
        assert not list((tmp_path / "run").rglob("*.tmp"))
    countdown[0] = 0
    xtf.run(config)
    assert failures >= 5
    same_run(tmp_path / "run", whole, ["score", "label"])


def test_the_former_content_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "before")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutOfSpaceError, match=r"a\.txt: the disk is full"):
        write_text(path, "after")
    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_the_command_line_says_what_to_do(
    cli: Cli, tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_config(tmp_path / "a.yaml", small_config(tmp_path, tiny_folder))

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    outcome = cli("score", path)
    assert outcome.code == 2
    assert "free some space and run the same command again" in outcome.err
