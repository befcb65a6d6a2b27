"""Which tokens of assistant turns are targets, by the flags of the data and the rules of the user, and their weights.

Flags speak of characters of a message, rules of characters of the rendered turn. A token that holds one character that
must not be learnt is not learnt; of several weights the smallest counts. What a template adds to a turn, such as its
end, goes with the turn: it weighs what the turn's heaviest part weighs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xtf.config import DataConfig, TextRule
from xtf.data.conversation import Conversation
from xtf.data.flag_names import OF_TURNS
from xtf.data.flags import SpanWeight
from xtf.data.markers import Piece, Span
from xtf.data.messages import WRITTEN
from xtf.data.report import Remark
from xtf.data.rules import matches
from xtf.data.suggestion import yaml_name
from xtf.data.turns import Rendering, Turn
from xtf.data.verdict_names import is_verdict
from xtf.tokens import EXCLUDING, BoolArray, FloatArray, Ruling, RulingArray, usual_weights

ASKED = "learnt, of a turn of role {!r}: {!r} asks for it"
EARLIER = "not learnt: an earlier turn (data.learn: last_turn)"


@dataclass(frozen=True, slots=True)
class TargetRules:
    """The settings of ``data`` that say what is learnt."""

    last_turn_only: bool = False
    never: tuple[TextRule, ...] = ()
    always: tuple[TextRule, ...] = ()
    prompt_weight: float = 0.0

    @classmethod
    def of(cls, config: DataConfig) -> TargetRules:
        """Those of a configuration."""
        return cls(config.learn == "last_turn", config.never_learn, config.always_learn, config.prompt_weight)

    def notes(self) -> list[str]:
        """What :attr:`Targets.causes` may say because of these rules, so that a rule without a match is seen."""
        rules = [(Ruling.NEVER, rule) for rule in self.never] + [(Ruling.ALWAYS, rule) for rule in self.always]
        notes = [_rule_note(ruling, rule) for ruling, rule in rules]
        return [*notes, *([EARLIER] if self.last_turn_only else [])]


NO_RULES = TargetRules()
"""Every assistant turn is learnt, as its flags say."""


def prompt_note(weight: float) -> str:
    """What the report says of prompt tokens that weigh something."""
    return f"prompt tokens weigh {weight:g} (data.prompt_weight)"


def _rule_note(ruling: Ruling, rule: TextRule) -> str:
    if ruling == Ruling.NEVER:
        return f"never learnt: data.never_learn {rule}"
    return f"always learnt: data.always_learn {rule}"


@dataclass(slots=True)
class Targets:
    """What is decided of ``(seq,)`` tokens before anything is scored.

    Attributes:
        is_response: bool, the targets.
        weights: float32, of targets and of prompt tokens that weigh something.
        rulings: uint8, see :class:`~xtf.tokens.Ruling`.
        cause: uint16, 1 + the place in ``causes`` of what decided it; 0 where nothing did.
        causes: In words, for the report.
        remarks: What flags ask for that is not done, for the report.
    """

    is_response: BoolArray
    weights: FloatArray
    rulings: RulingArray
    cause: NDArray[np.uint16]
    causes: list[str] = field(default_factory=list)
    remarks: list[Remark] = field(default_factory=list)

    @classmethod
    def usual(cls, is_response: BoolArray) -> Targets:
        """Every response token of ``(seq,)`` is a target and weighs 1."""
        size = len(is_response)
        return cls(is_response, usual_weights(is_response), np.zeros(size, np.uint8), np.zeros(size, np.uint16))

    def decide(self, where: NDArray[np.intp], ruling: Ruling, cause: str) -> None:
        """Let a ruling hold for ``(n,)`` places; those that an earlier one excludes keep it."""
        where = where[~np.isin(self.rulings[where], EXCLUDING)]
        self.rulings[where] = ruling
        self.because(where, cause)
        if ruling in EXCLUDING:
            self.weights[where] = 0.0
            self.is_response[where] = False

    def leave(self, where: NDArray[np.intp]) -> None:
        """Make ``(n,)`` places context, by no ruling."""
        self.is_response[where] = False
        self.weights[where] = 0.0

    def weigh(self, where: NDArray[np.intp], weights: FloatArray, cause: str) -> None:
        """Set ``(n,)`` weights that are not 0."""
        self.weights[where] = weights
        self.because(where, cause)

    def because(self, where: NDArray[np.intp], cause: str) -> None:
        """Let the report say what decided of ``(n,)`` places."""
        if where.size:
            if cause not in self.causes:
                self.causes.append(cause)
            self.cause[where] = 1 + self.causes.index(cause)

    def counts(self, keep: slice) -> list[tuple[str, int]]:
        """Each cause and how many of the first tokens it decided."""
        found = np.bincount(self.cause[keep], minlength=len(self.causes) + 1)[1:].tolist()
        return [(cause, count) for cause, count in zip(self.causes, found, strict=True) if count]


class TokenPlaces:
    """Which tokens hold characters of a span.

    Args:
        offsets: ``(seq, 2)`` int64, the characters of each token; they rise.
        is_response: ``(seq,)`` bool.
        is_added: ``(seq,)`` bool, tokens of the added vocabulary such as ``<|im_end|>``.
    """

    def __init__(self, offsets: NDArray[np.int64], is_response: BoolArray, is_added: BoolArray) -> None:
        rising = np.maximum.accumulate(offsets.reshape(-1, 2), axis=0)
        self._starts, self._ends = rising[:, 0], rising[:, 1]
        self.is_response, self._is_added = is_response.copy(), is_added

    def tokens(self, span: Span) -> NDArray[np.intp]:
        """Positions ``(n,)`` of all tokens that hold a character of ``span``."""
        start, end = span
        if start >= end:
            return np.zeros(0, np.intp)
        first, last = int(np.searchsorted(self._ends, start, "right")), int(np.searchsorted(self._starts, end, "left"))
        return np.arange(first, last)

    def targets(self, span: Span) -> NDArray[np.intp]:
        """Those ``(n,)`` of them that are response."""
        found = self.tokens(span)
        return found[self.is_response[found]]

    def matched(self, span: Span, text: str) -> NDArray[np.intp]:
        """All ``(n,)`` tokens that hold a character of ``text[span]``; of added tokens only those wholly in it.

        A rule for the word "end" does not mean ``<|im_end|>``.
        """
        found = self.tokens(span)
        whole = np.ones(len(found), np.bool_)
        for place in {0, len(found) - 1} if len(found) else ():
            start, end = int(self._starts[found[place]]), int(self._ends[found[place]])
            if self._is_added[found[place]]:
                own = text[start:end]
                start, end = end - len(own.lstrip()), start + len(own.rstrip())
                whole[place] = span[0] <= start and end <= span[1]
        return found[whole]


def decide_targets(
    rules: TargetRules, conversation: Conversation, rendering: Rendering, places: TokenPlaces
) -> Targets:
    """Apply flags, ``data.learn`` and the user's rules.

    Args:
        rules: The settings.
        conversation: With the flags of its turns.
        rendering: Its text and turns.
        places: Where the characters of that text stand among the tokens.
    """
    targets = Targets.usual(places.is_response.copy())
    last = max((number for number, turn in enumerate(rendering.turns) if turn.is_assistant), default=0)
    for number, turn in enumerate(rendering.turns):
        learning = conversation.learning[turn.message] if conversation.learning else None
        if learning is not None:
            _apply_flags(targets, places, turn, conversation, rendering.text)
        if rules.last_turn_only and number < last:
            targets.decide(places.targets((turn.start, turn.end)), Ruling.EARLIER, EARLIER)
        apply_rules(targets, places, rules, Region(rendering.text, (turn.start, turn.end), turn.written[-1][1]))
    _weigh_prompt(targets, places, rules, rendering)
    return targets


@dataclass(frozen=True, slots=True)
class Region:
    """One turn: a text, where the turn stands in it, and where its words end, before its stop token."""

    text: str
    span: Span
    words_end: int

    def matches(self, rule: TextRule) -> Iterator[Span]:
        """Where a rule applies; an expression such as ``.*`` does not reach the stop token, a text may name it."""
        end = self.span[1] if rule.text is not None else self.words_end
        return matches(rule, self.text, (self.span[0], end))


def apply_rules(targets: Targets, places: TokenPlaces, rules: TargetRules, region: Region) -> None:
    """Apply ``data.never_learn`` and ``data.always_learn`` to one turn."""
    for ruling, chosen in ((Ruling.NEVER, rules.never), (Ruling.ALWAYS, rules.always)):
        for rule in chosen:
            for span in region.matches(rule):
                found = places.matched(span, region.text)
                targets.decide(found[places.is_response[found]], ruling, _rule_note(ruling, rule))


def _apply_flags(targets: Targets, places: TokenPlaces, turn: Turn, conversation: Conversation, text: str) -> None:
    learning, message = conversation.learning[turn.message], conversation.messages[turn.message]
    assert learning is not None
    here = places.targets((turn.start, turn.end))
    spans, own = learning.spans, learning.flag
    if not turn.is_assistant and not learning.is_named:  # but for what flags name, it is context
        spans, own = tuple(span if span.flag else replace(span, weight=0.0) for span in spans), ""
    weights = np.full(len(here), _weight_of_the_rest(spans, message), np.float32)
    flags = np.full(len(here), own or next((span.flag for span in spans if span.flag), ""), np.object_)
    lightest = np.full(len(here), np.inf, np.float32)
    for span, place in _in_text(spans, turn, text):
        lighter = np.isin(here, places.targets(place)) & (span.weight < lightest)
        lightest[lighter] = span.weight
        flags[lighter] = (span.flag or own) if learning.weight else own
    weights = np.where(np.isinf(lightest), weights, lightest) * np.float32(learning.weight)
    usual = 1.0 if turn.is_assistant else 0.0
    for flag in dict.fromkeys(flags.tolist()):
        none, other = (here[(flags == flag) & chosen] for chosen in (weights == 0, ~np.isin(weights, (0.0, usual))))
        if flag:
            targets.decide(none, Ruling.FLAGGED, _excluded(flag))
        else:
            targets.leave(none)
            places.is_response[none] = False
        cause = f"weighted by {flag!r}" if turn.is_assistant else ASKED.format(message["role"], flag)
        targets.weigh(other, weights[np.isin(here, other)], cause)


def _excluded(flag: str) -> str:
    """What the report says of a turn that a flag, or a verdict on it, leaves out."""
    is_judged = is_verdict(flag.rpartition(".")[2]) and not flag.startswith(OF_TURNS)
    how = f"; to learn it: data.only: {{{yaml_name(OF_TURNS + flag)}: any}}" if is_judged else ""
    return f"not learnt: {flag!r} says so{how}"


def _weight_of_the_rest(spans: Sequence[SpanWeight], message: Mapping[str, Any]) -> float:
    """What characters of a turn weigh that no span names: 1, or the greatest weight if spans name all its words."""
    flagged = {span.key for span in spans}
    written = {key for key in WRITTEN if str(message.get(key) or "").strip()}
    if not flagged or message.get("tool_calls") or not written <= flagged:
        return 1.0
    return max(span.weight for span in spans)


def _in_text(spans: Sequence[SpanWeight], turn: Turn, text: str) -> Iterator[tuple[SpanWeight, Span]]:
    """Where the characters of each span came out in the rendering, as far as they did."""
    runs = list(written_runs(turn, text))
    for span in spans:
        for piece, start, end, place in runs:
            low, high = max(start, span.start), min(end, span.end)
            if piece.key == span.key and low < high:
                yield span, (place + low - start, place + high - start)


def written_runs(turn: Turn, text: str) -> Iterator[tuple[Piece, int, int, int]]:
    """For each piece of a turn: characters ``[start, end)`` of its source, and where in the text they stand alike.

    The white space and tags around a piece belong to it as far as the text has them too.
    """
    done: dict[str, int] = {}
    floor = turn.start
    for number, (piece, (start, end)) in enumerate(turn.pieces):
        following = turn.pieces[number + 1] if number + 1 < len(turn.pieces) else None
        ceiling = following[1][0] if following is not None else turn.end
        goes_on = following is not None and following[0].source is piece.source
        limit = following[0].start if following is not None and goes_on else len(piece.source)
        first, last = piece.start, piece.end
        while first > done.get(piece.key, 0) and start > floor and piece.source[first - 1] == text[start - 1]:
            first, start = first - 1, start - 1
        while last < limit and end < ceiling and piece.source[last] == text[end]:
            last, end = last + 1, end + 1
        done[piece.key], floor = last, end
        yield piece, first, last, start


def _weigh_prompt(targets: Targets, places: TokenPlaces, rules: TargetRules, rendering: Rendering) -> None:
    """Give ``data.prompt_weight`` to what stands outside the assistant turns, but for what must never be learnt."""
    if not rules.prompt_weight:
        return
    outside = ~targets.is_response & (targets.rulings == Ruling.NONE)
    outside[:1] = False  # nothing predicts the first token
    spans = [span for turn in rendering.turns for span in turn.spans]
    edges = [0, *(place for span in spans for place in span), len(rendering.text)]
    for gap in zip(edges[::2], edges[1::2], strict=True):
        for rule in rules.never:
            for span in matches(rule, rendering.text, gap):
                found = places.matched(span, rendering.text)
                targets.because(found[outside[found]], _rule_note(Ruling.NEVER, rule))
                outside[found] = False
    where = np.flatnonzero(outside)
    weights = np.full(len(where), rules.prompt_weight, np.float32)
    targets.weigh(where, weights, prompt_note(rules.prompt_weight))
