"""A run in a terminal: what was scored, what was masked, what training measured, what to do next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xtf.config import PluginSection
from xtf.data.report import DataReport
from xtf.display import command, counted, quoted, visible
from xtf.evaluation.contrasts import contrast_lines
from xtf.explain.rulings import arms_decided_lines, decided_lines, dropped_lines, ruling_lines
from xtf.explain.terminal import example_text, is_plain, legend
from xtf.labelling.cuts import Cut, NumberControl, StepsControl
from xtf.runs.staleness import stale_parts

if TYPE_CHECKING:
    from xtf.explain import ExampleExplanation
    from xtf.labelling import LabelSummary
    from xtf.runs import RunReader
    from xtf.runs.vocabulary import Vocabulary


def print_scored(console: Console, run: RunReader) -> None:
    """Print what scoring read and wrote."""
    for line in DataReport.from_dict(run.manifest["data_report"]).lines():
        console.print(visible(line), markup=False)
    if not run.is_scored:
        there, all_ = (len(run.folder.indices(kind)) for kind in ("scores", "tokens"))
        console.print(f"this share is scored; {there:,} of {counted(all_, 'shard')} there", markup=False)
        return
    counts = run.manifest["counts"]
    console.print(
        f"scored {counted(counts['response_tokens'], 'response token')} of "
        f"{counted(counts['examples'], 'example')} under {', '.join(run.config.attributes)}",
        markup=False,
    )
    _print_warnings(console, run)
    _print_frozen(console, run)
    console.print(f"next: {command('xtf', 'label', run.path)}", markup=False, soft_wrap=True)


def print_run_head(console: Console, run: RunReader) -> None:
    """Print the data, the share masked, and what each attribute contributed."""
    for line in DataReport.from_dict(run.manifest["data_report"]).lines():
        console.print(visible(line), markup=False)
    _print_warnings(console, run)
    print_stale(console, run)
    summary = run.summary()
    console.print(
        Text(
            f"{summary.masked_tokens:,} of {counted(summary.response_tokens, 'response token')} masked "
            f"({summary.masked_share:.1%})",
            style="bold",
        )
    )
    for line in ruling_lines(summary.rulings) + decided_lines(run.manifest) + dropped_lines(run.manifest):
        console.print(visible(line), markup=False)
    console.print(_attribute_table(run, summary))
    _print_frozen(console, run)


def print_stale(console: Console, run: RunReader) -> None:
    """Print what speaks of scores, cuts or labels that are no longer there, each with what makes it again."""
    for one in stale_parts(run):
        console.print(Text(visible(one.sentence()), style="bold yellow"), soft_wrap=True)


_OFTEN = 5
"""Times that a token stands in the data before it says something that it is always masked."""
_REASONS = 8
_TASKS = "Benchmarks (lm-evaluation-harness): mean over seeds ± greatest standard error over rows"
"""Masked tokens of the example shown whose reasons are printed."""


def print_example(console: Console, run: RunReader, example_id: str | None = None) -> None:
    """Print one example as text, and why its first masked tokens are masked.

    Without ``example_id`` it is the first whose masked share is near the corpus's (or the last round's).
    """
    run = run.parts[-1]
    best = run.explain(example_id) if example_id is not None else _typical(run)
    if best is None:
        return
    console.print(Text(f"\n{visible(best.example_id)}: {best.noise_share:.0%} masked", style="bold"))
    console.print(example_text(best, plain=is_plain(console)))
    console.print(legend(best, plain=is_plain(console)))
    masked = [token for token in best.tokens if token.is_response and token.noise]
    for token in masked[:_REASONS]:
        console.print(Text(f"  {token.sentence}"), soft_wrap=True)
    if len(masked) > _REASONS:
        again = _explain(run, best.example_id)
        console.print(f"  … and {len(masked) - _REASONS} more: {again}", markup=False, soft_wrap=True)


def _explain(run: RunReader, example_id: str) -> str:
    """The command that gives a reason for every token of an example."""
    named = ("--example", example_id) if not example_id.startswith("-") else (f"--example={example_id}",)
    return command("xtf", "explain", run.path, *named, "--reasons")


def _typical(run: RunReader) -> ExampleExplanation | None:
    wanted = run.summary().masked_share
    best = None
    for example_id, _ in zip(run.example_ids(), range(8), strict=False):
        explanation = run.explain(example_id)
        if best is None or abs(explanation.noise_share - wanted) < abs(best.noise_share - wanted):
            best = explanation
    return best


def print_expected_wrong(console: Console, run: RunReader) -> None:
    """Print what is expected to be wrong in the data; nothing where no attribute says it."""
    for part in run.parts:
        for wrong in part.expected_wrong():
            console.print(f"{wrong.attribute}: {wrong.sentence()}", markup=False)


def print_summary(console: Console, run: RunReader) -> None:
    """Print shares, overlaps, positions, tokens and examples; of a self-evolving run also its rounds."""
    print_run_head(console, run)
    print_expected_wrong(console, run)
    print_rounds(console, run.manifest.get("rounds", []))
    summary, vocabulary = run.summary(), run.vocabulary
    overlaps = Table("lacking together", "tokens", "masked", box=None, title="Overlaps", title_justify="left")
    for overlap in summary.overlaps:
        overlaps.add_row(" + ".join(overlap.attributes) or "(none)", f"{overlap.tokens:,}", f"{overlap.masked:,}")
    console.print(overlaps)
    shares = " ".join(f"{share:.0%}" for share in summary.masked_share_by_decile)
    console.print(f"masked by position in the response, first to last tenth: {shares}", markup=False)
    if summary.released_by_guards:
        console.print(f"{counted(summary.released_by_guards, 'token')} kept by a guard", markup=False)
    console.print(_token_table(summary, vocabulary))
    _print_always_masked(console, summary, vocabulary)
    examples = Table("example", "masked", "response tokens", box=None, title="Most masked", title_justify="left")
    for example in summary.most_masked_examples[:5]:
        share = example.masked / max(example.response, 1)
        examples.add_row(Text(visible(example.example_id)), f"{share:.0%}", str(example.response))
    console.print(examples)


def print_metrics(console: Console, metrics: dict[str, Any]) -> None:
    """Print the arms side by side, and round by round if there are rounds; says nothing that the figures do not say."""
    print_rounds(console, metrics.get("rounds", []))
    table = Table(box=None, title="Arms, on held-out examples", title_justify="left")
    chosen = metrics["metrics"]["chosen"] if "metrics" in metrics else []
    shown = [f"{one['label']} (of {one['judged']})" for one in chosen]
    for name in ("arm", "seeds", "updates", "tokens learnt", "masked", "held-out loss", *shown, "seconds"):
        table.add_column(name, justify="left" if name == "arm" else "right")
    gaps = any(arm.get("gap_recovered") is not None for arm in metrics["arms"])
    if gaps:
        table.add_column("gap recovered", justify="right")
    for arm in metrics["arms"]:
        gap = arm.get("gap_recovered")
        table.add_row(
            arm["arm"],
            str(len(arm["seeds"])),
            str(arm["steps"]),
            f"{arm['tokens_kept']:,}",
            f"{arm['mask_share']:.1%}",
            _spread(arm["held_out_loss"], "{:.4f}"),
            *(_spread(arm["metrics"][one["name"]], "{:.1%}") for one in chosen),
            f"{arm['train_seconds']:.0f}",
            *([("" if gap is None else f"{gap:.0%}")] if gaps else []),
        )
    console.print()
    console.print(table)
    compared = contrast_lines(metrics.get("contrasts", []))
    for line in compared + judging_lines(metrics.get("metrics")) + arms_decided_lines(metrics.get("decided", {})):
        console.print(Text(line))
    _print_tasks(console, metrics["arms"])
    console.print(Text(metrics["note"], style="dim"))


def _print_tasks(console: Console, arms: Sequence[Mapping[str, Any]]) -> None:
    """Print the benchmarks, a row a figure and a column an arm; nothing if there are none."""
    if not any(arm.get("tasks") for arm in arms):
        return
    table = Table("task", "figure", "rows", box=None, title=_TASKS, title_justify="left")
    for arm in arms:
        table.add_column(Text(visible(arm["arm"])), justify="right")
    for place, one in enumerate(arms[0]["tasks"]):
        cells = [_task_cell(arm["tasks"][place]) for arm in arms]
        table.add_row(Text(visible(one["task"])), Text(visible(one["metric"])), f"{one['rows']:,}", *cells)
    console.print()
    console.print(table)


def _task_cell(found: Mapping[str, Any]) -> str:
    """A figure of a benchmark: the mean over seeds ± the greatest of their standard errors over rows."""
    errors = [error for error in found["error"] if error is not None]
    return f"{found['value']['mean']:.4f}" + (f" ± {max(errors):.4f}" if errors else "")


def judging_lines(found: Mapping[str, Any] | None) -> list[str]:
    """Which metrics judge the answers, and the rows that each cannot judge; nothing where no answers were generated."""
    if not found or not found["answered"]:
        return []
    rows, by_itself = found["answered"], found["asked_for"] == "auto"
    if not found["chosen"]:
        fits = ", ".join(f"{name} {count}" for name, count in found["fits"].items())
        return [
            f"Answers: not judged, for no metric fits at least half of the {rows} rows ({fits}; unit_tests only where "
            "it is named). Name what you want: --set 'evaluation.metrics=[…]'"
        ]
    names = ", ".join(one["name"] for one in found["chosen"])
    why = " (auto: those that fit at least half of the rows)" if by_itself else ""
    lines = [f"Answers: judged by {names}{why}, greedily generated for {rows} held-out rows."]
    for one in found["chosen"]:
        for part in one["unjudged"]:
            first = ", ".join(visible(str(name)) for name in part["example_ids"][:5])
            more = ", …" if part["rows"] > 5 else ""
            not_judged = f"{part['rows']} of {counted(rows, 'row')} not judged"
            lines.append(f"  {one['name']}: {not_judged}: {part['reason']} ({first}{more})")
    return lines


def print_rounds(console: Console, rounds: Sequence[Mapping[str, Any]]) -> None:
    """Print the rounds of a self-evolving run one under the other; nothing if there are none."""
    if not rounds:
        return
    table = Table(box=None, title="Rounds", title_justify="left")
    for name in ("round", "examples", "updates", "tokens learnt", "masked", "held-out loss", "exact match"):
        table.add_column(name, justify="right")
    table.add_column("scored against")
    for one in rounds:
        table.add_row(
            str(one["round"]),
            str(one["examples"]),
            str(one["steps"]),
            f"{one['tokens_kept']:,}",
            f"{one['mask_share']:.1%}",
            "" if one["held_out_loss"] is None else f"{one['held_out_loss']:.4f}",
            "" if one["exact_match"] is None else f"{one['exact_match']:.1%}",
            Text(one["reference"] or "(nothing: learns every token)"),
        )
    console.print()
    console.print(table)


def print_next_steps(console: Console, run: RunReader) -> None:
    """Print the paths written and commands worth trying."""
    folder = run.path
    first = next(run.example_ids())
    lines = [
        ("read any example", _explain(run, first)),
        ("the whole corpus", command("xtf", "summary", folder)),
        ("one round", command("xtf", "summary", run.parts[-1].path))
        if run.evolves
        else (
            "other cuts",
            command("xtf", "label", folder, "--set", f"thresholds.{_another_cut(run.config.thresholds)}"),
        ),
        ("train on the labels", f'load_dataset("parquet", data_files={f"{folder}/labels/*.parquet"!r})'),
    ]
    written = visible(f"{folder}/ (tokens/ scores/ labels/ manifest.json config.yaml)")
    console.print(f"\nwritten: {written}", markup=False, soft_wrap=True)
    for what, line in lines:
        console.print(f"  {what + ':':<22}{line}", markup=False, soft_wrap=True)


def _another_cut(thresholds: Mapping[str, PluginSection]) -> str:
    """A setting of one of the run's own cuts, a little different: ``novelty.cut=0.1``."""
    for name, cut in thresholds.items():
        for control in cut.controls() if isinstance(cut, Cut) else ():
            if isinstance(control, NumberControl):
                return f"{name}.{control.key}={_another_number(getattr(cut, control.key)):.3g}"
            if isinstance(control, StepsControl):
                return f"{name}.{control.key}={getattr(cut, control.key) / 2:.3g}"
    return f"{next(iter(thresholds))}.kind=never"


