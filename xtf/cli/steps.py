"""The steps of a run: run, score, label, train, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from xtf.cli.app import ConfigArgument, JsonOption, OverwriteOption, RunArgument, SetOption, app, out, print_json
from xtf.errors import ConfigError


@app.command()
def run(config: ConfigArgument, set_: SetOption = None, overwrite: OverwriteOption = False) -> None:
    """Score, label, explain, write the report and, if the file has a training section, train and compare.

    Example: `xtf run configs/quickstart.yaml --set data.limit=20`
    """
    from xtf import api
    from xtf.report import terminal, write_report

    settings = api.load_config(config, set_ or [])
    console = out()
    in_rounds = settings.strategy.kind == "self_evolving"
    labelled = (
        api.run(settings, overwrite=overwrite) if in_rounds else api.label(api.score(settings, overwrite=overwrite))
    )
    terminal.print_run_head(console, labelled)
    terminal.print_expected_wrong(console, labelled)
    example = None
    if settings.truth is not None and not in_rounds:
        detection = api.detect(labelled, settings.truth)
        terminal.print_detection(console, detection)
        example = detection["example"]
    terminal.print_example(console, labelled, example)
    if in_rounds:
        terminal.print_metrics(console, labelled.metrics)
    report_path = write_report(labelled.parts[-1])
    terminal.print_next_steps(console, labelled)
    terminal.print_report_path(console, report_path)
    if settings.training is not None and not in_rounds:
        terminal.print_training_begins(console, labelled)
        terminal.print_metrics(console, api.train(labelled))
        terminal.print_report_path(console, write_report(labelled))


@app.command()
def score(
    config: ConfigArgument,
    set_: SetOption = None,
    overwrite: OverwriteOption = False,
    shard: Annotated[
        str | None, typer.Option(metavar="N/OF", help="Score every OF-th shard, beside other processes: 3/16.")
    ] = None,
    engine: Annotated[str, typer.Option(help="plain: in this process; ray: on a Ray cluster.")] = "plain",
    address: Annotated[
        str | None, typer.Option(help="With ray: auto or HOST:PORT; else a cluster of this machine alone.")
    ] = None,
    num_gpus: Annotated[
        float | None, typer.Option(help="With ray: GPUs for each model; 0.5: two share one. Else 1, if there are any.")
    ] = None,
    num_cpus: Annotated[
        float | None, typer.Option(help="With ray: CPUs for each model. Else 1 beside a GPU, or up to 4.")
    ] = None,
    actors: Annotated[
        int | None, typer.Option(help="With ray: at most so many models. Else as many as find room.")
    ] = None,
) -> None:
    """Tokenise and score; finished shards are kept, so the same command continues an interrupted run.

    Example: `xtf score configs/xtf-gsm8k.yaml --set data.path=train.jsonl --set output=runs/gsm8k`

    On a cluster: `xtf score my-run.yaml --engine ray --address auto --num-gpus 0.5`
    """
    from xtf import api
    from xtf.cluster import RayEngine
    from xtf.report import terminal

    settings = api.load_config(config, set_ or [])
    given = {"address": address, "num_gpus": num_gpus, "num_cpus": num_cpus, "actors": actors}
    named = [f"--{name.replace('_', '-')}" for name, value in given.items() if value is not None]
    if engine not in ("plain", "ray"):
        raise ConfigError(f"--engine {engine}: expected plain or ray")
    if engine == "plain" and named:
        raise ConfigError(f"{', '.join(named)}: only with --engine ray")
    if engine == "ray" and shard is not None:
        raise ConfigError("--shard: not with --engine ray, which shares the work itself")
    chosen = (
        RayEngine(address=address, num_gpus=num_gpus, num_cpus=num_cpus, actors=actors) if engine == "ray" else None
    )
    scored = api.score(settings, overwrite=overwrite, shard=shard, engine=chosen or "plain")
    terminal.print_scored(out(), scored)


@app.command()
def estimate(
    config: ConfigArgument,
    set_: SetOption = None,
    throughput: Annotated[
        float | None, typer.Option(help="Tokens a second of one pass, as on the machine to come; else a short trial.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a run will take: memory by part, tokens, passes, time, disk, and whether it fits. Loads no weights.

    Example: `xtf estimate configs/quickstart.yaml --set training.batch_size=16`
    """
    from xtf import api
    from xtf.report import terminal

    forecast = api.estimate(api.load_config(config, set_ or []), throughput=throughput)
    print_json(forecast) if as_json else terminal.print_forecast(out(), forecast)


@app.command()
def label(
    run: RunArgument,
    set_: SetOption = None,
    verdicts: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", readable=False, help="What a person decided on the page; goes before the cuts, and is kept."
        ),
    ] = None,
    no_verdicts: Annotated[
        bool, typer.Option("--no-verdicts", help="Forget what people decided on this run before.")
    ] = False,
) -> None:
    """Turn scores into labels again, with other cuts, another rule or people's verdicts; needs no model.

    Example: `xtf label runs/quickstart --set thresholds.knowledge_novelty.cut=0.1`

    With what was accepted and rejected on the page: `xtf label runs/quickstart --verdicts verdicts.json`
    """
    from xtf import api
    from xtf.report import renew_report, terminal

    if no_verdicts and verdicts:
        raise ConfigError("--no-verdicts: forgets verdicts, and --verdicts adds some; give one of them")
    labelled = api.label(run, set_ or [], verdicts=None if no_verdicts else verdicts or ())
    page = renew_report(labelled)
    terminal.print_run_head(out(), labelled)
    terminal.print_renewed(out(), page)


@app.command()
def train(run: RunArgument, set_: SetOption = None) -> None:
    """Fine-tune with noise tokens masked, and compare the arms of `training.arms`.

    Example: `xtf train runs/quickstart --set 'training.arms=[full,xtf]' --set 'training.seeds=[0,1,2]'`
    """
    from xtf import api
    from xtf.report import renew_report, terminal

    terminal.print_metrics(out(), api.train(run, set_ or []))
    terminal.print_renewed(out(), renew_report(api.open_run(run)))


@app.command()
def evaluate(
    run: RunArgument,
    data: Annotated[str | None, typer.Option(help="Held-out examples, instead of evaluation.path.")] = None,
    set_: SetOption = None,
    truth: Annotated[
        Path | None, typer.Option(help="Which tokens are wrong: judge scores and labels instead of trained arms.")
    ] = None,
    grain: Annotated[str, typer.Option(help="With --truth: token, or span (wrong spans and lines).")] = "token",
    as_json: JsonOption = False,
) -> None:
    """Evaluate every trained arm again, for example on other held-out examples or with longer answers.

    Example: `xtf evaluate runs/quickstart --data test.jsonl --set evaluation.max_new_tokens=300`

    With a truth file: `xtf evaluate runs/quickstart --truth noisy.truth.jsonl`
    """
    from xtf import api
    from xtf.config import quoted
    from xtf.report import renew_report, terminal

    if truth is not None:
        if grain not in ("token", "span") or data or set_:
            raise ConfigError("--truth: goes with --grain token or span, and with no --data or --set")
        found: dict[str, Any] = api.detect(run, truth, "span" if grain == "span" else "token")
    else:
        found = api.evaluate(run, [*(set_ or []), *([f"evaluation.path={quoted(data)}"] if data else [])])
    page = renew_report(api.open_run(run))
    if as_json:
        print_json(found)
        return
    terminal.print_detection(out(), found) if truth is not None else terminal.print_metrics(out(), found)
    terminal.print_renewed(out(), page)
