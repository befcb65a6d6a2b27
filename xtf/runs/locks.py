"""Locks on files, which the operating system releases when the process that holds one ends, however it ends."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from xtf.files import full_disk_is_clear
from xtf.progress import notice
from xtf.runs.share import Share

_PATIENCE = 1.0  # seconds before a process that waits says so
_POLL = 0.05


class Held(Exception):
    """Another process holds the lock; the text says which."""


def _owner() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold ``path`` alone.

    Raises:
        Held: another process holds it.
    """
    with _opened(path) as file:
        if not _take(file, fcntl.LOCK_EX):
            raise Held(_content(file))
        _write(file, _owner())
        yield


@contextmanager
def shared(path: Path, share: Share) -> Iterator[None]:
    """Hold ``path`` together with processes that take other shares of as many.

    Raises:
        Held: a process holds it alone, or the others have cut the work into another number of shares.
    """
    with _opened(path) as file:
        with waiting(path.with_suffix(".gate")):
            kind = f"processes that share it among {share.of}"
            if _take(file, fcntl.LOCK_EX):
                _write(file, kind)
            if not _take(file, fcntl.LOCK_SH) or _content(file) != kind:
                raise Held(_content(file))
        yield


@contextmanager
def waiting(path: Path, what: str = "another process") -> Iterator[None]:
    """Hold ``path`` alone, after waiting for whoever holds it now."""
    with _opened(path) as file:
        wait_until(lambda: _take(file, fcntl.LOCK_EX), what)
        yield


def wait_until(done: Callable[[], bool], what: str) -> None:
    """Return as soon as ``done()``."""
    started, told = time.monotonic(), False
    while not done():
        if not told and time.monotonic() - started > _PATIENCE:
            notice(f"Waiting for {what} …")
            told = True
        time.sleep(_POLL)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    with full_disk_is_clear(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        yield file
    finally:
        os.close(file)


def _take(file: int, how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _content(file: int) -> str:
    return os.pread(file, 200, 0).decode(errors="replace").strip() or "unknown"


def _write(file: int, text: str) -> None:
    os.ftruncate(file, 0)
    with suppress(OSError):  # a full disk: the lock holds all the same, it only does not say whose it is
        os.pwrite(file, text.encode(), 0)
