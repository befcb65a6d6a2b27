"""Three lines to a list of what to look at: find."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xtf.cli.app import JsonOption, SetOption, app, out, print_json
from xtf.errors import ConfigError


@app.command()
def find(
    data: Annotated[list[str], typer.Argument(metavar="DATA…", help="Examples, in any form that data.path accepts.")],
    model: Annotated[str, typer.Option(help="Scores the tokens; as for model.path.")],
    examples: Annotated[int, typer.Option("--examples", "-n", min=0, help="How many examples to print.")] = 10,
    by: Annotated[
        str, typer.Option(help="Rank by worst_span, or by the share that is wrong or useless.")
    ] = "worst_span",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the rows that are left here, as JSON lines.")
    ] = None,
    max_wrong: Annotated[
        float, typer.Option(metavar="SHARE", help="With --output: drop rows of which more than this looks wrong.")
    ] = 1.0,
    max_useless: Annotated[
        float, typer.Option(metavar="SHARE", help="With --output: drop rows of which more than this is useless.")
    ] = 1.0,
    set_: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Rank the examples of your data by their worst spans, each with reasons; no configuration, no folder to name.

    Example: `xtf find train.jsonl --model Qwen/Qwen3-0.6B`

    Without the rows that are mostly noise: `xtf find train.jsonl --model Qwen/Qwen3-0.6B --output kept.jsonl
    --max-wrong 0.2`
    """
    from xtf import api
    from xtf.report import terminal
    from xtf.report.issues import Limits, order

    if output is None and (max_wrong, max_useless) != (1.0, 1.0):
        raise ConfigError("--max-wrong, --max-useless: say which rows to write; name the file with --output")
    Limits(max_wrong, max_useless)  # refuses what is no share before anything is scored
    ranking = order(by)
    found = api.find(data, model, overrides=set_ or [])
    worst = found.worst(examples, ranking)
    if as_json:
        print_json({"run": str(found.run.path), "examples": [one.to_dict() for one in worst]})
    else:
        terminal.print_issues(out(), found, worst)
    if output is not None:
        written = found.write(output, max_wrong, max_useless)
        if not as_json:
            terminal.print_written_rows(out(), output, written, len(found))
