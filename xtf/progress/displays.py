"""Where activities are shown: bars in a terminal, bars in a notebook, lines in a file."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from xtf.display import visible
from xtf.progress.activity import Activity, line_of, short_standing
from xtf.progress.words import is_listened_to, notice

PATIENCE = 1.0
"""Seconds before a bar is worth showing: steps that end sooner would only flash."""
QUIET = 15.0
"""Seconds between two plain lines."""
LONG = 2.0
"""Seconds before a plain line says what is going on."""


class Display(Protocol):
    """Shows what is going on, again and again; called by one thread."""

    def show(self, activities: Sequence[Activity]) -> None:
        """Show activities, outermost first."""

    def close(self) -> None:
        """Take away what should not stay."""


def fitting_display() -> Display:
    """The display for whoever is on the other side of standard error."""
    if sys.stderr is None or is_listened_to():
        return Lines()
    console = Console(stderr=True)
    if console.is_jupyter:
        return Notebook()
    return Bars(console) if console.is_terminal and not console.is_dumb_terminal else Lines()


class Lines:
    """One plain line now and then."""

    _last = float("-inf")  # of any of them: many short steps after one another are one long silence

    def show(self, activities: Sequence[Activity]) -> None:
        """Say where things stand if nothing has been said for a while."""
        now = time.monotonic()
        if activities and activities[0].seconds >= LONG and now - Lines._last >= QUIET:
            Lines._last = now
            notice(line_of(activities))

    def close(self) -> None:
        """What is said stays."""


class Bars:
    """Bars in a terminal; those of steps that are over vanish."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False, transient=True, redirect_stdout=sys.stdout.isatty())

    def show(self, activities: Sequence[Activity]) -> None:
        """Draw a bar for each step that takes longer than a moment."""
        shown = [one for one in activities if one.seconds >= PATIENCE]
        if shown and not self._live.is_started:
            self._live.start()
        if self._live.is_started:
            self._live.update(_table(shown) if shown else Group(), refresh=True)

    def close(self) -> None:
        """Clear the bars."""
        if self._live.is_started:
            self._live.stop()


def _table(activities: Sequence[Activity]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True, overflow="ellipsis")
    table.add_column(width=16)
    table.add_column(no_wrap=True, overflow="ellipsis")
    for one in activities:
        bar = ProgressBar(one.total, one.done, width=16, pulse=not one.total, animation_time=one.seconds)
        table.add_row(Text(visible(one.description)), bar, Text(visible(short_standing(one))))
    return table


class Notebook:
    """Bars under the cell of a notebook; needs nothing beside IPython."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, activities: Sequence[Activity]) -> None:
        """Draw a bar for each step that takes longer than a moment."""
        shown = [one for one in activities if one.seconds >= PATIENCE]
        if shown or self._handle is not None:
            self._draw("<br>".join(_bar(one) for one in shown))

    def close(self) -> None:
        """Clear the bars."""
        if self._handle is not None:
            self._draw("")

    def _draw(self, text: str) -> None:
        shown: Any = import_module("IPython.display")  # there is one wherever there are notebooks
        if self._handle is None:
            self._handle = shown.display(shown.HTML(text), display_id=True)
        else:
            self._handle.update(shown.HTML(text))


def _bar(activity: Activity) -> str:
    """A bar as HTML; one without a value moves to and fro."""
    value = f' max="{activity.total}" value="{activity.done}"' if activity.total else ""
    words = html.escape(visible(short_standing(activity)))
    return f"{html.escape(visible(activity.description))} <progress{value}></progress> {words}"
