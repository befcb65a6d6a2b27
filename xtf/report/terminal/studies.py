"""What a person reads of a study: its plan, every arm, every comparison, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xtf.display import visible
from xtf.report.figures_of_study import describe_setting, interval, number, p_value, share

if TYPE_CHECKING:
    from xtf.studies import Plan

_WIDTH = 80


def print_plan(console: Console, plan: Plan) -> None:
    """Print what a study would train, and how much of it is done and how long the rest takes, if any of it is."""
    from xtf.studies.timing import describe_plan, done_so_far

    for line in describe_plan(plan, done_so_far(plan)).split("\n"):
        console.print(Text(visible(line)))


def print_study(console: Console, study: Mapping[str, Any]) -> None:
    """Print what ``study.json`` holds, within 80 columns: a table of arms, one of comparisons, sentences."""
    for setting in study["settings"]:
        console.print()
        console.print(Text(visible(describe_setting(setting)), style="bold"), width=_WIDTH)
        console.print(_arms(setting), width=_WIDTH)
        if setting["contrasts"]:
            console.print(_contrasts(setting), width=_WIDTH)
        if setting["curve"]:
            console.print(_curve(setting["curve"]), width=_WIDTH)
        for sentence in setting["verdict"]:
            console.print(Text(f"• {visible(sentence)}"), width=_WIDTH)
    for one in study["failed"]:
        line = f"failed: {one['setting']}, {one['arm']}, seed {one['seed']}: {one['why']}"
        console.print(Text(visible(line), style="red"), width=_WIDTH)


def _arms(setting: Mapping[str, Any]) -> Table:
    answers = any(arm["right"] for arm in setting["arms"])
    columns = ["learnt", "loss", "own tokens", "unrelated", *(["right"] if answers else [])]
    table = _table("arm", columns)
    for arm in setting["arms"]:
        cells = [share(arm["share_learnt"])]
        cells += [number(arm[key] and arm[key]["mean"]) for key in ("held_out", "learnt", "retention")]
        cells += [share(arm["right"] and arm["right"]["mean"])] if answers else []
        table.add_row(Text(visible(arm["arm"])), *cells)
    return table


def _contrasts(setting: Mapping[str, Any]) -> Table:
    table = _table("arm against random", ["gain in nats [95 %]", "p (Holm)", "of the gap [95 %]"])
    for one in setting["contrasts"]:
        gain, found = one["gain"], one["recovered"]
        gap = ""
        if found is not None and found["value"] is not None:
            ends = "" if found["low"] is None else f" [{found['low']:.0%}, {found['high']:.0%}]"
            gap = f"{found['value']:.0%}{ends}"
        table.add_row(Text(visible(one["arm"])), interval(gain), p_value(gain), gap)
    return table


def _curve(points: Sequence[Mapping[str, Any]]) -> Table:
    table = _table("masked", ["share", "loss", "at random", "gain in nats [95 %]"])
    for one in points:
        losses = (one[key] and one[key]["mean"] for key in ("loss", "loss_at_random"))
        name = f"{one['masked']} by {visible(one['score'])}"
        table.add_row(Text(name), share(one["share"]), *map(number, losses), interval(one["gain"]))
    return table


def _table(first: str, others: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table
