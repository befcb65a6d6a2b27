"""The command that asks whether masking helps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xtf.cli.app import JsonOption, SetOption, app, out, print_json


@app.command()
def study(
    config: Annotated[Path, typer.Argument(metavar="STUDY", help="A YAML file: see docs/studies.md.")],
    set_: SetOption = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be trained, and what is done.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train arms × seeds × settings, each mask against a random one of the same size; goes on where it stopped.

    Example: `xtf study configs/study-quick.yaml --set 'seeds=[0,1]'`
    """
    from xtf import api
    from xtf.report import terminal, write_study

    settings = api.load_study(config, set_ or [])
    if plan:
        terminal.print_plan(out(), api.plan_study(settings))
        return
    found = api.study(settings)
    page = write_study(found, Path(settings.output))
    if as_json:
        print_json(found)
    else:
        terminal.print_study(out(), found)
        out().print(f"  {'read it all:':<22}{page}", markup=False)
    if found["failed"]:
        raise typer.Exit(1)
