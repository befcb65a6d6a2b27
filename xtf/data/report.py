"""What happened to the rows: read, used, shortened, skipped and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xtf.errors import DataError

LOCATIONS_KEPT = 5


class RowError(DataError):
    """One row that cannot be used.

    Attributes:
        reason: The kind of fault, the same text for every row that has it, so that rows can be counted by it.
        detail: What is particular to this row.
        location: File and line, for example ``data/train.jsonl:417``.
    """

    def __init__(self, reason: str, detail: str = "", location: str = "") -> None:
        super().__init__(reason, detail, location)
        self.reason, self.detail, self.location = reason, detail, location

    def at(self, location: str) -> RowError:
        """Return the same fault with its place."""
        return RowError(self.reason, self.detail, location)

    def __str__(self) -> str:
        return ": ".join(part for part in (self.location, self.reason, self.detail) if part)


@dataclass(slots=True)
class Count:
    """How often something happened, where first, and the detail of the first time."""

    count: int = 0
    locations: list[str] = field(default_factory=list)
    detail: str = ""

    def add(self, location: str, detail: str = "") -> None:
        """Count one more."""
        if not self.count:
            self.detail = detail
        self.count += 1
        if len(self.locations) < LOCATIONS_KEPT:
            self.locations.append(location)

    def merge(self, other: Count) -> None:
        """Add what another reader counted."""
        self.detail = self.detail if self.count else other.detail
        self.count += other.count
        self.locations = (self.locations + other.locations)[:LOCATIONS_KEPT]


@dataclass(slots=True)
class DataReport:
    """Counts that add up: ``rows`` = ``examples`` + ``dropped_too_long`` + all of ``skipped``.

    Attributes:
        rows: Rows read, broken ones included.
        examples: Rows that became an example.
        truncated: Examples cut to ``data.max_length``.
        dropped_too_long: Rows left out because ``data.too_long`` is ``drop``.
        skipped: Reason to the rows left out for it.
        warnings: Remark to the rows it concerns; such rows are used.
    """

    rows: int = 0
    examples: int = 0
    truncated: int = 0
    dropped_too_long: int = 0
    skipped: dict[str, Count] = field(default_factory=dict)
    warnings: dict[str, Count] = field(default_factory=dict)

    def skip(self, error: RowError) -> None:
        """Count a row left out."""
        self.skipped.setdefault(error.reason, Count()).add(error.location, error.detail)

    def warn(self, remark: str, location: str, detail: str = "") -> None:
        """Count a remark on a row that is used."""
        self.warnings.setdefault(remark, Count()).add(location, detail)

    def merge(self, other: DataReport) -> None:
        """Add the counts of another part of the same data."""
        self.rows += other.rows
        self.examples += other.examples
        self.truncated += other.truncated
        self.dropped_too_long += other.dropped_too_long
        for mine, theirs in ((self.skipped, other.skipped), (self.warnings, other.warnings)):
            for reason, count in theirs.items():
                mine.setdefault(reason, Count()).merge(count)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "rows": self.rows,
            "examples": self.examples,
            "truncated": self.truncated,
            "dropped_too_long": self.dropped_too_long,
            "skipped": _plain(self.skipped),
            "warnings": _plain(self.warnings),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DataReport:
        """Restore what :meth:`to_dict` returned."""
        skipped, warnings = (
            {text: Count(each["count"], list(each["first"]), each["detail"]) for text, each in data[key].items()}
            for key in ("skipped", "warnings")
        )
        return cls(data["rows"], data["examples"], data["truncated"], data["dropped_too_long"], skipped, warnings)

    def lines(self) -> list[str]:
        """Return the report as sentences, one a line; the first counts everything."""
        lines = [f"{_rows(self.rows)} read, {self.examples} used"]
        if self.truncated:
            lines.append(f"{self.truncated} cut to the greatest length (data.max_length)")
        if self.dropped_too_long:
            lines.append(f"{_rows(self.dropped_too_long)} dropped: longer than data.max_length")
        lines += [f"{_rows(count.count)} skipped: {_where(reason, count)}" for reason, count in self.skipped.items()]
        lines += [
            f"{_rows(count.count)} with a warning: {_where(text, count)}" for text, count in self.warnings.items()
        ]
        return lines


def _rows(count: int) -> str:
    return f"{count} row" if count == 1 else f"{count} rows"


def _where(reason: str, count: Count) -> str:
    detail = f": {count.detail}" if count.detail else ""
    more = ", …" if count.count > len(count.locations) else ""
    return f"{reason}{detail} ({', '.join(count.locations)}{more})"


def _plain(counts: Mapping[str, Count]) -> dict[str, Any]:
    return {
        reason: {"count": count.count, "first": list(count.locations), "detail": count.detail}
        for reason, count in counts.items()
    }
