"""Progress bars that appear only when a person is watching and the work takes a while."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from xtf.display import visible

_PATIENCE = 1.0  # seconds of silence before a bar is worth showing


def notice(text: str) -> None:
    """Say something on standard error that a person should know and no program reads."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(visible(text), markup=False)


@contextmanager
def progress(description: str, total: int | None, unit: str = "") -> Iterator[Callable[[int], None]]:
    """Yield ``advance(n)``; a bar on standard error appears after a second if that is a terminal.

    Keep in mind that a bar shows only when ``advance`` is called, so call it often.
    """
    if not sys.stderr.isatty():
        yield lambda n: None
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(description, total=total)
    started = time.monotonic()

    def advance(n: int) -> None:
        bar.advance(task, n)
        if not bar.live.is_started and time.monotonic() - started > _PATIENCE:
            bar.start()

    try:
        yield advance
    finally:
        bar.stop()


@contextmanager
def waiting(description: str) -> Iterator[None]:
    """Show that something of unknown length is going on, if standard error is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(visible(description)):
        yield
