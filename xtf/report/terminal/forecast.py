"""What a run will take, as a page for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from xtf.display import counted, visible

_GIB = 2**30


def print_forecast(console: Console, forecast: Mapping[str, Any]) -> None:
    """Print a forecast of :func:`xtf.estimate`: model, data, memory by part, time, disk, and what would make it fit."""
    model, data = forecast["model"], forecast["data"]
    console.print(
        f"{visible(model['name'])}: {model['architecture']}, {model['parameters']:,} parameters, {model['dtype']} on "
        f"{model['device']}{'' if model['quantization'] == 'none' else ', linear layers in ' + model['quantization']}",
        markup=False,
    )
    about = "" if data["tokenised"] == data["examples"] else f" (from the first {data['tokenised']:,})"
    console.print(
        f"{counted(data['examples'], 'example')}, {counted(data['tokens'], 'token')}{about}, "
        f"{data['response_tokens']:,} of them in responses; the longest has {data['longest']:,}",
        markup=False,
    )
    scoring, training = forecast["scoring"], forecast.get("training")
    passes = " + ".join(f"{count:.3g} {visible(what)}" for what, count in scoring["passes"].items())
    console.print(f"passes over the data: {passes or 'none'}", markup=False)
    if training is not None:
        console.print(
            f"{counted(training['trainings'], 'training')} of {counted(training['updates'], 'update')} and "
            f"{counted(training['tokens'], 'token')}; {training['trained_parameters']:,} parameters are trained",
            markup=False,
        )
    console.print(_memory(scoring["memory"], training["memory"] if training is not None else {}))
    times = {"scoring": scoring["seconds"], **({"training": training["seconds"]} if training is not None else {})}
    told = ", ".join(f"{what} {_time(seconds)}" for what, seconds in times.items())
    console.print(f"time ({visible(forecast['time_from'])}): {told}", markup=False)
    if scoring["read_for_every_batch"]:
        size = _size(scoring["read_for_every_batch"])
        console.print(
            f"{size} of the weights stay on disk: read for every batch, which the time leaves out", markup=False
        )
    disk = forecast["disk"]
    folders = ", ".join(f"{name}/ {_size(size)}" for name, size in disk.items())
    console.print(f"disk: {_size(sum(disk.values()))} ({folders})", markup=False)
    _print_verdict(console, forecast)


def _print_verdict(console: Console, forecast: Mapping[str, Any]) -> None:
    free = f"{_size(forecast['memory_at_hand'])} at hand on {forecast['model']['device']}"
    lacking = [step for step, fits in forecast["fits"].items() if not fits]
    if not lacking:
        console.print(f"It fits: {free}.", markup=False)
        return
    console.print(f"It does not fit: {' and '.join(lacking)} need more than the {free}.", markup=False)
    last = forecast["would_fit"][-1] if forecast["would_fit"] else None
    if last is None or not last["fits"]:
        console.print("No setting makes it fit here: take a smaller model, shorter examples or another device.")
        return
    settings = " ".join(f"--set {one}" for step in last["set"] for one in step.split())
    console.print(f"It would fit, with {_size(last['memory'])}, by: {settings}", markup=False, soft_wrap=True)


def _memory(scoring: Mapping[str, int], training: Mapping[str, int]) -> Table:
    """Parts down, steps across."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("memory")
    table.add_column("scoring", justify="right")
    if training:
        table.add_column("training", justify="right")
    for part in dict.fromkeys([*scoring, *training]):
        cells = [_size(step[part]) if part in step else "" for step in (scoring, training) if step]
        table.add_row(part, *cells)
    table.add_row("all", *(_size(sum(step.values())) for step in (scoring, training) if step))
    return table


def _size(size: float) -> str:
    return f"{size / _GIB:.2f} GiB" if size >= _GIB / 100 else f"{size / 2**20:.2f} MiB"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