def _another_number(cut: float) -> float:
    """Twice as much; two thirds where twice would pass 1, as a probability cannot."""
    return cut / 1.5 if 0.5 < cut <= 1.0 else 2.0 * cut or 0.1


def _print_warnings(console: Console, run: RunReader) -> None:
    for entry in run.manifest.get("attributes", []):
        if entry["degenerate"]:
            console.print(
                Text(f"warning: {entry['name']} does not tell tokens apart: {entry['degenerate']}", style="bold yellow")
            )
        if entry.get("unjudged"):
            console.print(Text(f"warning: {entry['name']}: {visible(entry['unjudged'])}", style="bold yellow"))


def _print_frozen(console: Console, run: RunReader) -> None:
    """Say which scores that count are frozen at the base, where their papers take them anew at each step."""
    training = run.config.training
    if run.evolves or (training is not None and training.rescore_steps is not None):
        return
    combine, cuts = run.config.combine, run.config.thresholds
    named = combine.attributes_named().values()
    counting = [
        entry["name"]
        for entry in run.manifest.get("attributes", [])
        if entry.get("rescores") and (entry["name"] in named or cuts[entry["name"]].kind != "never")
    ]
    if counting:
        console.print(
            f"frozen at the base: {', '.join(counting)}; as published, scored anew at each step of training: "
            "set training.rescore_steps: 1",
            markup=False,
        )


