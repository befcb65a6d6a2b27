"""Labels as characters: a run's data read again, beside its labels, for exporters that read texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from xtf.data import LocatedExample, apply_spans, masked_turns, read_located_examples
from xtf.errors import RunError
from xtf.exporters import TextExample
from xtf.labelling.shard import Labels, ScoredShard
from xtf.runs import RunReader
from xtf.tokens import BoolArray, IntArray, Ruling

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

RULED = {
    Ruling.FLAGGED: "flag of the data",
    Ruling.NEVER: "data.never_learn",
    Ruling.EARLIER: "data.learn: last_turn",
}
CUT = "beyond data.max_length"
OUTSIDE = "not a target"
SHARED = "learnt tokens that share a character with a masked one, and are masked with it"
UNNAMED = "masked tokens of a template or a tool call, which no place in the text names, and which are learnt"


class TextSource(NamedTuple):
    """The tokenizer of a run, and its rows in memory, if it was made of some."""

    tokenizer: PreTrainedTokenizerBase
    rows: Any = None


class Texts:
    """The texts of a run's examples, read again from its data in the same order.

    Args:
        run: The run.
        source: What it was made of.
        grain: Of the target, as :class:`~xtf.exporters.TextExporter` has it.
    """

    def __init__(self, run: RunReader, source: TextSource, grain: str) -> None:
        self._run, self._grain = run, grain
        self._examples = read_located_examples(run.config.data, source.tokenizer, source.rows)
        self._causes = _Causes(run)

    def of(self, shard: ScoredShard, labels: Labels) -> Iterator[Texted]:
        """The examples of the next shard, in order.

        Raises:
            RunError: the data or the tokenizer is no longer what the run was made of.
        """
        for index, name in enumerate(shard.example_ids):
            here = shard.tokens_of(index, index + 1)
            found = self._next(name)
            if not np.array_equal(found.example.input_ids, shard.input_ids[here]):
                raise RunError(
                    f"{self._run.path}: example {name!r} reads otherwise now than when the run was made: its text, the "
                    "tokenizer or its template has changed. Score the data again, or export tokens: --to labels"
                )
            yield self._texted(found, shard.example(index), labels.within(here))

    def _next(self, name: str) -> LocatedExample:
        for found in self._examples:
            if found.example.example_id == name:
                return found
        raise RunError(
            f"{self._run.path}: {self._run.config.data.place} no longer holds example {name!r} where it stood. "
            "Score the data again, or export tokens: --to labels"
        )

    def _texted(self, found: LocatedExample, shard: ScoredShard, labels: Labels) -> Texted:
        if found.conversation is None or found.located is None:
            return Texted(shard.example_ids[0], None, {})
        located = found.located
        size, whole = len(shard.input_ids), len(located.offsets)
        learnt, causes = np.zeros(whole, np.bool_), np.zeros(whole, np.int32)
        learnt[:size] = shard.is_response & ~labels.noise
        causes[:size], causes[size:] = self._causes.of(shard, labels), self._causes.number((CUT,))
        turns = masked_turns(located, learnt, causes)
        told = turns if self._grain == "token" else [replace(turn, shared=()) for turn in turns]
        carried = apply_spans(located, told).learnt
        lost = {SHARED: learnt & ~carried, UNNAMED: ~learnt & carried}
        example = TextExample(shard.example_ids[0], found.conversation, turns, self._causes.known, whole)
        counts = {said: int(tokens.sum()) for said, tokens in lost.items()} if self._grain != "turn" else {}
        return Texted(example.example_id, example, counts)


class Texted(NamedTuple):
    """An example as text, or None if it was tokens already; and what its characters cannot say, in words and tokens."""

    example_id: str
    example: TextExample | None
    lost: dict[str, int]


class _Causes:
    """Numbers for the reasons why tokens are not learnt."""

    def __init__(self, run: RunReader) -> None:
        self.known: list[tuple[str, ...]] = []
        self._attributes = run.parts[-1].rules.attributes if run.parts else ()

    def number(self, cause: tuple[str, ...]) -> int:
        """The number of a cause."""
        if cause not in self.known:
            self.known.append(cause)
        return self.known.index(cause)

    def of(self, shard: ScoredShard, labels: Labels) -> IntArray:
        """``(tokens,)``: the number of each token's cause; of learnt tokens it says nothing."""
        found = np.full(len(shard.input_ids), self.number((OUTSIDE,)), np.int32)
        for ruling, said in RULED.items():
            found[shard.rulings == ruling] = self.number((said,))
        noise: BoolArray = labels.noise
        for reasons in np.unique(labels.reasons[noise]).tolist():
            names = tuple(name for bit, name in enumerate(self._attributes) if reasons >> bit & 1)
            found[noise & (labels.reasons == reasons)] = self.number(names)
        return found
