"""What reads a run: explain, summary, report, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xtf.cli.app import JsonOption, RunArgument, app, as_text, out, print_json
from xtf.display import command, visible
from xtf.errors import ConfigError


@app.command()
def explain(
    run: RunArgument,
    example: Annotated[str | None, typer.Option("--example", "-e", help="Example id. Default: the first.")] = None,
    token: Annotated[int | None, typer.Option("--token", "-t", help="Only this position, in full.")] = None,
    reasons: Annotated[bool, typer.Option("--reasons", help="One line for each response token.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show why each token of an example is kept or masked.

    Example: `xtf explain runs/quickstart --example train-001 --reasons`
    """
    from xtf import api
    from xtf.report import terminal

    opened = api.open_run(run)
    explanation = opened.explain(as_text(example) if example is not None else None)
    if as_json:
        print_json(explanation.to_dict())
    else:
        terminal.print_explanation(out(), explanation, token=token, reasons=reasons)


@app.command()
def summary(run: RunArgument, as_json: JsonOption = False) -> None:
    """Share masked, by attribute and together, and the tokens most often masked and kept.

    Example: `xtf summary runs/quickstart`
    """
    from xtf import api
    from xtf.report import terminal
    from xtf.runs.staleness import stale_parts

    opened = api.open_run(run)
    if as_json:
        print_json(
            {
                **opened.summary().to_dict(),
                "wrong": [w.to_dict() for w in opened.expected_wrong()],
                "rounds": opened.manifest.get("rounds", []),
                "decided": opened.manifest.get("decided", []),
                "stale": [one.sentence() for one in stale_parts(opened)],
            }
        )
    else:
        terminal.print_summary(out(), opened)


@app.command()
def report(
    run: RunArgument,
    example: Annotated[
        list[str] | None, typer.Option("--example", "-e", help="Embed only this id; may repeat.")
    ] = None,
    compare: Annotated[list[Path] | None, typer.Option("--compare", help="Another run of the same data.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Default: report.html in the run.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write the run as one page to open in a browser: figures, cuts to try out, every token's reasons.

    Example: `xtf report runs/quickstart --compare runs/other`
    """
    from xtf import api
    from xtf.report import overview, write_report

    opened = api.open_run(run)
    if as_json:
        print_json(overview(opened))
        return
    others = [api.open_run(path) for path in compare or []]
    written = write_report(opened, output, [as_text(one) for one in example or []] or None, others)
    out().print(visible(f"written: {written}"), markup=False, soft_wrap=True)


@app.command()
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN", help="Two or more runs of the same data.")],
    example: Annotated[str | None, typer.Option("--example", "-e", help="Example id. Default: the first.")] = None,
) -> None:
    """Show one example under each run, with the tokens marked that the runs treat otherwise.

    Example: `xtf compare runs/quickstart runs/other --example train-001`
    """
    from xtf import api
    from xtf.report import terminal

    if len(runs) < 2:
        shown = command("xtf", "explain", runs[0])
        raise ConfigError(f"compare: one run alone cannot be compared; name two or more. To read one: {shown}")
    opened = [api.open_run(path) for path in runs]
    for run in opened:
        terminal.print_stale(out(), run)
    wanted = as_text(example) if example is not None else opened[0].explain().example_id
    terminal.print_comparison(out(), [(str(run.path), run.explain(wanted)) for run in opened])