def _attribute_table(run: RunReader, summary: LabelSummary) -> Table:
    table = Table("attribute", "lacking", "share", "cut", box=None)
    thresholds = run.config.thresholds
    for attribute in summary.attributes:
        cut = thresholds[attribute.name].model_dump(mode="json")
        kind = cut.pop("kind")
        settings = ", ".join(f"{key} {value}" for key, value in cut.items() if value is not None)
        table.add_row(attribute.name, f"{attribute.lacking:,}", f"{attribute.share:.1%}", f"{kind} {settings}")
    return table


def _token_table(summary: LabelSummary, vocabulary: Vocabulary) -> Table:
    table = Table(box=None, title="Tokens", title_justify="left")
    for name in ("most often masked", "", "most often kept", ""):
        table.add_column(name)
    for masked, kept in zip(summary.most_masked[:12], summary.most_kept[:12], strict=False):
        table.add_row(
            Text(quoted(vocabulary.alone(masked.token_id))),
            f"{masked.masked} of {masked.total}",
            Text(quoted(vocabulary.alone(kept.token_id))),
            f"{kept.total - kept.masked} of {kept.total}",
        )
    return table


def _print_always_masked(console: Console, summary: LabelSummary, vocabulary: Vocabulary) -> None:
    """Say which of the tokens counted above are masked wherever they stand, so that no context has a say."""
    always = [one for one in summary.most_masked if one.masked == one.total and one.total >= _OFTEN]
    if always:
        shown = ", ".join(f"{quoted(vocabulary.alone(one.token_id))} ({counted(one.total, 'time')})" for one in always)
        console.print(f"masked wherever they stand: {shown}", markup=False)


def _spread(values: dict[str, float] | None, form: str) -> str:
    if values is None:
        return ""
    text = form.format(values["mean"])
    return f"{text} ± {form.format(values['spread'])}" if values["spread"] is not None else text
