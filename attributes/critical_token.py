"""Critical tokens: would the answer still be right if another token stood there?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from xtf import Metric, Task, load_metric
from xtf.attribute import (
    Attribute,
    AttributeParams,
    Continuation,
    Detail,
    Scored,
    SignalRequest,
    Signals,
    TopTokens,
)
from xtf.errors import PluginError

_OUTCOMES = ("replaceable", "critical", "wrong either way", "not judged", "not asked")
_REPLACEABLE, _CRITICAL, _EITHER_WAY, _NOT_JUDGED, _NOT_ASKED = range(len(_OUTCOMES))


class CriticalTokenParams(AttributeParams):
    """Parameters of :class:`CriticalToken`."""

    metric: str = Field(
        "math", description="What judges answers, one of evaluation.metrics: math, choice, yes_no, text_match, …"
    )
    alternatives: int = Field(1, ge=1, le=10, description="Likeliest other tokens that are tried for each token.")
    margin: int = Field(
        64,
        ge=0,
        description="How many tokens an answer may be longer than the response; it is judged as it stands then.",
    )

    @field_validator("metric")
    @classmethod
    def _judges_texts(cls, metric: str) -> str:
        if metric == "unit_tests":
            raise ValueError("unit_tests needs the tests of a row, which no scorer sees; name a metric of texts")
        try:
            load_metric(metric)
        except PluginError as error:
            raise ValueError(str(error)) from None
        return metric


class CriticalToken(Attribute[CriticalTokenParams]):
    """Share of other tokens that make the answer wrong: 1 is critical, 0 replaceable (CFT, arXiv 2510.10974).

    ``1/K sum_k [answer(response so far, a_k, greedy(response so far, a_k)) is not answer(response)]``: in place of the
    token stands the likeliest other one, ``a_1`` (K = ``alternatives``: the likeliest few), the base model writes on
    from there, the likeliest token at each step, and ``metric`` compares the final answer with that of the row's own
    response. Critical-token fine-tuning learns these tokens only: its loss is that of SFT over them alone, which
    ``training.normalise: kept`` is.

    The paper takes responses that the model itself gave, greedily, to questions that it answers right: give such rows.
    On others a token is critical too if the model fails whatever stands there; the detail ``outcome`` tells that apart
    (``wrong either way``). A response that the metric cannot judge is kept whole, named and counted. What stands behind
    the end of a turn is not asked and scores 1. The cost is one answer written for every token and alternative.
    """

    name: ClassVar[str] = "critical_token"
    evidence: ClassVar[str] = "not put to the test yet: it needs answers that the model itself gives right"
    normalise: ClassVar[Literal["kept"]] = "kept"
    Params = CriticalTokenParams

    def default_cut(self) -> Mapping[str, Any]:
        return {"kind": "below", "cut": 0.5 / self.params.alternatives}

    def rests_on(self) -> Sequence[type]:
        return (type(self._metric),)

    def details(self) -> Mapping[str, Detail]:
        return {
            "outcome": Detail("category", _OUTCOMES, unjudged=_OUTCOMES[_NOT_JUDGED]),
            "alternative": Detail("token"),
        }

    @property
    def _written(self) -> list[Continuation]:
        return [Continuation(rank + 1, self.params.margin) for rank in range(self.params.alternatives)]

    @cached_property
    def _metric(self) -> Metric:
        return load_metric(self.params.metric)

    def requires(self) -> set[SignalRequest]:
        return {TopTokens(1), *self._written}

    def score(self, signals: Signals) -> Scored:
        import torch

        tokens, first = signals.tokens, signals[self._written[0]]
        score = torch.ones(tokens.input_ids.shape)
        outcome = torch.full(tokens.input_ids.shape, float(_NOT_ASKED))
        for row, turns in enumerate(tokens.turns):
            for start, end in turns:
                for place, (share, what) in self._judged(_Turn(signals, row, start, end)).items():
                    score[row, place], outcome[row, place] = share, what
        device = tokens.input_ids.device
        details = {"outcome": outcome.to(device), "alternative": first[..., 0].float()}
        return Scored(score.to(device), details)

    def _judged(self, turn: _Turn) -> dict[int, tuple[float, int]]:
        """Share of wrong answers and outcome of each token of a turn that was asked, by its place."""
        if self._metric.unfit(turn.task) is not None:
            return dict.fromkeys(turn.asked(self._written[0]), (1.0, _NOT_JUDGED))
        found: dict[int, tuple[float, int]] = {}
        goes_well = True  # whether the answer is right if the model writes on behind the token
        for place in reversed(turn.asked(self._written[0])):
            wrong = [not self._metric.judge(turn.task, turn.text(place, one)).correct for one in self._written]
            share = sum(wrong) / len(wrong)
            what = _CRITICAL if goes_well else _EITHER_WAY
            found[place] = share, what if share else _REPLACEABLE
            if not turn.is_likeliest(place):
                goes_well = not wrong[0]
        return found

    def describe(self, score: float) -> str:
        if score == 0.0:
            return "the answer stays right with another token in its place"
        return f"the answer becomes wrong with {score:.0%} of other tokens tried"

    def describe_token(self, score: float, details: Mapping[str, str | float]) -> str:
        match details["outcome"]:
            case "not judged":
                return f"the metric {self.params.metric} cannot judge its response, so it counts as critical"
            case "not asked":
                return "not tried: it stands behind the end of its turn"
            case "wrong either way":
                return "the model answers wrong whether it or another token stands there"
        tried = f" (first {details['alternative']!r})" if self.params.alternatives > 1 else ""
        if score in (0.0, 1.0) and not tried:
            stays = "stays right" if score == 0.0 else "becomes wrong"
            return f"the answer {stays} with {details['alternative']!r} in its place"
        return f"{self.describe(score)}{tried}"


class _Turn:
    """One response, and what the model writes in place of its tokens."""

    def __init__(self, signals: Signals, row: int, start: int, end: int) -> None:
        self._signals, self._row = signals, row
        self._start, self._ids = start, signals.tokens.input_ids[row, :end].tolist()
        self._wanted = signals.tokens.is_response[row, :end].tolist()
        self.task = Task(
            signals.tokens.example_ids[row],
            prompt=signals.decode(self._ids[:start]),
            reference=signals.decode(self._ids[start:]),
        )

    def asked(self, request: Continuation) -> list[int]:
        """The places of response tokens in whose place the model wrote."""
        written = (self._signals[request][self._row, : len(self._ids), 0] >= 0).tolist()
        return [place for place in range(self._start, len(self._ids)) if self._wanted[place] and written[place]]

    def text(self, place: int, request: Continuation) -> str:
        """The response as it is up to a token, and as the model goes on in its place."""
        new = [token for token in self._signals[request][self._row, place].tolist() if token >= 0]
        return self._signals.decode([*self._ids[self._start : place], *new])

    def is_likeliest(self, place: int) -> bool:
        """Whether the model would have written the token that stands there."""
        likeliest = self._signals[TopTokens(1)][self._row, place, 0]
        return int(likeliest) == int(self._ids[place])
