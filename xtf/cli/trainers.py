"""What looks at other trainers: check-trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xtf.cli.app import RunArgument, app, out


@app.command()
def check_trainer(
    run: RunArgument,
    dataset: Annotated[
        Path | None,
        typer.Option(
            "--dataset", "-d", metavar="FOLDER", help="What a trainer has prepared. Default: labels/ as it is."
        ),
    ] = None,
    max_length: Annotated[
        int | None, typer.Option("--max-length", min=1, help="Tokens after which the trainer will cut a row.")
    ] = None,
    weights: Annotated[
        bool, typer.Option("--weights/--labels-alone", help="Whether the run's weights must arrive too.")
    ] = True,
    subset: Annotated[bool, typer.Option("--subset", help="Rows are left out on purpose.")] = False,
) -> None:
    """Compare what a trainer will learn with the run's labels: every token, whether cut, packed or tokenised again.

    Exits with 1 if something else would be learnt. Prints the lines that check the trainer itself, with its collator
    and its first loss.

    Example: `xtf check-trainer runs/quickstart --max-length 1024`

    A prepared data set of axolotl, LLaMA-Factory or TRL: `xtf check-trainer RUN --dataset last_run_prepared/HASH`
    """
    from xtf.integrations.checking import check_dataset

    found = check_dataset(dataset or run / "labels", run, weights=weights, subset=subset, longest=max_length)
    options = ("" if weights else ", weights=False") + (", subset=True" if subset else "")
    out().print(
        f"{found}\n\nTo check the trainer itself, its collator and its first loss, add to your script:\n\n"
        "    from xtf.integrations.callback import CheckCallback\n"
        f"    trainer.add_callback(CheckCallback({str(run)!r}{options}))",
        markup=False,
        soft_wrap=True,
    )
