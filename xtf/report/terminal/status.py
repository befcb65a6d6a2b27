"""How far a run is, in a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xtf.display import command, visible

if TYPE_CHECKING:
    from xtf.runs import RunReader
    from xtf.runs.status import Status

_STYLES = {"done": "green", "stale": "bold yellow", "begun": "cyan", "open": "dim"}


def print_status(console: Console, status: Status) -> None:
    """Print the stages, what is stale and why, and the next command, which can be pasted."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for stage in status.stages:
        table.add_row(stage.name, Text(stage.state, _STYLES[stage.state]), Text(visible(stage.detail)))
    console.print(table)
    for one in status.stale:
        console.print(Text(visible(one.sentence()), "bold yellow"), soft_wrap=True)
    said = f"next: {status.command}" if status.next else "nothing is left to do"
    console.print(visible(said), markup=False, soft_wrap=True)


def print_report_path(console: Console, path: Path) -> None:
    """Print where the page lies."""
    console.print(f"  {'read it all:':<22}{visible(str(path))}", markup=False, soft_wrap=True)


def print_renewed(console: Console, path: Path | None) -> None:
    """Print that the page was written again, if it was."""
    if path is not None:
        console.print(f"written again: {visible(str(path))}", markup=False, soft_wrap=True)


def print_training_begins(console: Console, run: RunReader) -> None:
    """Print that what can be read lies there, and how training goes on if it is interrupted."""
    again = command("xtf", "train", run.path)
    console.print(
        f"\nNow the arms are trained; all of the above is there. After an interruption: {again}",
        markup=False,
        soft_wrap=True,
    )
