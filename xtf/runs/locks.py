"""Locks on files, which the operating system releases when the process that holds one ends, however it ends."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from xtf.files import full_disk_is_clear
from xtf.progress import notice
from xtf.runs.worker import Worker

if TYPE_CHECKING:
    from filelock import FileLock

_PATIENCE = 1.0  # seconds before a process that waits says so
_POLL = 0.05


class Held(Exception):
    """Another process holds the lock; the text says which."""


@contextmanager
def hold_alone(path: Path) -> Iterator[None]:
    """Hold ``path`` alone, which nobody holds or shares.

    Raises:
        Held: another process holds it, or shares it.
    """
    with ExitStack() as stack:
        with hold_after_waiting(_gate(path)):
            for other in _shares(path):
                with _taken(other, owner=f"a process that scores {other.stem.removeprefix('share-')} of it"):
                    pass
            stack.enter_context(_taken(path))
        yield


@contextmanager
def hold_share(path: Path, share: Worker) -> Iterator[None]:
    """Hold one share of ``path`` beside processes that hold other shares of as many.

    Raises:
        Held: a process holds it alone, or this share, or the others have cut the work into another number of shares.
    """
    own = path.with_name(f"share-{share.number}-of-{share.of}.lock")
    with ExitStack() as stack:
        with hold_after_waiting(_gate(path)):
            with _taken(path):
                pass
            for other in _shares(path):
                if not other.stem.endswith(f"-of-{share.of}"):
                    with _taken(other, owner=f"processes that share it among {other.stem.rpartition('-')[2]}"):
                        pass
            stack.enter_context(_taken(own))
        yield


@contextmanager
def hold_after_waiting(path: Path, what: str = "another process") -> Iterator[None]:
    """Hold ``path`` alone, after waiting for whoever holds it now."""
    lock = _lock(path)

    def taken() -> bool:
        with suppress(TimeoutError):
            lock.acquire(blocking=False)
        return lock.is_locked

    wait_until(taken, what)
    try:
        yield
    finally:
        lock.release()


def wait_until(done: Callable[[], bool], what: str) -> None:
    """Return as soon as ``done()``; after a second of waiting, say for ``what``."""
    started, told = time.monotonic(), False
    while not done():
        if not told and time.monotonic() - started > _PATIENCE:
            notice(f"Waiting for {what} …")
            told = True
        time.sleep(_POLL)


@contextmanager
def _taken(path: Path, owner: str | None = None) -> Iterator[None]:
    """Hold ``path``, or raise :class:`Held` with ``owner`` or the name that the holder has left beside it."""
    lock, name = _lock(path), path.with_suffix(".owner")
    try:
        lock.acquire(blocking=False)
    except TimeoutError:
        raise Held(owner or _read(name)) from None
    try:
        with suppress(OSError):  # a full disk: the lock holds all the same, it only does not say whose it is
            name.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield
    finally:
        lock.release()


def _lock(path: Path) -> FileLock:
    from filelock import FileLock  # loads asyncio, which whoever only reads does not need

    with full_disk_is_clear(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path)


def _gate(path: Path) -> Path:
    return path.with_suffix(".gate.lock")


def _shares(path: Path) -> list[Path]:
    return sorted(path.parent.glob("share-*-of-*.lock"))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip() or "unknown"
    except OSError:
        return "unknown"
