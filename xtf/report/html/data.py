"""What the page embeds of one run: figures, scores and labels of the chosen examples, and their explanations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from xtf.display import visible
from xtf.explain.outcomes import Outcomes
from xtf.explain.rulings import RULED
from xtf.explain.sentences import sentence
from xtf.labelling.combiners.base import from_lacking_end
from xtf.labelling.distribution import ordered_keys
from xtf.labelling.shard import Labels, ScoredShard
from xtf.progress import progress
from xtf.report.html.encode import TEXT, pack, pack_json, smallest
from xtf.report.html.figures import overview
from xtf.report.html.sample import Sample, choose
from xtf.report.html.survey import Survey, survey
from xtf.report.html.trials import finite, trials
from xtf.tokens import Ruling

if TYPE_CHECKING:
    from xtf.labelling import LabelRules
    from xtf.runs import RunReader
    from xtf.runs.vocabulary import Vocabulary

CHUNK = 20
"""Examples whose explanations are compressed together; the page unpacks a chunk when one of them is opened."""
_QUANTILES = 400


def payload(run: RunReader, examples: Sequence[str] | None = None, compare: Sequence[RunReader] = ()) -> dict[str, Any]:
    """The run, then each run to compare it with, on the same examples.

    Raises:
        RunError: a run has no labels, or ``examples`` names one that the run does not have.
    """
    seen = survey(run)
    sample = choose(seen.examples, len(seen.rules.attributes), examples)
    ids = seen.examples.ids_at(sample.places)
    others = []
    for other in compare:
        there = survey(other)
        known = there.examples.places_of(ids)
        others.append(_run_data(other, there, choose(there.examples, 1, [i for i in ids if i in known])))
    return {"format": 1, "runs": [_run_data(run, seen, sample), *others]}


def _run_data(run: RunReader, seen: Survey, sample: Sample) -> dict[str, Any]:
    rows = list(_selected(run, sample))
    texts = _Texts(run.vocabulary)
    ids = [shard.example_ids[0] for shard, _ in rows]
    embedded = ScoredShard.concatenate([shard for shard, _ in rows], seen.rules.attributes)
    tried = trials(seen.rules, run.shards, embedded)
    tokens = [place for shard, _ in rows for place in texts.places(shard)]
    named = run.kinds
    kinds = {bit: named[name] for bit, name in enumerate(seen.rules.attributes) if name in named}
    columns = {**_columns(seen.rules, embedded, [labels for _, labels in rows]), **tried.columns}
    for bit in kinds:
        column = f"{seen.rules.attributes[bit]}.kind"
        found = [shard.details[column][shard.is_response] for shard, _ in rows]
        columns[f"kind{bit}"] = smallest(np.concatenate([np.zeros(0, np.int32), *found]).clip(min=0))
    return {
        "figures": overview(run, seen),
        "total": sample.total,
        "complete": sample.complete,
        "why": list(sample.why),
        "ids": ids,
        "shownIds": {str(place): visible(one) for place, one in enumerate(ids) if visible(one) != one},
        "rules": _rules(seen.rules),
        "rulings": [RULED[ruling].reason if ruling in RULED else "" for ruling in Ruling],
        "trials": tried.described,
        "kinds": {str(bit): list(names) for bit, names in kinds.items()},
        "columns": pack({**columns, "tokens": smallest(np.array(tokens, dtype=np.int64))}),
        "explanations": _explanations(run, seen.rules, rows),
        "texts": texts.to_json(),
    }


def _selected(run: RunReader, sample: Sample) -> Iterator[tuple[ScoredShard, Labels]]:
    """The chosen examples in corpus order, each as a shard of its own, and their labels."""
    wanted, place = set(sample.places), 0
    for shard, labels in run.labelled([*run.scored, *run.detail_columns]):
        for index in range(len(shard)):
            if place in wanted:
                yield shard.example(index), labels.within(slice(*shard.offsets[index : index + 2].tolist()))
            place += 1


class _Texts:
    """Every distinct (id, text) pair of the page; a token's text may depend on the tokens before it."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._places: dict[tuple[int, str], int] = {}

    def places(self, shard: ScoredShard) -> list[int]:
        pairs = zip(shard.input_ids.tolist(), self._vocabulary.token_texts(shard.input_ids), strict=True)
        return [self._places.setdefault(pair, len(self._places)) for pair in pairs]

    def to_json(self) -> dict[str, Any]:
        """Texts as they are, as shown (with the visible marks of ``xtf.display``), and as sentences name them."""
        ids = [token_id for token_id, _ in self._places]
        shown = {text: visible(text, keep_newlines=True) for _, text in self._places}
        named = {text: repr(text) for _, text in self._places}
        return {
            "ids": ids,
            "texts": [text.encode("utf-8", "replace").decode() for _, text in self._places],
            "shown": {str(i): shown[t] for i, (_, t) in enumerate(self._places) if shown[t] != t},
            "named": {str(i): named[t] for i, (_, t) in enumerate(self._places) if named[t] != f"'{t}'"},
            "partial": [i for i, (token_id, _) in enumerate(self._places) if _partial(self._vocabulary, token_id)],
            "special": [i for i, (token_id, _) in enumerate(self._places) if token_id in self._vocabulary.special],
        }


