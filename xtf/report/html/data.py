"""What the page embeds of one run: figures, scores and labels of the chosen examples, and their explanations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from xtf.characters import Spelt
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
    embedded, labels = _selected(run, sample)
    ids = list(embedded.example_ids)
    texts = _Texts(run.vocabulary)
    tokens = [place for one in range(len(embedded)) for place in texts.places(embedded.example(one))]
    tried = trials(seen.rules, run.shards, embedded)
    named = run.kinds
    kinds = {bit: named[name] for bit, name in enumerate(seen.rules.attributes) if name in named}
    columns = {**_columns(seen.rules, embedded, labels), **tried.columns}
    for bit in kinds:
        found = embedded.details[f"{seen.rules.attributes[bit]}.kind"][embedded.is_response]
        columns[f"kind{bit}"] = smallest(found.clip(min=0))
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
        "explanations": _explanations(run, seen.rules, embedded, labels),
        "texts": texts.to_json(),
    }


def _selected(run: RunReader, sample: Sample) -> tuple[ScoredShard, Labels]:
    """The chosen examples in corpus order, and their labels."""
    wanted, place = set(sample.places), 0
    rows = list[tuple[ScoredShard, Labels]]()
    for shard, labels in run.labelled([*run.scored, *run.detail_columns]):
        for index in range(len(shard)):
            if place in wanted:
                rows.append((shard.example(index), labels.within(shard.tokens_of(index, index + 1))))
            place += 1
    shards = [shard for shard, _ in rows]
    return (
        ScoredShard.concatenate(shards, run.scored, run.detail_columns),
        Labels.concatenate([labels for _, labels in rows]),
    )


class _Texts:
    """Every distinct token of the page: its id and what it spells, which may depend on its neighbours."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._places: dict[tuple[int, Spelt], int] = {}

    def places(self, shard: ScoredShard) -> list[int]:
        pairs = zip(shard.input_ids.tolist(), self._vocabulary.spell(shard.input_ids), strict=True)
        return [self._places.setdefault(pair, len(self._places)) for pair in pairs]

    def to_json(self) -> dict[str, Any]:
        """Texts as they are, as shown (with the visible marks of ``xtf.display``), and as sentences name them.

        Of the tokens of one character the first gives the text and the others nothing; ``parts`` says which are such.
        """
        ids, spelt = [token_id for token_id, _ in self._places], [one for _, one in self._places]
        shown = [visible(one.shown, keep_newlines=True) for one in spelt]
        named = [f"{one.text!r}{one.suffix}" for one in spelt]
        special, parts = self._vocabulary.special, [i for i, one in enumerate(spelt) if one.parts > 1]
        return {
            "ids": ids,
            "texts": [one.once.encode("utf-8", "replace").decode() for one in spelt],
            "shown": {str(i): text for i, text in enumerate(shown) if text != spelt[i].once},
            "named": {str(i): text for i, text in enumerate(named) if text != f"'{spelt[i].once}'"},
            "parts": {str(i): self._part(ids[i], spelt[i]) for i in parts},
            "special": [i for i, token_id in enumerate(ids) if token_id in special],
        }

    def _part(self, token_id: int, spelt: Spelt) -> tuple[int, int, str, str]:
        """Which token of how many, its own bytes, and the whole that they spell."""
        return spelt.part, spelt.parts, self._vocabulary.alone(token_id), visible(spelt.text)


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


def _columns(rules: LabelRules, embedded: ScoredShard, labels: Labels) -> dict[str, Any]:
    """All embedded examples end to end; scores, lacking and noise on response tokens only."""
    here = embedded.is_response
    columns: dict[str, Any] = {
        "sizes": smallest(np.diff(embedded.offsets)),
        "response": here,
        "protected": embedded.is_protected,
        "rulings": embedded.rulings,
        "lacking": smallest(labels.lacking[here]),
        "noise": labels.noise[here],
        "unguarded": labels.unguarded[here],
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


def _explanations(run: RunReader, rules: LabelRules, embedded: ScoredShard, labels: Labels) -> dict[str, Any]:
    """What ``Run.explain`` says of each response token, in chunks of examples."""
    with progress("Explaining", len(embedded), "examples") as advance, ThreadPoolExecutor(1) as packing:
        chunks = list[Future[str]]()
        for start in range(0, len(embedded), CHUNK):
            stop = min(start + CHUNK, len(embedded))
            shard = embedded.examples(start, stop)
            outcomes = Outcomes(rules, shard, labels.within(embedded.tokens_of(start, stop)), run.phrases(shard))
            chunks.append(packing.submit(pack_json, _words(outcomes, shard)))
            advance(len(shard))
    return {"chunk": CHUNK, "chunks": [chunk.result() for chunk in chunks]}


def _words(outcomes: Outcomes, shard: ScoredShard) -> dict[str, Any]:
    """Every distinct text; and of every example when a score lacks, and what is said of each response token.

    That is a sentence, a flip, a rule and the meanings of its scores, as places among the texts.
    """
    texts: defaultdict[str | None, int] = defaultdict(lambda: len(texts))
    columns = [*outcomes.columns, *([outcomes.combined] if outcomes.combined else [])]
    said: dict[str, list[int]] = {"sentences": [], "flips": [], "rules": []}
    for index in np.flatnonzero(shard.is_response).tolist():
        found = outcomes[index]
        said["sentences"].append(texts[sentence(TEXT, found.what, found.reason)])
        said["flips"].append(texts[found.flip])
        said["rules"].append(texts[found.rule])
    meanings = [[texts[one] for one in column.meanings()] for column in columns]
    examples, ends = [], np.cumsum([0, *shard.counts(shard.is_response)]).tolist()
    for place, (start, stop) in enumerate(pairwise(ends)):
        examples.append(
            {
                "intervals": [finite(column.scales[place].intervals) for column in columns],
                "cuts": [column.scales[place].cut for column in columns],
                **{name: column[start:stop] for name, column in said.items()},
                "meanings": [column[start:stop] for column in meanings],
            }
        )
    return {"texts": list(texts), "examples": examples}
