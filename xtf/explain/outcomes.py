"""What became of each token of one example, which rule decided, and what would turn it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from xtf.explain.measures import Column, Describe, Measure, Reading
from xtf.explain.rulings import RULED, decided_words
from xtf.explain.sentences import reason, weight_text
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
    """One token as scored and as labelled; ``place`` is its place among the response tokens."""

    is_response: bool
    is_protected: bool
    ruling: int
    own_weight: float
    noise: bool
    unguarded: bool
    decided: int
    weight: float
    place: int


class Outcomes:
    """The tokens of one example under its rules and labels.

    Args:
        rules: Fitted rules.
        shard: One example (``ScoredShard.example``).
        labels: What labelling wrote of it (``Labels.within``).
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
        self._readings = list(zip(*(column.readings for column in self.columns), strict=True)) or without
        by_count = int(shard.candidates().sum()) - rules.combine.min_kept
        self._guard = "min_kept" if max(by_count, 0) == noise_caps(shard, rules.combine)[0] else "max_noise_share"
        self._votes: dict[tuple[tuple[bool, ...], bool], tuple[str, Sequence[int], int]] = {}
        scored = (shard.is_response, shard.is_protected, shard.rulings, shard.weights)
        labelled = (labels.noise, labels.unguarded, labels.decided, labels.weights)
        rows = zip(*(one.tolist() for one in (*scored, *labelled, np.cumsum(shard.is_response) - 1)), strict=True)
        self._tokens = [_Token(*row) for row in rows]

    def readings(self, index: int) -> tuple[Reading, ...]:
        """One for each attribute of the token at ``index``; none unless it is a response token."""
        token = self._tokens[index]
        return self._readings[token.place] if token.is_response else ()

    def combined_at(self, index: int) -> Reading | None:
        """That of the combined score, if the rule has one and the token is a response token."""
        token = self._tokens[index]
        return self.combined.readings[token.place] if self.combined is not None and token.is_response else None

    def __getitem__(self, index: int) -> Outcome:
        """What became of the token at ``index``."""
        token = self._tokens[index]
        what = "Masked" if token.noise else "Kept" if token.is_response or token.weight > 0 else "Not trained on"
        rule, why, turning, flip = self._given(token) or self._judged(
            token, self.readings(index), self.combined_at(index)
        )
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

    def _judged(
        self, token: _Token, readings: Sequence[Reading], combined: Reading | None
    ) -> tuple[str, str, Sequence[Reading], str | None]:
        """Rule, reason, and what would turn the outcome."""
        guard = self._guard if token.unguarded and not token.noise else None
        why = reason(token.noise, readings, combined, guard)
        if guard:
            return f"kept by the guard {guard}", why, (), f"masked without the guard {guard}"
        lacks = tuple([reading.lacking for reading in readings])
        if (lacks, token.noise) not in self._votes:
            combiner = self._rules.combiner
            words = f"{self._rules.combine.rule}: {combiner.words(lacks, token.noise)}"
            self._votes[lacks, token.noise] = (words, *combiner.turning(lacks, token.noise))
        rule, bits, moves = self._votes[lacks, token.noise]
        if combined is not None:
            turning = [combined] if combined.turning else []
        else:
            options = [readings[bit] for bit in bits if readings[bit].turning]
            turning = sorted(options, key=_distance)[:moves] if len(options) >= moves else []
        return rule, why, turning, self._flip(token.noise, turning)

    def _flip(self, noise: bool, turning: Sequence[Reading]) -> str | None:
        if not turning:
            return None
        moves = " and ".join(reading.moved()[1] for reading in turning)
        if noise:
            return f"kept if {moves}"
        combine = self._rules.combine
        guarded = combine.max_noise_share < 1.0 or combine.min_kept > 0
        return f"masked if {moves}" + (", unless a guard then keeps it" if guarded else "")


_distance = attrgetter("distance")
