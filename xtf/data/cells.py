"""The columns of one row, and which of them were read: what nothing reads is told in the data report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from xtf.data.flag_names import OF_TURNS
from xtf.data.messages import NO_ROLES, as_messages, text_of
from xtf.data.report import RowError
from xtf.data.value_tests import NO_TESTS
from xtf.errors import listed

NAMES = frozenset(("id", "example_id"))
"""Columns that name a row; the reader reads them."""
SYSTEM = ("system", "system_prompt", "system_message")
"""Columns of a system prompt; the first that holds one is read."""


class Cells(Mapping[str, Any]):
    """A row's columns, those that hold null left out; ``row[key]`` and ``row.get(key)`` count as reading.

    Args:
        row: Column to value.
        system: ``data.columns.system``: the column of the system prompt, if it has another name than usual.
        roles: ``data.roles``.
        only: ``data.only``. Of the columns that it speaks of, whatever else they say of learning is not asked.
    """

    def __init__(
        self,
        row: Mapping[str, Any],
        system: str | None = None,
        roles: Mapping[str, str] = NO_ROLES,
        only: Mapping[str, Any] = NO_TESTS,
    ) -> None:
        self._cells = {str(key): value for key, value in row.items() if value is not None}
        self._read: set[str] = set()
        self.system, self.roles, self._only = system, roles, only
        self.settled = frozenset(only)

    def __getitem__(self, key: str) -> Any:
        self._read.add(key)
        return self._cells[key]

    def __contains__(self, key: object) -> bool:
        return key in self._cells

    def __iter__(self) -> Iterator[str]:
        return iter(self._cells)

    def __len__(self) -> int:
        return len(self._cells)

    def column(self, key: str) -> Any:
        """The value of a column that must be there.

        Raises:
            RowError: it is not.
        """
        if key not in self:
            raise RowError(f"no column {key!r}", f"data.columns names it; found keys {listed(map(repr, self))}")
        return self[key]

    def peek(self, key: str) -> Any:
        """The value of a column, None where there is none; does not count as reading it."""
        return self._cells.get(key)

    def with_columns(self, **more: Any) -> Cells:
        """The same row with further columns; what is read there counts as read here."""
        extended = Cells({**self._cells, **more}, self.system, self.roles, self._only)
        extended._read = self._read
        return extended

    def text(self, key: str | None) -> str:
        """The text of a column, "" where the row has none of that name; of several texts, each after a blank line."""
        value = self[key] if key is not None and key in self else ""
        if isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
            value = "\n\n".join(value)
        return text_of(value, str(key))

    def system_prompt(self) -> str:
        """The text of the system column: the one that is named, or one of :data:`SYSTEM`."""
        if self.system is not None:
            return text_of(self.column(self.system), self.system)
        return next((text for name in SYSTEM if (text := self.text(name))), "")

    def unread(self) -> list[str]:
        """Columns that hold something and that nothing has read."""
        return [key for key, value in self._cells.items() if key not in self._read | NAMES and _holds(value)]

    def in_lower_case(self) -> Cells:
        """The same row with its columns named in lower case."""
        only = {key if key.startswith(OF_TURNS) else key.lower(): wanted for key, wanted in self._only.items()}
        return Cells({key.lower(): value for key, value in self._cells.items()}, self.system, self.roles, only)

    @property
    def turn_tests(self) -> dict[str, Any]:
        """What ``data.only`` asks of turns: their key to what it must hold."""
        own = self._only.items()
        return {key.removeprefix(OF_TURNS): wanted for key, wanted in own if key.startswith(OF_TURNS)}

    def messages(self, value: Any, key: str) -> list[dict[str, Any]]:
        """Messages that the row holds, brought to one form; see :func:`~xtf.data.messages.as_messages`."""
        return as_messages(value, key, self.roles, self.turn_tests)


def _holds(value: Any) -> bool:
    return not (isinstance(value, (str, list, tuple, dict)) and not value)
