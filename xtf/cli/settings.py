"""What is installed and what a configuration says: attributes, check, init."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xtf.cli.app import ConfigArgument, SetOption, app, out
from xtf.display import command, visible


@app.command()
def attributes(name: Annotated[str | None, typer.Argument(help="Show one scorer in full.")] = None) -> None:
    """List the scorers that are installed, or one with its parameters.

    Example: `xtf attributes knowledge_novelty`
    """
    from xtf.report import terminal

    terminal.print_attributes(out(), name)


@app.command()
def check(config: ConfigArgument, set_: SetOption = None) -> None:
    """Check a configuration, scorer parameters included, and print it complete. Loads no model.

    Example: `xtf check configs/quickstart.yaml`
    """
    import yaml

    from xtf import api

    settings = api.load_config(config, set_ or [])
    out().print(
        yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True), markup=False, end=""
    )


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("xtf.yaml"),
    data: Annotated[str, typer.Option(help="Your examples.")] = "data.jsonl",
    model: Annotated[str, typer.Option(help="Your model.")] = "HuggingFaceTB/SmolLM2-135M-Instruct",
) -> None:
    """Write a commented configuration to start from.

    Example: `xtf init my-run.yaml --data train.jsonl --model Qwen/Qwen3-0.6B`
    """
    from xtf.config.starter import write_starter

    write_starter(path, data=data, model=model)
    console = out()
    console.print(visible(f"written: {path}. Next:"), markup=False, soft_wrap=True)
    for name, why in (("check", "every setting"), ("inspect", "the tokens"), ("run", "score, label, report")):
        console.print(f"  {why + ':':<22}{command('xtf', name, path)}", markup=False, soft_wrap=True)
