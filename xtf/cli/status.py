"""How far a run is: status."""

from __future__ import annotations

from xtf.cli.app import JsonOption, RunArgument, app, out, print_json


@app.command()
def status(run: RunArgument, as_json: JsonOption = False) -> None:
    """Show the stages of a run, what is stale because something before it has changed, and the next command.

    Example: `xtf status runs/quickstart`
    """
    from xtf import api
    from xtf.report import terminal

    found = api.open_run(run).status()
    if as_json:
        print_json(found.to_dict())
    else:
        terminal.print_status(out(), found)
