"""The worst examples in a terminal: a line of figures each, then its worst spans between their neighbours."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from xtf.display import command, counted, visible
from xtf.explain.marks import CLOSE, OPEN, PROMPT_STYLE, mark

if TYPE_CHECKING:
    from xtf.explain.issues import ExampleIssue, SpanIssue
    from xtf.report.issues import Issues


def issue_lines(headline: str, examples: Sequence[ExampleIssue], total: int) -> Iterator[Text]:
    """What is printed of the ``examples`` that come first of ``total``."""
    yield Text(headline, style="bold")
    for place, one in enumerate(examples, 1):
        head = Text(f"\n{place:>3}. {visible(one.example_id)}", style="bold")
        yield head.append(f"   {one.figures()}", style="not bold")
        for span in one.spans:
            yield _span(span)
            yield Text(f"       {visible(span.reason)}")
        if one.span_count > len(one.spans):
            yield Text(f"       … and {counted(one.span_count - len(one.spans), 'more span')}", PROMPT_STYLE)
    if total > len(examples):
        yield Text(f"\n{counted(total - len(examples), 'more example')}", PROMPT_STYLE)


def _span(span: SpanIssue) -> Text:
    text = Text(f"     {span.score:.2f} {span.kind:<7}  ")
    text.append(f"…{visible(span.before)}", PROMPT_STYLE)
    text.append(f"{OPEN}{span.shown()}{CLOSE}", mark(0 if span.kind == "wrong" else 1).terminal)
    return text.append(f"{visible(span.after)}…", PROMPT_STYLE)


def print_issues(console: Console, found: Issues, examples: Sequence[ExampleIssue]) -> None:
    """Print some examples, and how to go on from there."""
    for line in issue_lines(found.headline(), examples, len(found)):
        console.print(line, soft_wrap=not console.is_terminal)
    folder = found.run.path
    commands = {"every token": visible(str(folder)), "  read it all": command("xtf", "report", folder)}
    if examples:
        one = f"--example={examples[0].example_id}"
        commands["  the first example"] = command("xtf", "explain", folder, one, "--reasons")
    console.print()
    for name, said in commands.items():
        console.print(f"{name + ':':<24}{said}", markup=False, soft_wrap=True)


def print_written_rows(console: Console, path: Path, kept: int, total: int) -> None:
    """Print how many rows were written, and how many dropped."""
    console.print(
        f"written: {visible(str(path))}: {counted(kept, 'row')}; {total - kept:,} dropped", markup=False, soft_wrap=True
    )
