"""What reads and writes data: inspect, plant."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from xtf.cli.app import JsonOption, SetOption, app, out, print_json
from xtf.display import visible


@app.command()
def inspect(
    source: Annotated[
        list[str],
        typer.Argument(metavar="CONFIG|DATA…", help="A YAML file; or, with --model, data; or a run."),
    ],
    set_: SetOption = None,
    model: Annotated[
        str | None, typer.Option(help="Look at DATA as this model reads it; as for model.path. Of a run, its own.")
    ] = None,
    examples: Annotated[int, typer.Option("--examples", "-n", help="How many examples to print.")] = 3,
    strict: Annotated[
        bool, typer.Option("--strict", help="Read all rows; exit with 1 if any is left out, cut or warned of.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Print how the first examples are tokenised, and which tokens are learnt. Loads no model weights.

    Example: `xtf inspect configs/quickstart.yaml -n 1`

    Any data, tokenised or not: `xtf inspect train.jsonl --model Qwen/Qwen3-0.6B`, `xtf inspect runs/quickstart`
    """
    from xtf import api
    from xtf.report import terminal

    inspection = api.inspect(api.inspected_config(source, model, set_ or []), examples, whole=strict)
    if as_json:
        print_json(inspection.to_dict())
    else:
        terminal.print_inspection(out(), inspection)
    if strict and (faults := inspection.faults()):
        Console(stderr=True, highlight=False, soft_wrap=True, emoji=False).print(
            visible(f"--strict: {'; '.join(faults)}"), markup=False
        )
        raise typer.Exit(1)


@app.command()
def plant(
    data: Annotated[str, typer.Argument(metavar="DATA", help="Examples, in any form that data.path accepts.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The rows with noise, JSON lines.")],
    kinds: Annotated[str | None, typer.Option(help="Kinds of noise, by commas. Default: all that fit.")] = None,
    rate: Annotated[float, typer.Option(help="Share of a noisy response's tokens that is wrong.")] = 0.1,
    share: Annotated[float, typer.Option(help="Share of the examples that get noise.")] = 1.0,
    seed: Annotated[int, typer.Option(help="With an example's id, decides everything.")] = 0,
    model: Annotated[str | None, typer.Option(help="For kinds that exchange tokens; its tokens are counted.")] = None,
    column: Annotated[
        list[str] | None, typer.Option("--column", metavar="ROLE=NAME", help="As data.columns: prompt=ask.")
    ] = None,
) -> None:
    """Plant wrong tokens of known kinds in the responses of your data, with a truth file beside it.

    Example: `xtf plant train.jsonl --output noisy.jsonl --rate 0.1 --model Qwen/Qwen3-0.6B`
    """
    from xtf import api
    from xtf.report import terminal

    names = [name.strip() for name in kinds.split(",") if name.strip()] if kinds is not None else None
    columns = dict(entry.partition("=")[::2] for entry in column or [])
    planted = api.plant(data, output, kinds=names, rate=rate, share=share, seed=seed, model=model, columns=columns)
    terminal.print_planted(out(), planted)