def _partial(vocabulary: Vocabulary, token_id: int) -> bool:
    """Whether the token holds part of a character."""
    try:
        vocabulary.pieces[token_id].decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def _rules(rules: LabelRules) -> dict[str, Any]:
    quantiles = {}
    for name, distribution in rules.distributions.items():
        some = (
            [distribution.quantile(step / _QUANTILES) for step in range(_QUANTILES + 1)] if distribution.count else []
        )
        quantiles[name] = [float(f"{value:.9g}") for value in some]
    return {
        "attributes": list(rules.attributes),
        "combine": rules.combine.model_dump(mode="json"),
        "quantiles": quantiles,
    }


def _columns(rules: LabelRules, embedded: ScoredShard, labels: Sequence[Labels]) -> dict[str, Any]:
    """All embedded examples end to end; scores, lacking and noise on response tokens only."""
    here, flags = embedded.is_response, [np.zeros(0, np.bool_)]
    columns: dict[str, Any] = {
        "sizes": smallest(np.diff(embedded.offsets)),
        "response": here,
        "protected": embedded.is_protected,
        "rulings": embedded.rulings,
        "lacking": smallest(np.concatenate([np.zeros(0, np.uint16), *(one.lacking for one in labels)])[here]),
        "noise": np.concatenate([*flags, *(one.noise for one in labels)])[here],
        "unguarded": np.concatenate([*flags, *(one.unguarded for one in labels)])[here],
    }
    for bit, name in enumerate(rules.attributes):
        scores = embedded.scores[name][here]
        columns[f"score{bit}"] = scores
        bins, first = np.unique(ordered_keys(scores) >> np.uint32(12), return_index=True)
        percentiles = rules.distributions[name].percentile_of(scores[first])
        columns[f"bins{bit}"] = np.diff(bins, prepend=np.uint32(0)).astype(np.uint32)
        columns[f"percentiles{bit}"] = percentiles
        columns[f"severity{bit}"] = from_lacking_end(percentiles, rules.cuts[name])
    return columns


def _explanations(run: RunReader, rules: LabelRules, rows: Sequence[tuple[ScoredShard, Labels]]) -> dict[str, Any]:
    """What ``Run.explain`` says of each response token, in chunks of examples."""
    with progress("Explaining", len(rows), "examples") as advance, ThreadPoolExecutor(1) as packing:
        chunks = list[Future[str]]()
        for start in range(0, len(rows), CHUNK):
            texts = dict[str | None, int]()
            examples = []
            for shard, labels in rows[start : start + CHUNK]:
                outcomes = Outcomes(rules, shard, labels, run.phrases(shard))
                examples.append(_words(outcomes, shard, texts))
                advance(1)
            chunks.append(packing.submit(pack_json, {"texts": list(texts), "examples": examples}))
    return {"chunk": CHUNK, "chunks": [chunk.result() for chunk in chunks]}


def _words(outcomes: Outcomes, shard: ScoredShard, texts: dict[str | None, int]) -> dict[str, Any]:
    """Sentence, flip, rule and meanings of every response token, as numbers into ``texts``; when a score lacks."""

    def numbers(said: Iterable[str | None]) -> list[int]:
        return [texts.setdefault(one, len(texts)) for one in said]

    found = [outcomes[index] for index in np.flatnonzero(shard.is_response).tolist()]
    columns = [*outcomes.columns, *([outcomes.combined] if outcomes.combined else [])]
    return {
        "intervals": [finite(column.intervals) for column in columns],
        "cuts": [column.cut for column in columns],
        "sentences": numbers(sentence(TEXT, one.what, one.reason) for one in found),
        "flips": numbers(one.flip for one in found),
        "rules": numbers(one.rule for one in found),
        "meanings": [numbers(reading.meaning for reading in column.readings) for column in columns],
    }
