"""What the rules did to a whole corpus, in one pass and constant memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xtf.display import counted, html_box, html_lines, html_table
from xtf.labelling.shard import Labels, ScoredShard
from xtf.tokens import Ruling

Counts = NDArray[np.int64]
_DECILES = 10


@dataclass(frozen=True, slots=True)
class AttributeSummary:
    """How often one attribute lacks: ``lacking`` tokens, their ``share`` of response tokens, and ``masked`` of them."""

    name: str
    lacking: int
    share: float
    masked: int


@dataclass(frozen=True, slots=True)
class Overlap:
    """The tokens that lack exactly these ``attributes``: how many, and how many of them are masked."""

    attributes: tuple[str, ...]
    tokens: int
    masked: int


@dataclass(frozen=True, slots=True)
class TokenCount:
    """A token id, how often it is an unprotected response token (``total``) and how often it is masked."""

    token_id: int
    masked: int
    total: int


@dataclass(frozen=True, slots=True)
class ExampleCount:
    """An example, its response tokens and how many of them are masked."""

    example_id: str
    masked: int
    response: int


@dataclass(frozen=True, slots=True)
class RulingCount:
    """How many ``tokens`` a flag of the data or a rule of the user decided; ``name`` is that of a ``Ruling``."""

    name: str
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSummary:
    """The outcome of labelling a corpus; shares are of response tokens, and 0 where there is none.

    Attributes:
        examples: Number of examples.
        response_tokens: Tokens scored.
        protected_tokens: Response tokens that no rule may mask.
        masked_tokens: Noise tokens.
        masked_share: Their share.
        released_by_guards: Tokens that the combination called noise and a guard kept.
        attributes: One entry per attribute.
        overlaps: One entry per observed set of lacking attributes (also none at all), most frequent first.
        masked_share_by_decile: Ten shares, by the token's position in the response from first to last tenth.
        most_masked: Token ids with the most masked occurrences.
        most_kept: Token ids with the most kept occurrences.
        highest_rate: Token ids masked most consistently, of those seen often enough.
        lowest_rate: Token ids masked least, of those seen often enough.
        most_masked_examples: Examples with the greatest masked share.
        least_masked_examples: Examples with the smallest.
        rulings: One entry for each ruling that holds for some token.
        stale: Why this speaks of scores or cuts that have changed since, and what makes it again, in sentences.
    """

    examples: int
    response_tokens: int
    protected_tokens: int
    masked_tokens: int
    masked_share: float
    released_by_guards: int
    attributes: tuple[AttributeSummary, ...]
    overlaps: tuple[Overlap, ...]
    masked_share_by_decile: tuple[float, ...]
    most_masked: tuple[TokenCount, ...]
    most_kept: tuple[TokenCount, ...]
    highest_rate: tuple[TokenCount, ...]
    lowest_rate: tuple[TokenCount, ...]
    most_masked_examples: tuple[ExampleCount, ...]
    least_masked_examples: tuple[ExampleCount, ...]
    rulings: tuple[RulingCount, ...] = ()
    stale: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)

    def _repr_html_(self) -> str:
        of = counted(self.response_tokens, "response token")
        title = f"{self.masked_tokens:,} of {of} masked ({self.masked_share:.1%})"
        rows = [(one.name, one.lacking, f"{one.share:.1%}", one.masked) for one in self.attributes]
        table = html_table(("attribute", "lacking", "share", "masked"), rows)
        return (html_lines("", self.stale) if self.stale else "") + html_box(title, table)


class Tally:
    """Running counts over labelled shards; grows with the vocabulary, not with the corpus.

    ``top`` is the number of entries in each list of tokens and examples.
    """

    def __init__(self, top: int = 20) -> None:
        self._top = top
        self._examples = self._response = self._protected = self._released = 0
        self._lacking: dict[bool, Counts] = {masked: np.zeros(1, np.int64) for masked in (False, True)}
        self._deciles: dict[bool, Counts] = {masked: np.zeros(_DECILES, np.int64) for masked in (False, True)}
        self._ids: dict[bool, Counts] = {masked: np.zeros(1, np.int64) for masked in (False, True)}
        self._most: list[ExampleCount] = []
        self._least: list[ExampleCount] = []
        self._rulings: Counts = np.zeros(len(Ruling), np.int64)

    def add(self, shard: ScoredShard, labels: Labels) -> None:
        """Take in one shard; its scores are not looked at."""
        judged, noise = shard.candidates(), labels.noise
        self._examples += len(shard)
        self._protected += int(np.count_nonzero(shard.is_protected))
        self._rulings = _added(self._rulings, shard.rulings)
        self._released += int(np.count_nonzero(labels.unguarded & ~noise & (labels.decided == 0)))
        response = shard.counts(shard.is_response)
        self._response += int(response.sum())
        deciles = _position_deciles(shard, response)
        noise_in_response = noise[shard.is_response]
        for masked in (False, True):
            chosen = noise if masked else judged & ~noise
            self._lacking[masked] = _added(self._lacking[masked], labels.lacking[chosen])
            self._ids[masked] = _added(self._ids[masked], shard.input_ids[chosen])
            self._deciles[masked] = _added(self._deciles[masked], deciles[noise_in_response == masked])
        self._add_examples(shard, shard.counts(noise), response)

    def _add_examples(self, shard: ScoredShard, masked: Counts, response: Counts) -> None:
        """Keep the examples with the greatest and smallest masked share; ties go to the longer, then by id."""
        some = np.flatnonzero(response)
        share = masked[some] / response[some]
        for sign, attribute in ((-1, "_most"), (1, "_least")):
            order = some[np.lexsort((-response[some], sign * share))][: self._top]
            new = [ExampleCount(shard.example_ids[e], int(masked[e]), int(response[e])) for e in order.tolist()]
            best = sorted(
                getattr(self, attribute) + new,
                key=lambda one: (sign * one.masked / one.response, -one.response, one.example_id),
            )
            setattr(self, attribute, best[: self._top])

    def result(self, attributes: Sequence[str], min_count: int = 20) -> LabelSummary:
        """The finished summary.

        Args:
            attributes: The names of the reason bits.
            min_count: Occurrences that a token id needs to be listed by rate.
        """
        masked = int(self._lacking[True].sum())
        ids_masked, ids_kept = (_padded(self._ids[key], max(map(len, self._ids.values()))) for key in (True, False))
        lists = _token_lists(ids_masked, ids_masked + ids_kept, self._top, min_count)
        in_decile = self._deciles[True] + self._deciles[False]
        return LabelSummary(
            examples=self._examples,
            response_tokens=self._response,
            protected_tokens=self._protected,
            masked_tokens=masked,
            masked_share=masked / max(self._response, 1),
            released_by_guards=self._released,
            attributes=self._attributes(attributes),
            overlaps=self._overlaps(attributes),
            masked_share_by_decile=tuple((self._deciles[True] / np.maximum(in_decile, 1)).tolist()),
            most_masked_examples=tuple(self._most),
            least_masked_examples=tuple(self._least),
            rulings=tuple(RulingCount(r.name.lower(), int(self._rulings[r])) for r in Ruling if r and self._rulings[r]),
            stale=(),
            **lists,
        )

    def _attributes(self, attributes: Sequence[str]) -> tuple[AttributeSummary, ...]:
        found = []
        for bit, name in enumerate(attributes):
            counts = {key: int(some[np.arange(len(some)) >> bit & 1 == 1].sum()) for key, some in self._lacking.items()}
            lacking = counts[True] + counts[False]
            found.append(AttributeSummary(name, lacking, lacking / max(self._response, 1), counts[True]))
        return tuple(found)

    def _overlaps(self, attributes: Sequence[str]) -> tuple[Overlap, ...]:
        width = max(map(len, self._lacking.values()))
        masked, kept = (_padded(self._lacking[key], width) for key in (True, False))
        found = [
            Overlap(
                tuple(name for bit, name in enumerate(attributes) if bits >> bit & 1),
                int(masked[bits] + kept[bits]),
                int(masked[bits]),
            )
            for bits in np.flatnonzero(masked + kept).tolist()
        ]
        return tuple(sorted(found, key=lambda one: (-one.tokens, one.attributes)))


def _position_deciles(shard: ScoredShard, response: Counts) -> NDArray[np.int64]:
    """For each response token of the shard, the tenth of its response that it lies in, 0 to 9."""
    starts = np.cumsum(response) - response
    place = np.arange(int(response.sum())) - np.repeat(starts, response)
    return place * _DECILES // np.repeat(response, response)


def _added(counts: Counts, values: NDArray[Any]) -> Counts:
    """Count more values, growing the table when a larger one appears."""
    new = np.bincount(values, minlength=len(counts))
    new[: len(counts)] += counts
    return new


def _padded(counts: Counts, width: int) -> Counts:
    return np.pad(counts, (0, width - len(counts)))


_TokenList = Literal["most_masked", "most_kept", "highest_rate", "lowest_rate"]


def _token_lists(masked: Counts, total: Counts, top: int, min_count: int) -> dict[_TokenList, tuple[TokenCount, ...]]:
    """The four lists of token ids; ties go to the more frequent, then to the smaller id."""
    kept = total - masked
    rate = masked / np.maximum(total, 1)
    often = total >= max(min_count, 1)
    orders: dict[_TokenList, tuple[NDArray[Any], NDArray[np.bool_]]] = {
        "most_masked": (-masked, masked > 0),
        "most_kept": (-kept, kept > 0),
        "highest_rate": (-rate, often & (masked > 0)),
        "lowest_rate": (rate, often & (kept > 0)),
    }
    lists: dict[_TokenList, tuple[TokenCount, ...]] = {}
    for name, (key, eligible) in orders.items():
        ids = np.flatnonzero(eligible)
        ids = ids[np.lexsort((ids, -total[ids], key[ids]))][:top]
        lists[name] = tuple(TokenCount(i, int(masked[i]), int(total[i])) for i in ids.tolist())
    return lists
