"""What the page embeds of one run: figures, scores and labels of the chosen examples, and their explanations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xtf.display import visible
from xtf.explain import AttributeVerdict, ExampleExplanation, explain_example
from xtf.labelling import judge
from xtf.labelling.distribution import ordered_keys
from xtf.progress import progress
from xtf.report.html.encode import Templates, joined, pack, pack_json, smallest
from xtf.report.html.figures import overview
from xtf.report.html.sample import Sample, choose
from xtf.report.html.survey import Survey, survey

if TYPE_CHECKING:
    from xtf.labelling.shard import ScoredShard
    from xtf.runs import RunReader
    from xtf.runs.vocabulary import Vocabulary

CHUNK = 20
"""Examples whose explanations are compressed together; the page unpacks a chunk when one of them is opened."""
_QUANTILES = 400
_RANKS = {"kind": "bottom_share", "share": 0.3, "scope": "dataset"}


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
    shards = list(_selected(run, sample))
    texts = _Texts(run.vocabulary)
    tokens = [texts.places(shard) for shard in shards]
    return {
        "figures": overview(run, seen),
        "total": sample.total,
        "complete": sample.complete,
        "why": list(sample.why),
        "ids": [shard.example_ids[0] for shard in shards],
        "shownIds": {
            str(place): visible(shard.example_ids[0])
            for place, shard in enumerate(shards)
            if visible(shard.example_ids[0]) != shard.example_ids[0]
        },
        "rules": _rules(seen),
        "columns": _columns(seen, shards, tokens),
        "explanations": _explanations(run, seen, shards),
        "texts": texts.to_json(),
    }


def _selected(run: RunReader, sample: Sample) -> Iterator[ScoredShard]:
    """The chosen examples in corpus order, each as a shard of its own."""
    wanted, place = set(sample.places), 0
    for shard in run.shards():
        for index in range(len(shard)):
            if place in wanted:
                yield shard.example(index)
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


def _rules(seen: Survey) -> dict[str, Any]:
    rules = seen.rules
    described = rules.to_dict()
    quantiles = {}
    for name, distribution in rules.distributions.items():
        some = (
            [distribution.quantile(step / _QUANTILES) for step in range(_QUANTILES + 1)] if distribution.count else []
        )
        quantiles[name] = [float(f"{value:.9g}") for value in some]
    return {
        "attributes": list(rules.attributes),
        "cuts": described["cuts"],
        "combine": {"votes": 2, "weights": {}, "threshold": _RANKS, **described["combine"]},
        "rankCut": described.get("rank_cut"),
        "edges": {name: {str(k): v for k, v in edges.items()} for name, edges in seen.otsu.items()},
        "quantiles": quantiles,
        "sides": {name: cut.cut.lacking_side for name, cut in rules.cuts.items()},
    }


def _columns(seen: Survey, shards: Sequence[ScoredShard], tokens: Sequence[list[int]]) -> dict[str, Any]:
    """All embedded examples end to end; scores, lacking and noise on response tokens only."""
    rules = seen.rules
    parts: dict[str, list[Any]] = {"lacking": [], "noise": []}
    for shard in shards:
        verdicts, here = judge(rules, shard), shard.is_response
        parts["lacking"].append(verdicts.lacking[here])
        parts["noise"].append(verdicts.noise[here])
    columns: dict[str, Any] = {
        "sizes": smallest(np.array([len(shard.input_ids) for shard in shards], dtype=np.int64)),
        "tokens": smallest(np.array([place for some in tokens for place in some], dtype=np.int64)),
        "response": _concatenated([shard.is_response for shard in shards], np.bool_),
        "protected": _concatenated([shard.is_protected for shard in shards], np.bool_),
        "lacking": smallest(_concatenated(parts["lacking"], np.uint16)),
        "noise": _concatenated(parts["noise"], np.bool_),
    }
    for bit, name in enumerate(rules.attributes):
        scores = _concatenated([shard.scores[name][shard.is_response] for shard in shards], np.float32)
        columns[f"score{bit}"] = scores
        bins, first = np.unique(ordered_keys(scores) >> np.uint32(12), return_index=True)
        columns[f"bins{bit}"] = np.diff(bins, prepend=np.uint32(0)).astype(np.uint32)
        columns[f"percentiles{bit}"] = rules.distributions[name].percentile_of(scores[first])
    return pack(columns)


def _concatenated(parts: Sequence[Any], kind: Any) -> Any:
    return np.concatenate([np.zeros(0, kind), *parts])


def _explanations(run: RunReader, seen: Survey, shards: Sequence[ScoredShard]) -> dict[str, Any]:
    """What ``Run.explain`` says of each response token, in chunks of examples."""
    templates, describers, vocabulary = Templates(), run.describers(), run.vocabulary
    chunks, waiting = [], list[dict[str, Any]]()
    with progress("Explaining", len(shards), "examples") as advance:
        for place, shard in enumerate(shards):
            explained = explain_example(seen.rules, shard, vocabulary.token_texts(shard.input_ids), describers)
            waiting.append(_example_words(explained, templates))
            if len(waiting) == CHUNK or place == len(shards) - 1:
                chunks.append(pack_json(waiting))
                waiting = []
            advance(1)
    return {"chunk": CHUNK, "chunks": chunks, "templates": templates.table}


def _example_words(explained: ExampleExplanation, templates: Templates) -> dict[str, Any]:
    """Sentence, flip, rule and each attribute's meaning of every response token, as templates and numbers."""
    numbers: list[int] = []
    arguments: list[str] = []
    cuts: list[str] = []
    for token in explained.tokens:
        if not token.is_response:
            continue
        rows: tuple[AttributeVerdict, ...] = (*token.verdicts, *([token.combined] if token.combined else []))
        cuts = cuts or [verdict.cut for verdict in rows]
        others = (token.flip, token.rule, *(verdict.meaning for verdict in rows))
        split = [templates.split(token.sentence, repr(token.text)), *(templates.split(one) for one in others)]
        numbers += [number for number, _ in split]
        arguments += [argument for _, found in split for argument in found]
    return {"cuts": cuts, "templates": numbers, "arguments": joined(arguments)}
