"""Every token of one example, explained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from xtf.explain.flips import Flip, find_flip, interval_of, margin
from xtf.explain.words import cut_text, kept_text, lacking_text, spoken
from xtf.labelling.combine import MEAN_RANK, noise_caps
from xtf.labelling.cuts import FittedCut, Interval
from xtf.labelling.rules import LabelRules, apply_rules, judge
from xtf.labelling.shard import ScoredShard

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

Describe = Mapping[str, Callable[[float], str]]
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
    """One example; ``noise_share`` is of its response tokens."""

    example_id: str
    tokens: tuple[TokenExplanation, ...]
    noise_share: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-able: every float is finite or None."""
        return asdict(self)

    def _repr_html_(self) -> str:
        from xtf.explain.html import example_html

        return example_html(self)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from xtf.explain.terminal import example_text, legend

        plain = not console.is_terminal
        yield example_text(self, plain)
        yield legend(self, plain)


def explain_example(
    rules: LabelRules, shard: ScoredShard, texts: Sequence[str], describe: Describe | None = None
) -> ExampleExplanation:
    """Explain every token of a shard that holds one example.

    Args:
        rules: Fitted rules.
        shard: One example (``ScoredShard.example``).
        texts: The text of each token.
        describe: Attribute name to a phrase for a score (``Attribute.describe``); names may be missing.
    """
    if len(shard) != 1 or len(texts) != len(shard.input_ids):
        raise ValueError(
            f"expected one example and a text per token, got {len(shard)} examples, {len(shard.input_ids)} tokens "
            f"and {len(texts)} texts"
        )
    explainer = _Explainer(rules, shard, describe or {})
    tokens = tuple(explainer.token(index, text) for index, text in enumerate(texts))
    response = sum(token.is_response for token in tokens)
    return ExampleExplanation(shard.example_ids[0], tokens, sum(token.noise for token in tokens) / max(response, 1))


class _Explainer:
    """The rules applied to one example, and what its tokens' explanations share."""

    def __init__(self, rules: LabelRules, shard: ScoredShard, describe: Describe) -> None:
        self._rules, self._shard, self._describe = rules, shard, describe
        self._labels, self._verdicts = apply_rules(rules, shard), judge(rules, shard)
        judged = shard.candidates()
        self._intervals = {name: cut.intervals(shard.scores[name], judged) for name, cut in rules.cuts.items()}
        self._percentiles = {
            name: rules.distributions[name].percentile_of(np.nan_to_num(shard.scores[name])) for name in rules.cuts
        }
        self._cut_texts = {name: cut_text(cut, self._intervals[name]) for name, cut in rules.cuts.items()}
        self._bound_percentiles: dict[tuple[str, float], float] = {}
        self._rank_intervals: list[Interval] = []
        if rules.rank_cut is not None and self._verdicts.ranks is not None:
            self._rank_intervals = rules.rank_cut.intervals(self._verdicts.ranks, judged)
        by_count = int(judged.sum()) - rules.combine.min_kept
        self._guard = "min_kept" if max(by_count, 0) == noise_caps(shard, rules.combine)[0] else "max_noise_share"

    def token(self, index: int, text: str) -> TokenExplanation:
        shard, labels = self._shard, self._labels
        response, protected = bool(shard.is_response[index]), bool(shard.is_protected[index])
        verdicts = tuple(self._verdict(name, index) for name in self._rules.attributes) if response else ()
        combined = self._rank_verdict(index) if response else None
        noise = bool(labels.noise[index])
        released = bool(self._verdicts.unguarded[index]) and not noise
        if not response:
            rule, reason = PROMPT, "belongs to the prompt"
        elif protected:
            rule, reason = PROTECTED, "is protected, because it ends the turn or belongs to the template"
        else:
            rule = self._rule(verdicts, combined)
            reason = _reason(noise or released, verdicts, combined)
            if released:
                rule, reason = (
                    f"kept by the guard {self._guard}",
                    f"is kept by the guard {self._guard}, though it {reason}",
                )
        flips = self._flips(noise, verdicts, combined) if response and not (protected or released) else ()
        return TokenExplanation(
            index,
            int(shard.input_ids[index]),
            text,
            response,
            protected,
            noise,
            float(labels.weights[index]),
            verdicts,
            combined,
            rule,
            _sentence(text, response, noise, reason),
            flips,
            f"masked without the guard {self._guard}" if released else self._flip_text(noise, flips),
        )

    def _verdict(self, name: str, index: int) -> AttributeVerdict:
        score = float(self._shard.scores[name][index])
        describe = self._describe.get(name)
        return _verdict(
            name,
            score,
            float(self._percentiles[name][index]),
            self._rules.cuts[name],
            self._intervals[name],
            None if describe is None else describe(score),
            not self._shard.is_protected[index],
            self._cut_texts[name],
            lambda bound: self._percentile_of_bound(name, bound),
        )

    def _percentile_of_bound(self, name: str, bound: float) -> float:
        """The percentile of a bound, looked up once per example."""
        key = name, bound
        if key not in self._bound_percentiles:
            found = self._rules.distributions[name].percentile_of(np.array([bound], np.float32))
            self._bound_percentiles[key] = float(found[0])
        return self._bound_percentiles[key]

    def _rank_verdict(self, index: int) -> AttributeVerdict | None:
        ranks, cut = self._verdicts.ranks, self._rules.rank_cut
        if ranks is None or cut is None:
            return None
        rank, judged = float(ranks[index]), not self._shard.is_protected[index]
        words = cut_text(cut, self._rank_intervals)
        return _verdict(
            MEAN_RANK, rank, 100.0 * rank, cut, self._rank_intervals, None, judged, words, lambda bound: 100.0 * bound
        )

    def _rule(self, verdicts: Sequence[AttributeVerdict], combined: AttributeVerdict | None) -> str:
        if combined is not None:
            return f"weighted: the mean rank {'lacks' if combined.lacking else 'does not lack'}"
        voters = len(self._rules.voters)
        lacking = sum(verdict.lacking for verdict in verdicts)
        needed = self._rules.votes_needed
        return f"{self._rules.combine.rule}: {lacking} of {voters} attributes lack, {needed} needed"

    def _flips(
        self, noise: bool, verdicts: Sequence[AttributeVerdict], combined: AttributeVerdict | None
    ) -> tuple[Flip, ...]:
        """The fewest and smallest moves that turn the outcome."""
        if combined is not None:
            return () if combined.flip is None else (combined.flip,)
        lacking = sum(verdict.lacking for verdict in verdicts)
        needed = self._rules.votes_needed
        moves = lacking - needed + 1 if noise else needed - lacking
        options = [verdict.flip for verdict in verdicts if verdict.lacking == noise and verdict.flip is not None]
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


