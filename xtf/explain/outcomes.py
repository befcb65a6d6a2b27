"""What became of each token, which rule decided, and what would turn it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xtf.explain.measures import Column, Describe, Measure, Reading
from xtf.explain.rulings import RULED, decided_words
from xtf.explain.sentences import reason, reason_of_rank, weight_text
from xtf.labelling.guards import noise_caps
from xtf.labelling.rules import LabelRules
from xtf.labelling.shard import Labels, ScoredShard
from xtf.tokens import Ruling

PROTECTED = "protected: end of turn or template token"
PROMPT = "prompt: not trained on"


class Outcome(NamedTuple):
    """What became of one token, in words that do not hold its text.

    Attributes:
        what: ``Masked``, ``Kept`` or ``Not trained on``.
        rule: Which rule decided.
        reason: Why; completes a sentence about the token.
        turning: The readings whose verdicts together turn the outcome; empty if none can.
        flip: What would turn it, in words.
    """

    what: str
    rule: str
    reason: str
    turning: Sequence[Reading] = ()
    flip: str | None = None


class _Token(NamedTuple):
    """One token as scored and as labelled.

    ``place`` is its place among the response tokens, ``guard`` the stricter one of its example.
    """

    is_response: bool
    is_protected: bool
    ruling: int
    own_weight: float
    noise: bool
    unguarded: bool
    decided: int
    weight: float
    place: int
    guard: str


class _Case(NamedTuple):
    """What tokens share that lack the same; attributes are numbers.

    Attributes:
        rule: Which rule decided.
        lacking: What lacks.
        closest: What is closest to lacking, if nothing lacks.
        turning: Whose verdicts together turn the outcome.
    """

    rule: str
    lacking: Sequence[int]
    closest: int | None
    turning: Sequence[int]


class Outcomes:
    """The tokens of a shard under its rules and labels.

    Args:
        rules: Fitted rules.
        shard: Examples of a run.
        labels: What labelling wrote of them (``Labels.within``).
        describe: Attribute name to what puts its scores into words; names may be missing.

    Attributes:
        columns: What each attribute says.
        combined: What the combined score says; None if the rule has none.
    """

    def __init__(self, rules: LabelRules, shard: ScoredShard, labels: Labels, describe: Mapping[str, Describe]) -> None:
        self._rules = rules
        self.columns = [
            Measure(name, cut, rules.distributions[name].percentile_of, describe.get(name)).read(
                shard, shard.scores[name]
            )
            for name, cut in rules.cuts.items()
        ]
        self.combined: Column | None = None
        scores, cut = rules.combiner.combined(shard), rules.combiner.cut
        if scores is not None and cut is not None:
            self.combined = Measure(rules.combiner.name, cut, lambda ranks: 100.0 * ranks, None).read(shard, scores)
        without = [()] * int(shard.is_response.sum())  # a warm-up has no attributes
        by_count = np.maximum(shard.counts(shard.candidates()) - rules.combine.min_kept, 0)
        guards = np.where(by_count == noise_caps(shard, rules.combine), "min_kept", "max_noise_share")
        self._cases: dict[tuple[tuple[bool, ...], tuple[int, ...], bool, str | None], _Case] = {}
        self._lacks = list(zip(*(column.lacking.tolist() for column in self.columns), strict=True)) or without
        self._near = _in_order([column.distances for column in self.columns]) if self.columns else without
        scored = (shard.is_response, shard.is_protected, shard.rulings, shard.weights)
        labelled = (labels.noise, labels.unguarded, labels.decided, labels.weights)
        derived = (np.cumsum(shard.is_response) - 1, np.repeat(guards, np.diff(shard.offsets)))
        self._tokens = [one.tolist() for one in (*scored, *labelled, *derived)]

    def _token(self, index: int) -> _Token:
        return _Token(*[column[index] for column in self._tokens])

    def readings(self, index: int) -> tuple[Reading, ...]:
        """One for each attribute of the token at ``index``; none unless it is a response token."""
        return self._readings(self._token(index))

    def combined_at(self, index: int) -> Reading | None:
        """That of the combined score, if the rule has one and the token is a response token."""
        return self._combined(self._token(index))

    def _readings(self, token: _Token) -> tuple[Reading, ...]:
        return tuple([column[token.place] for column in self.columns]) if token.is_response else ()

    def _combined(self, token: _Token) -> Reading | None:
        return self.combined[token.place] if self.combined is not None and token.is_response else None

    def __getitem__(self, index: int) -> Outcome:
        """What became of the token at ``index``."""
        token = self._token(index)
        what = "Masked" if token.noise else "Kept" if token.is_response or token.weight > 0 else "Not trained on"
        rule, why, turning, flip = self._given(token) or self._judged(token)
        return Outcome(what, rule, why + weight_text(token.own_weight, token.is_response), turning, flip)

    def _given(self, token: _Token) -> tuple[str, str, Sequence[Reading], str | None] | None:
        """Rule and reason of a token that no cut decides; None if cuts do."""
        if token.ruling in RULED:
            rule, why, _ = RULED[Ruling(token.ruling)]
        elif not token.is_response and token.weight:
            rule, why = "data.prompt_weight", f"belongs to the prompt and weighs {token.weight:g} (data.prompt_weight)"
        elif not token.is_response:
            rule, why = PROMPT, "belongs to the prompt"
        elif token.is_protected:
            rule, why = PROTECTED, "is protected, as an end of turn or template token"
        elif token.decided:
            rule, why, _ = decided_words(self._rules.deciders[token.decided - 1])
        else:
            return None
        return rule, why, (), None

    def _judged(self, token: _Token) -> tuple[str, str, Sequence[Reading], str | None]:
        """Rule, reason, and what would turn the outcome."""
        place, noise = token.place, token.noise
        guard = token.guard if token.unguarded and not noise else None
        case = self._case(self._lacks[place], self._near[place], noise, guard)
        combined = self._combined(token)
        if combined is None:
            closest = None if case.closest is None else self.columns[case.closest][place]
            why = reason(noise, [self.columns[bit][place] for bit in case.lacking], closest, guard)
            turning = [self.columns[bit][place] for bit in case.turning]
        else:
            lowest = min(self._readings(token), key=attrgetter("percentile"))
            why = reason_of_rank(combined, lowest.name, guard)
            turning = [combined] if combined.turning and not guard else []
        return case.rule, why, turning, f"masked without the guard {guard}" if guard else self._flip(noise, turning)

    def _case(self, lacks: tuple[bool, ...], near: tuple[int, ...], noise: bool, guard: str | None) -> _Case:
        """What is the same for all tokens that lack the same, with bounds in the same order of distance."""
        key = lacks, near, noise, guard
        if key not in self._cases:
            lacking = tuple(bit for bit, one in enumerate(lacks) if one)
            closest = near[0] if near and not lacking else None
            if guard:
                self._cases[key] = _Case(f"kept by the guard {guard}", lacking, closest, ())
            else:
                combiner = self._rules.combiner
                bits, moves = combiner.turning(lacks, noise)
                turning = tuple(bit for bit in near if bit in bits)[:moves]
                rule = f"{self._rules.combine.rule}: {combiner.words(lacks, noise)}"
                self._cases[key] = _Case(rule, lacking, closest, turning if len(turning) == moves else ())
        return self._cases[key]

    def _flip(self, noise: bool, turning: Sequence[Reading]) -> str | None:
        if not turning:
            return None
        moves = " and ".join(reading.moved()[1] for reading in turning)
        if noise:
            return f"kept if {moves}"
        combine = self._rules.combine
        guarded = combine.max_noise_share < 1.0 or combine.min_kept > 0
        return f"masked if {moves}" + (", unless a guard then keeps it" if guarded else "")


def _in_order(distances: Sequence[NDArray[np.float64]]) -> list[tuple[int, ...]]:
    """For each token the attributes that a bound can turn, nearest bound first; distances are ``(tokens,)``, or inf."""
    table = np.array(distances)
    order, counts = np.argsort(table, axis=0, kind="stable").T.tolist(), np.isfinite(table).sum(axis=0).tolist()
    return [tuple(row[:count]) for row, count in zip(order, counts, strict=True)]
