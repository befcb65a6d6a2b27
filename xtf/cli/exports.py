"""Labels for other trainers and tools: export, apply-spans."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xtf.cli.app import RunArgument, SetOption, app, out
from xtf.display import command, counted, visible


@app.command()
def export(
    run: RunArgument,
    to: Annotated[str, typer.Option(help="The form to write; docs/trainers.md says what each is for.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Default: exports/EXPORTER in the run.")] = None,
    drop_worse_than: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="Leave out rows of which more than this share of response tokens is noise."),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option(metavar="OWNER/NAME", help="With --to hub: upload it as this data set, a private one if new."),
    ] = None,
) -> None:
    """Write the labels in the form that another trainer or tool reads.

    Example: `xtf export runs/quickstart --to trl --drop-worse-than 0.5`
    """
    from xtf import api

    done = api.export(run, to, output, drop_worse_than=drop_worse_than, push=push)
    counts = done.export
    lines = [
        f"written: {counted(len(done), 'file')}, {counted(counts.rows, 'row')} in {counts.folder}; "
        f"learnt: {done.learnt}; "
        f"the longest row has {counted(counts.longest, 'token')}"
    ]
    lines += [f"beside them: {', '.join(file.name for file in done.sidecars)}"] if done.sidecars else []
    lines += [f"pushed: https://huggingface.co/datasets/{push}"] if push else []
    lines += [f"go on: {command(*done.command)}"] if done.command else []
    for line in lines:
        out().print(visible(line), markup=False, soft_wrap=True)


@app.command(name="apply-spans")
def apply_spans(
    spans: Annotated[Path, typer.Argument(metavar="SPANS", help="What `xtf export RUN --to spans` wrote.")],
    model: Annotated[str, typer.Option(help="Whose tokenizer and template read the text; as for model.path.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write tokens with labels here. Default: only count.")
    ] = None,
    set_: SetOption = None,
) -> None:
    """Tokenise texts again and mask what their spans say; says how many tokens straddle the edge of a span.

    Example: `xtf apply-spans runs/quickstart/exports/spans --model Qwen/Qwen3-0.6B --output data/qwen`
    """
    from xtf import api

    done = api.apply_spans(spans, model, output, set_ or [])
    lines = [
        f"learnt: {done.learnt:,} of {counted(done.tokens, 'token')}, in {counted(done.rows, 'row')}",
        f"{counted(done.straddling, 'token')} masked that hold both masked and learnt characters",
        *([f"left out: {counted(done.nothing_left, 'row')} without a learnt token"] if done.nothing_left else []),
        *done.report.lines(),
        *([f"written: {counted(len(done.files), 'file')} in {output}"] if done.files else []),
    ]
    for line in lines:
        out().print(visible(line), markup=False, soft_wrap=True)