def _verdict(
    name: str,
    score: float,
    percentile: float,
    cut: FittedCut,
    intervals: Sequence[Interval],
    meaning: str | None,
    judged: bool,
    words: str,
    percentile_of_bound: Callable[[float], float],
) -> AttributeVerdict:
    inside = interval_of(score, intervals) if judged else None
    flip = None
    found = find_flip(name, score, intervals, cut) if judged else None
    if found is not None:
        bound, value, text = found
        distance = abs(percentile_of_bound(bound.value) - percentile)
        flip = Flip(name, bound.end, bound.interval, bound.value, value, text, distance)
    return AttributeVerdict(
        name,
        score,
        percentile,
        inside is not None,
        words,
        None if inside is None else (_finite(intervals[inside][0]), _finite(intervals[inside][1])),
        margin(score, intervals) if judged else None,
        meaning,
        flip,
    )


def _reason(masked: bool, verdicts: Sequence[AttributeVerdict], combined: AttributeVerdict | None) -> str:
    """Why a judged token is masked (or would be, but for a guard) or kept; completes "Masked: 'x' …"."""
    if combined is not None:
        interval = _ends(combined)
        numbers = lacking_text(combined.value, interval) if interval else kept_text(combined.value, combined.margin)
        lowest = min(verdicts, key=lambda verdict: verdict.percentile)
        return f"has a mean rank of {numbers}; lowest is {spoken(lowest.name)}, at percentile {lowest.percentile:.3g}"
    lacks = [_lack(verdict) for verdict in verdicts if verdict.lacking]
    if lacks:
        return "lacks " + "; and ".join(lacks) + ("" if masked else ", which is not enough to mask it")
    deciding = [verdict for verdict in verdicts if verdict.flip is not None]
    if not deciding:
        return "lacks nothing"
    closest = min(deciding, key=lambda verdict: verdict.flip.distance if verdict.flip else math.inf)
    return f"lacks nothing; closest is {spoken(closest.name)} ({kept_text(closest.value, closest.margin)})"


def _lack(verdict: AttributeVerdict) -> str:
    interval = _ends(verdict)
    numbers = lacking_text(verdict.value, interval) if interval else f"{verdict.value:.3g}"
    return f"{spoken(verdict.name)} ({numbers})" + (f": {verdict.meaning}" if verdict.meaning else "")


def _sentence(text: str, response: bool, noise: bool, reason: str) -> str:
    outcome = "Masked" if noise else "Kept" if response else "Not trained on"
    return f"{outcome}: {text!r} {reason}."


def _ends(verdict: AttributeVerdict) -> Interval | None:
    if verdict.interval is None:
        return None
    low, high = verdict.interval
    return (-math.inf if low is None else low, math.inf if high is None else high)


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
