"""What happened to the rows: read, used, shortened, skipped and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from xtf.display import counted, html_lines
from xtf.errors import DataError

LOCATIONS_KEPT = 5
NAMES_SHOWN = 12


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
        return type(self)(self.reason, self.detail, location)

    def __str__(self) -> str:
        return ": ".join(part for part in (self.location, self.reason, self.detail) if part)


class LeftOut(RowError):
    """A row that is not to be learnt, as it says itself or the user does; no fault of the row."""


@dataclass(frozen=True, slots=True)
class Remark:
    """Something to know about a row that is used.

    Attributes:
        text: The same for every row that it concerns, so that rows can be counted by it.
        detail: What to do, or what is particular to this row.
        characters: How many characters it concerns, summed over the rows; 0 where that says nothing.
    """

    text: str
    detail: str = ""
    characters: int = 0


@dataclass(slots=True)
class Count:
    """In how many rows something happened, where first, the detail of the first time, and of how much."""

    count: int = 0
    locations: list[str] = field(default_factory=list)
    detail: str = ""
    characters: int = 0
    tokens: int = 0

    def add(self, location: str, detail: str = "", characters: int = 0, tokens: int = 0) -> None:
        """Count one more."""
        if not self.count:
            self.detail = detail
        self.count += 1
        self.characters += characters
        self.tokens += tokens
        if len(self.locations) < LOCATIONS_KEPT:
            self.locations.append(location)

    def merge(self, other: Count) -> None:
        """Add what another reader counted."""
        self.detail = self.detail if self.count else other.detail
        self.count += other.count
        self.characters += other.characters
        self.tokens += other.tokens
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
        schemas: Columns by which rows were recognised, to the number of examples read by them.
        unused: Column that nothing reads to the examples in which it holds something.
        decided: What flags of the data and rules of the user decided of targets, to the rows and tokens it holds for;
            a rule that found nothing counts 0.
        last_file: Short name of the file of the last example.
        last_file_examples: So many of the last examples are from it.
    """

    rows: int = 0
    examples: int = 0
    truncated: int = 0
    dropped_too_long: int = 0
    skipped: dict[str, Count] = field(default_factory=dict)
    warnings: dict[str, Count] = field(default_factory=dict)
    schemas: dict[str, int] = field(default_factory=dict)
    unused: dict[str, int] = field(default_factory=dict)
    decided: dict[str, Count] = field(default_factory=dict)
    last_file: str = ""
    last_file_examples: int = 0

    def use(self, file: str) -> None:
        """Count a row of ``file`` that became an example."""
        self.examples += 1
        self._add_of_last_file(file, 1)

    def skip(self, error: RowError) -> None:
        """Count a row left out."""
        self.skipped.setdefault(error.reason, Count()).add(error.location, error.detail)

    def warn(self, remark: Remark | str, location: str) -> None:
        """Count a remark on a row that is used."""
        remark = Remark(remark) if isinstance(remark, str) else remark
        self.warnings.setdefault(remark.text, Count()).add(location, remark.detail, remark.characters)

    def note(self, schema: str, unused: Iterable[str]) -> None:
        """Count how the columns of a row that is used were read."""
        for counts, name in ((self.schemas, schema), *((self.unused, column) for column in unused)):
            counts[name] = counts.get(name, 0) + 1

    def decide(self, cause: str, location: str, tokens: int = 0) -> None:
        """Count what flags or rules decided in a row, and of how many of its tokens."""
        self.decided.setdefault(cause, Count()).add(location, tokens=tokens)

    def merge(self, other: DataReport) -> None:
        """Add the counts of another part of the same data."""
        self.rows += other.rows
        self.examples += other.examples
        self.truncated += other.truncated
        self.dropped_too_long += other.dropped_too_long
        pairs = ((self.skipped, other.skipped), (self.warnings, other.warnings), (self.decided, other.decided))
        for mine, theirs in pairs:
            for reason, count in theirs.items():
                mine.setdefault(reason, Count()).merge(count)
        for here, there in ((self.schemas, other.schemas), (self.unused, other.unused)):
            here |= {name: here.get(name, 0) + count for name, count in there.items()}
        if other.examples:
            self._add_of_last_file(other.last_file, other.last_file_examples)

    def _add_of_last_file(self, file: str, examples: int) -> None:
        before = self.last_file_examples if file == self.last_file else 0
        self.last_file, self.last_file_examples = file, before + examples

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {
            "rows": self.rows,
            "examples": self.examples,
            "truncated": self.truncated,
            "dropped_too_long": self.dropped_too_long,
            "skipped": _plain(self.skipped),
            "warnings": _plain(self.warnings),
            "schemas": dict(self.schemas),
            "unused": dict(self.unused),
            "decided": _plain(self.decided),
            "last_file": self.last_file,
            "last_file_examples": self.last_file_examples,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> DataReport:
        """Restore what :meth:`to_dict` returned."""
        skipped, warnings, decided = (
            {
                text: Count(
                    *(each["count"], list(each["first"]), each["detail"]),
                    each.get("characters", 0),
                    each.get("tokens", 0),
                )
                for text, each in data.get(key, {}).items()
            }
            for key in ("skipped", "warnings", "decided")
        )
        schemas, unused = dict(data.get("schemas", {})), dict(data.get("unused", {}))
        counts = (data["rows"], data["examples"], data["truncated"], data["dropped_too_long"])
        last = data.get("last_file", ""), data.get("last_file_examples", 0)
        return cls(*counts, skipped, warnings, schemas, unused, decided, *last)

    def _repr_html_(self) -> str:
        first, *rest = self.lines()
        return html_lines(first, rest)

    def lines(self) -> list[str]:
        """Return the report as sentences, one a line; the first counts everything."""
        lines = [f"{_rows(self.rows)} read, {self.examples} used"]
        if self.schemas:
            lines.append(f"columns: {_counted(self.schemas)}")
        if self.unused:
            lines.append(f"not used: {_counted({repr(name): count for name, count in self.unused.items()})}")
        if self.truncated:
            lines.append(f"{self.truncated} cut to the greatest length (data.max_length)")
        if self.dropped_too_long:
            lines.append(f"{_rows(self.dropped_too_long)} dropped: longer than data.max_length")
        lines += [f"{_rows(count.count)} skipped: {_where(reason, count)}" for reason, count in self.skipped.items()]
        lines += [
            f"{_rows(count.count)} with a warning: {_where(text, count)}" for text, count in self.warnings.items()
        ]
        return lines + [_decided(text, count) for text, count in self.decided.items()]


def _decided(cause: str, count: Count) -> str:
    if not count.count:
        return f"no row: {cause}: nothing was found"
    tokens = f", {counted(count.tokens, 'token')}" if count.tokens else ""
    return f"{_rows(count.count)}{tokens}: {_where(cause, count)}"


def _rows(count: int) -> str:
    return counted(count, "row")


def _counted(counts: Mapping[str, int]) -> str:
    most = sorted(counts.items(), key=lambda item: -item[1])
    more = f", and {len(most) - NAMES_SHOWN} more" if len(most) > NAMES_SHOWN else ""
    return ", ".join(f"{name} in {_rows(count)}" for name, count in most[:NAMES_SHOWN]) + more


def _where(reason: str, count: Count) -> str:
    size = f", {counted(count.characters, 'character')}" if count.characters else ""
    detail = f"{size}: {count.detail}" if count.detail else size
    more = ", …" if count.count > len(count.locations) else ""
    return f"{reason}{detail} ({', '.join(count.locations)}{more})"


def _plain(counts: Mapping[str, Count]) -> dict[str, Any]:
    return {
        reason: {"count": count.count, "first": list(count.locations), "detail": count.detail}
        | ({"characters": count.characters} if count.characters else {})
        | ({"tokens": count.tokens} if count.tokens else {})
        for reason, count in counts.items()
    }
