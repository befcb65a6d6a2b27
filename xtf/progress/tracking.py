"""The activities of this process, and the thread that shows them while there are any."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol

from xtf.progress.activity import Activity
from xtf.progress.displays import fitting_display

_TICK = 0.25
"""Seconds between two looks at what is going on."""
_FAREWELL = 2.0
"""Seconds that the thread gets to clear its display: a callback that hangs must not stop a run."""

Watcher = Callable[[Sequence[Activity]], None]


class Advance(Protocol):
    """Moves an activity on."""

    def __call__(self, n: int, *, total: int | None = None, found: bool = False) -> None:
        """Add ``n``; with ``total``, say how much there is in all.

        What an earlier process did and this one has ``found`` counts as done, but not into rate and remaining time.
        """


@contextmanager
def progress(description: str, total: int | None, unit: str) -> Iterator[Advance]:
    """Yield ``advance(n)``, and show how far things are while the block lasts.

    Args:
        description: What is done, such as ``Scoring``.
        total: How many units there are; None if that is yet unknown.
        unit: What is counted, in the plural.
    """
    with _MONITOR.tracked(_Tracked(description, total, unit)) as tracked:
        yield tracked.advance


@contextmanager
def busy(description: str) -> Iterator[None]:
    """Show that something goes on in which nothing can be counted."""
    with _MONITOR.tracked(_Tracked(description, None, "")):
        yield


@contextmanager
def watch_progress(callback: Watcher) -> Iterator[None]:
    """Call ``callback`` with what is going on, while the block lasts.

    It is given a sequence of :class:`Activity`, outermost first: when one begins, when one ends (without it then), and
    about four times a second between, from threads of XTF, never from two at once. An error that it raises is logged,
    once, and stops nothing; the callback is not called again.

    ::

        with xtf.watch_progress(lambda activities: queue.put(activities)):
            xtf.run("my-run.yaml")
    """
    _MONITOR.watchers.append(callback)
    try:
        yield
    finally:
        with suppress(ValueError):  # taken off already, for an error
            _MONITOR.watchers.remove(callback)


@dataclass(eq=False)
class _Tracked:
    """An activity that goes on."""

    description: str
    total: int | None
    unit: str
    done: int = 0
    found: int = 0
    started: float = field(default_factory=time.monotonic)
    first: tuple[float, int] | None = None  # when the first units were done here, and how many: loading comes before
    last: float = 0.0  # when the latest were

    def advance(self, n: int, *, total: int | None = None, found: bool = False) -> None:
        if total is not None:
            self.total = total
        self.done += n
        if found:
            self.found += n
        elif n:
            self.last = time.monotonic()
            self.first = self.first or (self.last, self.done - self.found)

    def now(self) -> Activity:
        """How it stands."""
        rate = 0.0
        if self.first is not None:
            since, before = self.first
            rate = (self.done - self.found - before) / (self.last - since) if self.last > since else 0.0
        return Activity(self.description, self.unit, self.total, self.done, time.monotonic() - self.started, rate)


class _Monitor:
    """What is going on in this process. A thread shows it, which is there only while anything is."""

    def __init__(self) -> None:
        self.watchers: list[Watcher] = []
        self._going_on: list[_Tracked] = []
        self._lock = threading.Lock()
        self._telling = threading.RLock()
        self._showing: tuple[threading.Thread, threading.Event] | None = None

    @contextmanager
    def tracked(self, tracked: _Tracked) -> Iterator[_Tracked]:
        """An activity for as long as the block lasts."""
        with self._lock:
            self._going_on.append(tracked)
            if self._showing is None:
                over = threading.Event()
                thread = threading.Thread(target=self._show, args=(over,), name="xtf-progress", daemon=True)
                self._showing = thread, over
                thread.start()
        self._tell()
        try:
            yield tracked
        finally:
            finished = None
            with self._lock:
                self._going_on.remove(tracked)
                if not self._going_on:
                    finished, self._showing = self._showing, None
            if finished is not None:
                thread, over = finished
                over.set()
                if thread is not threading.current_thread():
                    thread.join(_FAREWELL)
            self._tell()

    def _show(self, over: threading.Event) -> None:
        """Show activities until they are over; a display that fails is given up, and nothing else."""
        try:
            display = fitting_display()
        except Exception:
            logging.getLogger("xtf").debug("no display of progress", exc_info=True)
            display = None
        while not over.wait(_TICK):
            self._tell()
            try:
                if display is not None:
                    display.show(self._activities())
            except Exception:
                logging.getLogger("xtf").debug("progress is shown no more", exc_info=True)
                display = None
        with suppress(Exception):
            if display is not None:
                display.close()

    def _activities(self) -> list[Activity]:
        with self._lock:
            return [one.now() for one in self._going_on]

    def _tell(self) -> None:
        """Hand what is going on to whoever watches."""
        if not self.watchers:
            return
        with self._telling:
            for watcher in list(self.watchers):
                try:
                    watcher(self._activities())
                except Exception:
                    logging.getLogger("xtf").exception("a callback of watch_progress failed and is called no more")
                    with suppress(ValueError):
                        self.watchers.remove(watcher)


_MONITOR = _Monitor()
