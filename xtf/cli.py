"""The command line: arguments in, one call of the API, its result shown. No logic lives here."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from xtf.display import visible
from xtf.errors import ConfigError, XTFError
from xtf.runs.worker import Worker


class _Commands(TyperGroup):
    """Turns a user's mistake into one clear message and exit code 2, and Ctrl-C into a hint and 130."""

    def invoke(self, ctx: Any) -> Any:
        errors = Console(stderr=True, highlight=False, soft_wrap=True)
        try:
            return super().invoke(ctx)
        except XTFError as error:
            if os.environ.get("XTF_TRACEBACK"):
                raise
            errors.print("[bold red]error:[/] ", end="")
            errors.print("\n".join(visible(line) for line in str(error).split("\n")), markup=False)
            raise typer.Exit(error.exit_code) from error
        except BrokenPipeError:
            raise  # whoever read the output has left, as `head` does
        except OSError as error:
            if os.environ.get("XTF_TRACEBACK"):
                raise
            errors.print("[bold red]error:[/] ", end="")
            errors.print(visible(f"{error.filename or 'input or output'}: {error.strerror or error}"), markup=False)
            raise typer.Exit(2) from error
        except KeyboardInterrupt:
            errors.print("\nInterrupted. Everything finished so far is kept; run the same command again to go on.")
            raise typer.Exit(130) from None


app = typer.Typer(
    name="xtf",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="See which tokens of your fine-tuning data are worth learning, and why; train with the rest masked.",
)

_WIDTH_OF_A_PIPE = 140

ConfigArgument = Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file; `xtf init` writes one.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a setting; may be repeated.")
]
OverwriteOption = Annotated[bool, typer.Option("--overwrite", help="Replace another run in the same folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a page for people.")]


def _out() -> Console:
    width = None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE
    return Console(highlight=False, width=width, quiet=not Worker.speaks())


def _print_json(value: Any) -> None:
    if not Worker.speaks():
        return
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode() + "\n")  # half of a surrogate pair: \udXXX


@app.command()
def run(config: ConfigArgument, set_: SetOption = None, overwrite: OverwriteOption = False) -> None:
    """Score, label, explain and, if the file has a training section, train and compare.

    Example: `xtf run configs/quickstart.yaml --set data.limit=20`
    """
    from xtf import api
    from xtf.report import terminal, write_report

    settings = api.load_config(config, set_ or [])
    console = _out()
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
    if settings.training is not None:
        if not in_rounds:
            api.train(labelled)
        terminal.print_metrics(console, labelled.metrics)
    report_path = write_report(labelled.parts[-1])
    terminal.print_next_steps(console, labelled)
    console.print(f"  {'read it all:':<22}{report_path}", markup=False)


@app.command()
def score(
    config: ConfigArgument,
    set_: SetOption = None,
    overwrite: OverwriteOption = False,
    shard: Annotated[
        str | None, typer.Option(metavar="N/OF", help="Score every OF-th shard, beside other processes: 3/16.")
    ] = None,
) -> None:
    """Tokenise and score; finished shards are kept, so the same command continues an interrupted run.

    Example: `xtf score configs/xtf-gsm8k.yaml --set data.path=train.jsonl --set output=runs/gsm8k`
    """
    from xtf import api
    from xtf.report import terminal

    terminal.print_scored(_out(), api.score(api.load_config(config, set_ or []), overwrite=overwrite, shard=shard))


@app.command()
def label(run: RunArgument, set_: SetOption = None) -> None:
    """Turn scores into labels again, with other cuts or another rule; needs no model.

    Example: `xtf label runs/quickstart --set thresholds.knowledge_novelty.cut=0.1`
    """
    from xtf import api
    from xtf.report import terminal

    terminal.print_run_head(_out(), api.label(run, set_ or []))


@app.command()
def train(run: RunArgument, set_: SetOption = None) -> None:
    """Fine-tune with noise tokens masked, and compare the arms of `training.arms`.

    Example: `xtf train runs/quickstart --set training.arms=[full,xtf] --set training.seeds=[0,1,2]`
    """
    from xtf import api
    from xtf.report import terminal

    api.train(run, set_ or [])
    terminal.print_metrics(_out(), api.open_run(run).metrics)


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
    from xtf.report import terminal

    if truth is not None:
        if grain not in ("token", "span") or data or set_:
            raise ConfigError("--truth: goes with --grain token or span, and with no --data or --set")
        detection = api.detect(run, truth, "span" if grain == "span" else "token")
        _print_json(detection) if as_json else terminal.print_detection(_out(), detection)
        return
    overrides = [*(set_ or []), *([f"evaluation.path={quoted(data)}"] if data else [])]
    metrics = api.evaluate(run, overrides)
    _print_json(metrics) if as_json else terminal.print_metrics(_out(), metrics)


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
    explanation = opened.explain(example if example is not None else next(opened.example_ids()))
    if as_json:
        _print_json(explanation.to_dict())
    else:
        terminal.print_explanation(_out(), explanation, token=token, reasons=reasons)


@app.command()
def summary(run: RunArgument, as_json: JsonOption = False) -> None:
    """Share masked, by attribute and together, and the tokens most often masked and kept.

    Example: `xtf summary runs/quickstart`
    """
    from xtf import api
    from xtf.report import terminal

    opened = api.open_run(run)
    if as_json:
        _print_json(
            {
                **opened.summary().to_dict(),
                "wrong": [w.to_dict() for w in opened.expected_wrong()],
                "rounds": opened.manifest.get("rounds", []),
            }
        )
    else:
        terminal.print_summary(_out(), opened)


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
        _print_json(overview(opened))
        return
    others = [api.open_run(path) for path in compare or []]
    _out().print(f"written: {write_report(opened, output, example, others)}", markup=False)


@app.command()
def export(
    run: RunArgument,
    to: Annotated[str, typer.Option(help="The form to write, an exporter: labels, or one of an installed package.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Default: exports/EXPORTER in the run.")] = None,
) -> None:
    """Write the labels in the form that another trainer or tool reads.

    Example: `xtf export runs/quickstart --to labels --output data/quickstart`
    """
    from xtf import api

    files = api.export(run, to, output)
    _out().print(f"written: {len(files)} files in {files[0].parent}" if files else "nothing to write", markup=False)


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

    opened = [api.open_run(path) for path in runs]
    wanted = example if example is not None else next(opened[0].example_ids())
    terminal.print_comparison(_out(), [(str(run.path), run.explain(wanted)) for run in opened])


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
        _print_json(inspection.to_dict())
    else:
        terminal.print_inspection(_out(), inspection)
    if strict and (faults := inspection.faults()):
        Console(stderr=True, highlight=False, soft_wrap=True).print(
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
    terminal.print_planted(_out(), planted)


@app.command()
def attributes(name: Annotated[str | None, typer.Argument(help="Show one scorer in full.")] = None) -> None:
    """List the scorers that are installed, or one with its parameters.

    Example: `xtf attributes knowledge_novelty`
    """
    from xtf.report import terminal

    terminal.print_attributes(_out(), name)


@app.command()
def check(config: ConfigArgument, set_: SetOption = None) -> None:
    """Check a configuration, scorer parameters included, and print it complete. Loads no model.

    Example: `xtf check configs/quickstart.yaml`
    """
    import yaml

    from xtf import api

    settings = api.load_config(config, set_ or [])
    _out().print(
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
    _out().print(f"Wrote {path}. Next: xtf check {path}, xtf inspect {path}, xtf run {path}", markup=False)


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the ``xtf`` command."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    app(args=arguments)
