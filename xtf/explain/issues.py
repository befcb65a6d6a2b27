"""What is to be looked at in an example: its worst spans, each with its reason."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np

from xtf.characters import Spelt
from xtf.display import counted, html_box, visible
from xtf.explain.measures import Describe
from xtf.explain.words import spoken
from xtf.labelling.rules import LabelRules
from xtf.labelling.shard import Labels, ScoredShard
from xtf.labelling.spans import ExampleTable, SpanTable, find_spans, judge_examples, quality, wrong_tokens

SPANS = 3
"""The worst spans of an example that are told, of those it has."""
LONGEST = 80
"""Characters of a span that are shown."""
_AROUND = 8
"""Tokens shown before and after a span."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanIssue:
    """Neighbouring masked tokens.

    Attributes:
        start: Its first token in the example.
        stop: The token after its last one.
        text: What it says; a character of several tokens whole, also where only some of them are masked.
        before: A few tokens before it.
        after: A few tokens after it.
        kind: Whether it looks wrong, or is masked for another reason.
        score: In [0, 1], the mean over its tokens, lower = worse: of the probability that a token is right, where an
            attribute says it, else of its percentile in the corpus over 100.
        reason: What its worst token lacks, in the words of the attributes.
    """

    start: int
    stop: int
    text: str
    before: str
    after: str
    kind: Literal["wrong", "useless"]
    score: float
    reason: str

    def shown(self) -> str:
        """Its text made safe to show, without the middle if it is long."""
        text, half = visible(self.text), LONGEST // 2
        return text if len(text) <= LONGEST else f"{text[:half]} … {text[-half:]}"

    def _repr_html_(self) -> str:
        from xtf.explain.issue_html import span_html

        return html_box("", span_html(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleIssue:
    """One example, judged by its tokens.

    Attributes:
        example_id: Its id.
        worst_span: Score of its worst span that looks wrong; without one, of its worst token; 1 if nothing is judged.
        share_wrong: Share of its response tokens that is masked and looks wrong.
        share_useless: Share that is masked for other reasons.
        weight: What its response counts for in training, of what it would unmasked.
        response_tokens: How many there are.
        span_count: Its spans.
        spans: The worst :data:`SPANS` of them, wrong ones first.
    """

    example_id: str
    worst_span: float
    share_wrong: float
    share_useless: float
    weight: float
    response_tokens: int
    span_count: int
    spans: tuple[SpanIssue, ...]

    def figures(self) -> str:
        """Its figures in one line."""
        return (
            f"worst span {self.worst_span:.2f}, wrong {self.share_wrong:.0%}, useless {self.share_useless:.0%} "
            f"of {counted(self.response_tokens, 'token')}; weight {self.weight:.2f}"
        )

    def _repr_html_(self) -> str:
        from xtf.explain.issue_html import issue_html

        return html_box("", issue_html(self))

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


class Words(NamedTuple):
    """What puts a shard into words.

    Attributes:
        spell: Token ids of an example to what each of them spells.
        phrases: Attribute name to what puts its score at a token of the shard into words.
        wanted: Ids of the examples whose spans are told; None: all.
    """

    spell: Callable[[Any], Sequence[Spelt]]
    phrases: Mapping[str, Describe]
    wanted: Container[str] | None = None


def find_issues(
    rules: LabelRules, probabilities: Sequence[str], shard: ScoredShard, labels: Labels, words: Words
) -> Iterator[ExampleIssue]:
    """Judge each example of a shard.

    Args:
        rules: The rules that made the labels.
        probabilities: Names of the attributes that say how probably a token is right.
        shard: Examples with their scores and details.
        labels: Their labels.
        words: For that shard.
    """
    spans, table = judge_shard(rules, probabilities, shard, labels)
    order = spans.worst_first()
    ends = np.searchsorted(spans.example[order], np.arange(len(shard) + 1))
    telling = _Telling(rules, shard, labels, words)
    for place in range(len(shard)):
        own = order[ends[place] : ends[place + 1]].tolist()
        yield _example(shard, place, table, own, telling.spans(place, spans, own))


def judge_shard(
    rules: LabelRules, probabilities: Sequence[str], shard: ScoredShard, labels: Labels
) -> tuple[SpanTable, ExampleTable]:
    """The spans of a shard, and what each of its examples is like; arguments as of :func:`find_issues`."""
    wrong = wrong_tokens(rules, labels, probabilities)
    scores = quality(rules, shard, probabilities)
    spans = find_spans(shard, labels, wrong, scores)
    return spans, judge_examples(shard, labels, wrong, scores, spans)


def _example(
    shard: ScoredShard, place: int, table: ExampleTable, own: Sequence[int], told: Iterator[SpanIssue]
) -> ExampleIssue:
    return ExampleIssue(
        example_id=shard.example_ids[place],
        worst_span=float(table.score[place]),
        share_wrong=float(table.share_wrong[place]),
        share_useless=float(table.share_useless[place]),
        weight=float(table.weight[place]),
        response_tokens=int(table.response[place]),
        span_count=len(own),
        spans=tuple(islice(told, SPANS)),
    )


def _texts(spelt: Sequence[Spelt], start: int, stop: int) -> Iterator[str]:
    """Text before the tokens from ``start`` to ``stop``, theirs, and after them; no character is cut in two."""
    edges = max(start - _AROUND, 0), start, stop - 1, min(stop + _AROUND, len(spelt)) - 1
    first, begin = (edge - (spelt[edge].part - 1) for edge in edges[:2])
    end, last = (edge + 1 + spelt[edge].parts - spelt[edge].part for edge in edges[2:])
    for part in (spelt[first:begin], spelt[begin:end], spelt[end:last]):
        yield "".join(one.once for one in part)


class _Telling:
    """Puts spans of one shard into words."""

    def __init__(self, rules: LabelRules, shard: ScoredShard, labels: Labels, words: Words) -> None:
        self._rules, self._shard, self._labels, self._words = rules, shard, labels, words

    def spans(self, place: int, spans: SpanTable, own: Sequence[int]) -> Iterator[SpanIssue]:
        """The spans ``own`` of an example, one after another; none if it is not wanted."""
        wanted = self._words.wanted
        if not own or (wanted is not None and self._shard.example_ids[place] not in wanted):
            return
        first, end = self._shard.offsets[place : place + 2].tolist()
        spelt = self._words.spell(self._shard.input_ids[first:end])
        for span in own:
            start, stop = int(spans.start[span]) - first, int(spans.stop[span]) - first
            before, text, after = _texts(spelt, start, stop)
            yield SpanIssue(
                start=start,
                stop=stop,
                text=text,
                before=before,
                after=after,
                kind="wrong" if spans.wrong[span] else "useless",
                score=float(spans.score[span]),
                reason=self._reason(int(spans.worst[span])),
            )

    def _reason(self, token: int) -> str:
        """What a token of the shard lacks: ``label quality: looks like …``."""
        bits = int(self._labels.reasons[token])
        lacking = [name for bit, name in enumerate(self._rules.attributes) if bits >> bit & 1]
        return "; ".join(self._lack(name, token) for name in lacking) or f"low {self._rules.combiner.name or 'score'}"

    def _lack(self, name: str, token: int) -> str:
        score = float(self._shard.scores[name][token])
        describe = self._words.phrases.get(name)
        return f"{spoken(name)}: {describe(score, token)}" if describe is not None else f"{spoken(name)} {score:.3g}"
