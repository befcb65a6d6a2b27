"""Rows in memory, batch by batch: as many answers as rows, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xtf.config import DataConfig
from xtf.data.ids import ExampleIds
from xtf.data.memory import column_rows, memory_rows
from xtf.data.reader import RowTokenizer, TooLong
from xtf.data.report import DataReport, LeftOut, RowError
from xtf.data.sources import Row
from xtf.errors import DataError, kind_of
from xtf.tokens import TokenizedExample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from xtf.data.unread import Unread


class RowBatches:
    """Makes one example of each row, or says why there is none; ready for any number of batches.

    Args:
        config: How to read; ``path``, ``split`` and ``limit`` do not count.
        tokenizer: A fast tokenizer, with its chat template if it has one.

    Raises:
        ModelError: the tokenizer is not a fast one.
    """

    def __init__(self, config: DataConfig, tokenizer: PreTrainedTokenizerBase) -> None:
        self._config = config
        self._tokenise = RowTokenizer(config, tokenizer, DataReport())

    def examples(self, rows: Any, numbers: Sequence[int] | None = None) -> list[TokenizedExample | str]:
        """An example of each row, or in words why it cannot be used.

        Args:
            rows: A list or iterable of mappings, or a table, as for :func:`~xtf.data.read_rows`; or columns: name to a
                list of one cell for each row.
            numbers: Of the rows in the whole of the data; a row without an id is called by its number. From 0 if not
                given.

        Raises:
            DataError: these are no rows, or one is bad under ``on_error: stop``.
        """
        seen = ExampleIds()
        unread = list(column_rows(rows) if isinstance(rows, Mapping) else memory_rows(rows))
        if numbers is not None and len(numbers) != len(unread):
            raise DataError(f"rows: {len(numbers)} numbers for {len(unread)} rows: give one for each")
        numbered = zip(range(len(unread)) if numbers is None else numbers, unread, strict=True)
        return [self._example(number, row, seen) for number, row in numbered]

    def _example(self, number: int, unread: Unread, seen: ExampleIds) -> TokenizedExample | str:
        location = f"row {number + 1}"
        try:
            value = unread.read()
            if not isinstance(value, Mapping):
                raise RowError("expected an object with named columns", f"found {kind_of(value)}")
            row = Row(location, number, value)
            name = seen.name(row, self._config.columns)
            example = self._tokenise(name, row)
        except TooLong:
            return "longer than data.max_length"
        except RowError as error:
            if self._config.on_error == "stop" and not isinstance(error, LeftOut):
                raise error.at(location) from None
            return str(error.at(""))
        seen.add(name)
        return example
