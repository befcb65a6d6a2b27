"""What a person reads after noise has been planted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from xtf.display import command, visible
from xtf.noise import known_kinds

if TYPE_CHECKING:
    from xtf.steps.planting import PlantedFile


def print_planted(console: Console, planted: PlantedFile) -> None:
    """Print how much of each kind was planted, where it lies, and what to do next."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading, justify in (("kind", "left"), ("places", "right"), ("", "left")):
        table.add_column(heading, justify="right" if justify == "right" else "left")
    labels = {name: kind.label for name, kind in known_kinds().items()}
    for name, count in planted.spans.items():
        table.add_row(name, f"{count:,}", labels.get(name, ""))
    console.print(
        f"Examples with noise: {planted.noisy:,} of {planted.examples:,}; {planted.wrong_share:.1%} of all response "
        "tokens are wrong.",
        markup=False,
    )
    console.print(table)
    for line in planted.report.lines():
        console.print(f"  {visible(line)}", markup=False)
    console.print(f"  {'rows:':<8}{visible(str(planted.data))}", markup=False, soft_wrap=True)
    console.print(f"  {'truth:':<8}{visible(str(planted.truth))}", markup=False, soft_wrap=True)
    again = command("xtf", "evaluate", "RUN", "--truth", planted.truth)
    console.print(f"Score the rows, then: {again}", markup=False, soft_wrap=True)
