"""Progress bars that appear only when a person is watching and the work takes a while.

``rich`` draws them. Of our own is what it does not do: bars of several threads (tokenising beside scoring) in the one
live display that a console can have, nothing in the first second (finished steps would flash bars), and nothing off a
terminal.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from xtf.display import visible

_PATIENCE = 1.0  # seconds of silence before a bar is worth showing


class Advance(Protocol):
    """Moves a bar on."""

    def __call__(self, n: int, *, total: int | None = None) -> None:
        """Add ``n``; with ``total``, say how much there is in all."""


def notice(text: str) -> None:
    """Say something on standard error that a person should know and no program reads."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(visible(text), markup=False)


@contextmanager
def progress(description: str, total: int | None, unit: str = "") -> Iterator[Advance]:
    """Yield ``advance(n)``; a bar on standard error appears after a second if that is a terminal.

    Keep in mind that a bar shows only when ``advance`` is called, so call it often. A total of None is yet unknown.
    """
    if not sys.stderr.isatty():
        yield lambda n, *, total=None: None
        return
    with _DISPLAY.task(description, total, unit) as task:
        started = time.monotonic()

        def advance(n: int, *, total: int | None = None) -> None:
            _DISPLAY.move(task, n, total, show=time.monotonic() - started > _PATIENCE)

        yield advance


@contextmanager
def busy(description: str) -> Iterator[None]:
    """Show that something of unknown length is going on, if standard error is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    with _DISPLAY.task(visible(description), None, "") as task:
        _DISPLAY.move(task, 0, None, show=True)
        yield


class _Display:
    """The bars of this process; the display is there while any of them has something to show."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._bars: Progress | None = None

    @contextmanager
    def task(self, description: str, total: int | None, unit: str) -> Iterator[TaskID]:
        """A line of the display."""
        with self._lock:
            if self._bars is None:
                self._bars = _bars()
            task = self._bars.add_task(description, total=total, visible=False, unit=unit)
        try:
            yield task
        finally:
            with self._lock:
                self._bars.remove_task(task)
                if not self._bars.tasks:
                    self._bars.stop()
                    self._bars = None

    def move(self, task: TaskID, n: int, total: int | None, *, show: bool) -> None:
        """Move a line on, and show it from now on if it is time."""
        with self._lock:
            assert self._bars is not None
            if total is not None:
                self._bars.update(task, total=total)
            if show:
                self._bars.update(task, visible=True)
            self._bars.update(task, advance=n)
            if show and not self._bars.live.is_started:
                self._bars.start()


class _Count(MofNCompleteColumn):
    """``12/140 examples``; nothing where nothing is counted."""

    def render(self, task: Task) -> Text:
        if task.total is None and not task.completed:
            return Text("")
        return super().render(task).append(f" {task.fields['unit']}")


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        _Count(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


_DISPLAY = _Display()
