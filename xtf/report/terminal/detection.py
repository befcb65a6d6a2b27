"""What a person reads of how well wrong tokens were found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from xtf.display import counted, visible
from xtf.evaluation.detection import LABELS, POSITION, describe_detection
from xtf.noise import known_kinds


def print_detection(console: Console, detection: Mapping[str, Any]) -> None:
    """Print what ``detection.json`` holds: the sentence, then a table, kinds, and calibration."""
    console.print(describe_detection(detection), markup=False, soft_wrap=True)
    console.print()
    console.print(_table(detection))
    if detection["grain"] == "token":
        console.print()
        console.print(_kinds(detection))
    for name, found in detection["calibration"].items():
        console.print(
            f"\n{name} as a probability: expected calibration error {found['expected_calibration_error']:.3f}",
            markup=False,
        )
    if detection["examples_without_truth"]:
        console.print(
            f"{counted(detection['examples_without_truth'], 'example')} without truth left out.", markup=False
        )


def _table(detection: Mapping[str, Any]) -> Table:
    spans = detection["grain"] == "span"
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    table.add_column("AUROC", justify="right")
    if spans:
        table.add_column("judged by")
    else:
        table.add_column("at like positions", justify="right")
    for heading in ("average precision",) if spans else ("average precision", "precision", "recall", "right masked"):
        table.add_column(heading, justify="right")
    for row in detection["found"]:
        name = "position alone" if row["name"] == POSITION else visible(row["name"])
        cells = [name, _interval(row["auroc"])]
        cells.append(row["judged_by"] if spans else _number(row["auroc_at_like_positions"]))
        cells.append(_interval(row["average_precision"]))
        if not spans:
            cells += [_share(row.get(key)) for key in ("precision", "recall", "right_masked")]
        table.add_row(*cells)
    return table


def _kinds(detection: Mapping[str, Any]) -> Table:
    """The most frequent kind first: how many tokens, the shares masked and of these named right, and each AUROC."""
    by_name = {row["name"]: row["kinds"] for row in detection["found"]}
    names = [name for name in by_name if name != POSITION]
    kinds: Mapping[str, Any] = next(iter(by_name.values()), {})
    masked: Mapping[str, Any] = by_name.get(LABELS, {})
    columns = {"found": "recall", "named right": "named_right"}
    columns = {title: key for title, key in columns.items() if any(key in one for one in masked.values())}
    table = Table(
        box=None, pad_edge=False, padding=(0, 2, 0, 0), title="By kind, with each AUROC", title_justify="left"
    )
    table.add_column("kind")
    for title in ("tokens", *columns, *map(visible, names)):
        table.add_column(title, justify="right")
    labels = {name: kind.label for name, kind in known_kinds().items()}
    for kind, entry in sorted(kinds.items(), key=lambda one: -one[1]["tokens"]):
        shares = [_percent(masked[kind].get(key)) for key in columns.values()]
        cells = [_number(by_name[name].get(kind, {}).get("auroc")) for name in names]
        table.add_row(visible(labels.get(kind, kind)), f"{entry['tokens']:,}", *shares, *cells)
    return table


def _interval(estimate: Mapping[str, float | None]) -> str:
    value, low, high = estimate["value"], estimate["low"], estimate["high"]
    if value is None:
        return "–"
    return f"{value:.2f}" if low is None or high is None else f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _share(estimate: Mapping[str, float | None] | None) -> str:
    value = estimate["value"] if estimate else None
    return "–" if value is None else f"{value:.1%}"
