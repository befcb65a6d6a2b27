"""What is known of every example of a run, in columns: a million examples take some fifty megabytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

Column = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class ExampleFacts:
    """What the choice of a sample looks at: sizes, masked response tokens, and tokens on which attributes disagree."""

    example_id: str
    tokens: int
    response: int
    masked: int
    disagree: int


@dataclass(slots=True)
class FactsTable:
    """:class:`ExampleFacts` of many examples, added shard by shard."""

    _ids: list[pa.StringArray] = field(default_factory=list)
    _numbers: list[Column] = field(default_factory=list)

    @classmethod
    def of(cls, facts: Iterable[ExampleFacts]) -> FactsTable:
        """The table of facts at hand."""
        table, rows = cls(), list(facts)
        numbers = [[one.tokens, one.response, one.masked, one.disagree] for one in rows]
        table.add([one.example_id for one in rows], np.array(numbers, np.int32).reshape(-1, 4).T)
        return table

    def add(self, example_ids: Sequence[str], numbers: NDArray[np.integer]) -> None:
        """Add examples; ``numbers`` is ``(4, examples)``: tokens, response, masked, disagree."""
        import pyarrow as pa

        self._ids.append(pa.array(example_ids, pa.string()))
        self._numbers.append(numbers.astype(np.int32))

    def __len__(self) -> int:
        return sum(len(some) for some in self._ids)

    def columns(self) -> tuple[Column, Column, Column, Column]:
        """Tokens, response, masked and disagree of every example, ``(examples,)`` each."""
        table = np.concatenate(self._numbers, axis=1) if self._numbers else np.zeros((4, 0), np.int32)
        return table[0], table[1], table[2], table[3]

    def ids(self) -> Iterator[str]:
        """Every id, in order."""
        for some in self._ids:
            yield from some.to_pylist()

    def ids_at(self, places: Sequence[int]) -> list[str]:
        """The ids at some places."""
        import pyarrow as pa

        ids: list[str] = pa.chunked_array(self._ids, pa.string()).take(pa.array(places, pa.int64())).to_pylist()
        return ids

    def places_of(self, wanted: Iterable[str]) -> dict[str, int]:
        """The place of each wanted id that is there."""
        names = set(wanted)
        return {example_id: place for place, example_id in enumerate(self.ids()) if example_id in names}
