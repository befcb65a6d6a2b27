"""Every token of one example, explained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xtf.explain.flips import Flip, bounds, find_flip, interval_of, margin
from xtf.explain.rulings import RULED, decided_words
from xtf.explain.sentences import reason, sentence, weight_text
from xtf.explain.words import cut_text
from xtf.labelling.cuts import FittedCut, Interval
from xtf.labelling.guards import noise_caps
from xtf.labelling.rules import LabelRules
from xtf.labelling.shard import Labels, ScoredShard
from xtf.tokens import BoolArray, FloatArray, Ruling

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

Describe = Callable[[float, int], str]
"""A score and its token's place in the example -> what it means, in the attribute's words."""
PROTECTED = "protected: end of turn or template token"
PROMPT = "prompt: not trained on"


@dataclass(frozen=True, slots=True)
class AttributeVerdict:
    """What one attribute says of one response token.

    Attributes:
        name: The attribute, or ``mean rank`` for the combined score of ``weighted``.
        value: Its score.
        percentile: Where that lies in the corpus, 0 to 100.
        lacking: Whether it lacks.
        cut: When a score lacks, in words.
        interval: The bounds between which it lacks, if it does; infinite ends are None.
        margin: Distance to the nearest bound, positive on the kept side; None if there is no bound or no judgement.
        meaning: What the score means, in the attribute's own words.
        flip: The smallest move of a bound that would turn this verdict.
    """

    name: str
    value: float
    percentile: float
    lacking: bool
    cut: str
    interval: tuple[float | None, float | None] | None
    margin: float | None
    meaning: str | None
    flip: Flip | None


@dataclass(frozen=True, slots=True)
class TokenExplanation:
    """One token: what became of it and why.

    Attributes:
        index: Position in the example.
        token_id: Its id.
        text: Its text.
        is_response: Whether it is a supervised target; if not, it has no verdicts.
        is_protected: Whether it is never masked.
        ruling: What flags of the data or rules of the user decided of it; "" if nothing.
        noise: Whether it is masked.
        weight: Its training weight.
        verdicts: One per attribute.
        combined: For ``weighted``, the verdict on the mean rank, which alone decides.
        rule: Which rule decided, in words.
        sentence: All of it in one sentence.
        flips: The moves that together turn the outcome; empty if none can.
        flip: The same in words, or None.
    """

    index: int
    token_id: int
    text: str
    is_response: bool
    is_protected: bool
    ruling: str
    noise: bool
    weight: float
    verdicts: tuple[AttributeVerdict, ...]
    combined: AttributeVerdict | None
    rule: str
    sentence: str
    flips: tuple[Flip, ...]
    flip: str | None

    def _repr_html_(self) -> str:
        from xtf.explain.html import token_html

        return token_html(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from xtf.explain.terminal import token_parts

        yield from token_parts(self)


@dataclass(frozen=True, slots=True)
class ExampleExplanation:
    """One example, token by token.

    Attributes:
        example_id: Its id.
        tokens: All of them.
        noise_share: Of its response tokens.
        stale: Why this speaks of scores or cuts that have changed since, and what makes it again, in sentences.
    """

    example_id: str
    tokens: tuple[TokenExplanation, ...]
    noise_share: float
    stale: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: every float is finite or None."""
        return asdict(self)

    def _repr_html_(self) -> str:
        from xtf.explain.html import example_html

        return example_html(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from xtf.explain.terminal import example_text, is_plain, legend, stale_lines

        plain = is_plain(console)
        yield from stale_lines(self)
        yield example_text(self, plain)
        yield legend(self, plain)


def explain_example(
    rules: LabelRules,
    shard: ScoredShard,
    labels: Labels,
    texts: Sequence[str],
    describe: Mapping[str, Describe] | None = None,
) -> ExampleExplanation:
    """Explain every token of a shard that holds one example.

    Args:
        rules: Fitted rules.
        shard: One example (``ScoredShard.example``).
        labels: What labelling wrote of it (``Labels.within``).
        texts: The text of each token.
        describe: Attribute name to what puts its scores into words; names may be missing.
    """
    if len(shard) != 1 or len(texts) != len(shard.input_ids):
        raise ValueError(
            f"expected one example and a text per token, got {len(shard)} examples, {len(shard.input_ids)} tokens "
            f"and {len(texts)} texts"
        )
    explainer = _Explainer(rules, shard, labels, describe or {})
    tokens = tuple(explainer.token(index, text) for index, text in enumerate(texts))
    response = sum(token.is_response for token in tokens)
    return ExampleExplanation(shard.example_ids[0], tokens, sum(token.noise for token in tokens) / max(response, 1))


@dataclass(frozen=True, slots=True)
class _Measure:
    """One score of one example: of an attribute, or the combined score of a rule.

    Attributes:
        name: Of the attribute or the combined score.
        cut: Its fitted cut.
        intervals: In which a score of this example lacks.
        percentile_of: ``(k,)`` scores to percentiles, 0 to 100.
        describe: Puts a score into words.
        text: When a score lacks, in words.
    """

    name: str
    cut: FittedCut
    intervals: Sequence[Interval]
    percentile_of: Callable[[FloatArray], FloatArray]
    describe: Describe | None
    text: str

    def verdicts(self, values: FloatArray, judged: BoolArray, where: NDArray[np.int64]) -> list[AttributeVerdict]:
        """One for each of ``(k,)`` scores of the tokens ``where``; those not ``judged`` cannot lack."""
        ends = {bound.value for bound in bounds(self.intervals)}
        places = {end: float(self.percentile_of(np.array([end], np.float32))[0]) for end in ends}
        percentiles = self.percentile_of(values)
        rows = zip(values.tolist(), percentiles.tolist(), judged.tolist(), where.tolist(), strict=True)
        return [self._verdict(score, rank, places if judged_ else None, index) for score, rank, judged_, index in rows]

    def _verdict(
        self, score: float, percentile: float, places: Mapping[float, float] | None, index: int
    ) -> AttributeVerdict:
        """``places`` are the percentiles of the bounds; None where nothing is judged."""
        judged = places is not None
        inside = interval_of(score, self.intervals) if judged else None
        flip = None
        capped = self.cut.cut.at_most is not None and inside is None  # moving a bound may only reach the cap
        found = find_flip(self.name, score, self.intervals, self.cut.cut) if judged and not capped else None
        if found is not None and places is not None:
            bound, value, text = found
            distance = abs(places[bound.value] - percentile)
            flip = Flip(self.name, bound.end, bound.interval, bound.value, value, text, distance)
        return AttributeVerdict(
            name=self.name,
            value=score,
            percentile=percentile,
            lacking=inside is not None,
            cut=self.text,
            interval=None if inside is None else _finite(self.intervals[inside]),
            margin=margin(score, self.intervals) if judged else None,
            meaning=None if self.describe is None else self.describe(score, index),
            flip=flip,
        )


class _Explainer:
    """The rules and labels of one example, and what its tokens' explanations share."""

    def __init__(self, rules: LabelRules, shard: ScoredShard, labels: Labels, describe: Mapping[str, Describe]) -> None:
        self._rules, self._shard, self._labels = rules, shard, labels
        self._judged = shard.candidates()
        self._places = {int(token): place for place, token in enumerate(np.flatnonzero(shard.is_response))}
        self._columns = [
            self._column(name, cut, shard.scores[name], rules.distributions[name].percentile_of, describe.get(name))
            for name, cut in rules.cuts.items()
        ]
        combined, cut = rules.combiner.combined(shard), rules.combiner.cut
        self._outcomes: dict[tuple[tuple[bool, ...], bool], tuple[str, Sequence[int], int]] = {}
        self._combined: list[AttributeVerdict] | None = None
        if combined is not None and cut is not None:
            self._combined = self._column(rules.combiner.name, cut, combined, lambda ranks: 100.0 * ranks, None)
        by_count = int(self._judged.sum()) - rules.combine.min_kept
        self._guard = "min_kept" if max(by_count, 0) == noise_caps(shard, rules.combine)[0] else "max_noise_share"

    def _column(
        self,
        name: str,
        cut: FittedCut,
        scores: FloatArray,
        percentile_of: Callable[[FloatArray], FloatArray],
        describe: Describe | None,
    ) -> list[AttributeVerdict]:
        """The verdict on each response token under one score."""
        intervals, response = cut.intervals(scores, self._judged), self._shard.is_response
        measure = _Measure(name, cut, intervals, percentile_of, describe, cut_text(cut, intervals))
        return measure.verdicts(scores[response], self._judged[response], np.flatnonzero(response))

    def token(self, index: int, text: str) -> TokenExplanation:
        shard, labels = self._shard, self._labels
        response, protected = bool(shard.is_response[index]), bool(shard.is_protected[index])
        place = self._places.get(index)
        verdicts = tuple(column[place] for column in self._columns) if place is not None else ()
        combined = self._combined[place] if self._combined is not None and place is not None else None
        noise = bool(labels.noise[index])
        released = bool(labels.unguarded[index]) and not noise
        ruling, weight = Ruling(int(shard.rulings[index])), float(labels.weights[index])
        if ruling in RULED:
            rule, why = RULED[ruling].rule, RULED[ruling].reason
        elif not response and weight:
            rule, why = "data.prompt_weight", f"belongs to the prompt and weighs {weight:g} (data.prompt_weight)"
        elif not response:
            rule, why = PROMPT, "belongs to the prompt"
        elif protected:
            rule, why = PROTECTED, "is protected, as an end of turn or template token"
        elif number := int(labels.decided[index]):
            words = decided_words(self._rules.deciders[number - 1])
            rule, why, released = words.rule, words.reason, False
        else:
            guard = self._guard if released else None
            rule = f"kept by the guard {guard}" if guard else self._rule(verdicts, noise)
            why = reason(noise, verdicts, combined, guard)
        outcome = "Masked" if noise else "Kept" if response or weight > 0 else "Not trained on"
        free = response and not (protected or released or labels.decided[index])
        flips = self._flips(noise, verdicts, combined) if free else ()
        return TokenExplanation(
            index=index,
            token_id=int(shard.input_ids[index]),
            text=text,
            is_response=response,
            is_protected=protected,
            ruling=RULED[ruling].rule if ruling in RULED else "",
            noise=noise,
            weight=weight,
            verdicts=verdicts,
            combined=combined,
            rule=rule,
            sentence=sentence(text, outcome, why + weight_text(shard.weights[index], response)),
            flips=flips,
            flip=f"masked without the guard {self._guard}" if released else self._flip_text(noise, flips),
        )

    def _rule(self, verdicts: Sequence[AttributeVerdict], noise: bool) -> str:
        """Which rule decided, in words; no guard has changed ``noise``."""
        return self._outcome(verdicts, noise)[0]

    def _outcome(self, verdicts: Sequence[AttributeVerdict], noise: bool) -> tuple[str, Sequence[int], int]:
        """What the rule says of such verdicts: its words, which attributes could turn it, how many of them must."""
        lacks = tuple(verdict.lacking for verdict in verdicts)
        if (lacks, noise) not in self._outcomes:
            combiner = self._rules.combiner
            words = f"{self._rules.combine.rule}: {combiner.words(lacks, noise)}"
            self._outcomes[lacks, noise] = (words, *combiner.turning(lacks, noise))
        return self._outcomes[lacks, noise]

    def _flips(
        self, noise: bool, verdicts: Sequence[AttributeVerdict], combined: AttributeVerdict | None
    ) -> tuple[Flip, ...]:
        """The fewest and smallest moves that turn the outcome."""
        if combined is not None:
            return () if combined.flip is None else (combined.flip,)
        _, bits, moves = self._outcome(verdicts, noise)
        options = [flip for bit in bits if (flip := verdicts[bit].flip) is not None]
        chosen = sorted(options, key=lambda flip: flip.distance)[:moves]
        return tuple(chosen) if len(chosen) == moves else ()

    def _flip_text(self, noise: bool, flips: Sequence[Flip]) -> str | None:
        if not flips:
            return None
        words = " and ".join(flip.text for flip in flips)
        if noise:
            return f"kept if {words}"
        combine = self._rules.combine
        guarded = combine.max_noise_share < 1.0 or combine.min_kept > 0
        return f"masked if {words}" + (", unless a guard then keeps it" if guarded else "")


def _finite(interval: Interval) -> tuple[float | None, float | None]:
    low, high = interval
    return low if math.isfinite(low) else None, high if math.isfinite(high) else None
