"""The scorer: copies with known mistakes, a pass over them, and learners that judge no example they saw a copy of."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, field_validator

from xtf.attribute import (
    Attribute,
    AttributeParams,
    Detail,
    FitContext,
    LogProb,
    MaxLogProb,
    Projection,
    Scored,
    SignalRequest,
    Signals,
    TopTokens,
    probability_text,
)
from xtf.errors import PluginError
from xtf.noise import choose_kinds

from .checks import FALSE_RESULT, IN_FALSE_SUM, SUMS
from .window import read_window, state_requests, surprise_requests

if TYPE_CHECKING:
    import torch

    from .detector import Detector

DOUBTFUL = 0.75
"""A token is masked below this probability of being right: to learn a wrong one is held to harm three times as much as
to learn a right one helps."""

_FALSE: Mapping[str | float, str] = {SUMS[IN_FALSE_SUM]: "its sum fails", SUMS[FALSE_RESULT]: "in a false result"}
"""What is said of a token whose sum does not hold, instead of what the model expects."""


class LabelQualityParams(AttributeParams):
    """Parameters of :class:`LabelQuality`."""

    kinds: tuple[str, ...] = Field((), description="Kinds of mistakes to look for, as in `xtf plant`. Default: all.")
    examples: int = Field(400, ge=1, description="Most of the data's first examples to learn from.")
    layer: float = Field(2 / 3, gt=0.0, le=1.0, description="Depth of the hidden states looked at; 1: the last layer.")
    directions: int = Field(96, ge=1, description="Directions that hidden states are reduced to.")
    networks: int = Field(3, ge=1, description="Networks whose mean answer counts.")
    step_weight: float = Field(
        0.25, ge=0.0, description="Weight of the mean evidence of a token's sentence or line, beside its own."
    )

    @field_validator("kinds")
    @classmethod
    def _known(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        try:
            choose_kinds(kinds)
        except PluginError as error:
            raise ValueError(str(error)) from None
        return kinds


class LabelQuality(Attribute[LabelQualityParams]):
    """Probability that the token is right, by a detector fitted on copies of your data with planted mistakes.

    The idea is ELECTRA's replaced-token detection with a frozen model, several kinds of mistakes, and cross-fitting as
    in confident learning: no example is judged by learners that saw a copy of it. Networks and boosted trees look
    at the surprise at a token and around it, and at what needs no model: whether sums hold, and what stands earlier
    word by word; networks also at the hidden states of a middle layer before, at and after the token.
    """

    name: ClassVar[str] = "label_quality"
    Params = LabelQualityParams
    is_probability: ClassVar[bool] = True
    evidence: ClassVar[str] = (
        "masking what it holds to be wrong beats a random mask of the same size by 0.040 nats a token [0.020, 0.060] "
        "on GSM8K with planted mistakes, 121 % of what knowing them all gains [103 %, 145 %]; on clean rows it "
        "masks 0.2 % and is not shown to change anything (docs/evidence.md)"
    )

    _detector: Detector

    def __init__(self, params: LabelQualityParams) -> None:
        super().__init__(params)
        self._kinds = choose_kinds(params.kinds or None)
        self._projection = Projection()
        self._states = state_requests(params.layer, self._projection)

    def default_cut(self) -> Mapping[str, Any]:
        return {"kind": "below", "cut": DOUBTFUL}

    def details(self) -> Mapping[str, Detail]:
        return {
            "kind": Detail("category", tuple(kind.label for kind in self._kinds)),
            "kind_probability": Detail("probability"),
            "sum": Detail("category", SUMS),
            "alternative": Detail("token"),
            "alternative_probability": Detail("probability"),
            "probability": Detail("probability"),
        }

    def requires(self) -> AbstractSet[SignalRequest]:
        return surprise_requests() | {*self._states, TopTokens(1)}

    def fit(self, context: FitContext) -> None:
        from .fitting import Recipe, fit_detector  # what only describes scores loads no learners

        p = self.params
        recipe = Recipe(self._kinds, p.examples, self._states, p.directions, p.networks, p.step_weight)
        self._detector = fit_detector(context, recipe)

    def fit_passes(self, examples: int) -> int:
        from .copies import copies_of_each

        seen = min(self.params.examples, examples)
        return seen * (1 + copies_of_each(seen))

    def state(self) -> dict[str, torch.Tensor]:
        mean, matrix = self._projection.mean, self._projection.matrix
        assert mean is not None
        assert matrix is not None
        return {"projection.mean": mean, "projection.matrix": matrix, **self._detector.state()}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        from .detector import Detector

        self._projection.set(state["projection.mean"], state["projection.matrix"])
        self._detector = Detector.of_state(state)

    def score(self, signals: Signals) -> Scored:
        import torch

        from .folds import folds_of

        tokens = signals.tokens
        response = tokens.is_response
        window = read_window(signals, self._states, self._detector.spelling)
        fold = folds_of(tokens.example_ids).to(window.row.device)[window.row]
        wrong, kind, kind_probability = self._detector.judge(window, fold)

        def placed(values: torch.Tensor) -> torch.Tensor:
            """Values of the response tokens at their places."""
            found = torch.zeros(response.shape, dtype=values.dtype, device=values.device)
            found[response] = values
            return found

        return Scored(
            placed(1.0 - wrong),
            {
                "kind": placed(kind),
                "kind_probability": placed(kind_probability),
                "sum": placed(window.sums),
                "alternative": signals[TopTokens(1)][..., 0],
                "alternative_probability": signals[MaxLogProb()].exp(),
                "probability": signals[LogProb()].exp(),
            },
        )

    def describe(self, score: float) -> str:
        return f"is right with probability {probability_text(score, '.2f')}"

    def describe_token(self, score: float, details: Mapping[str, str | float]) -> str:
        names = ("probability", "alternative_probability", "kind_probability")
        own, best, kind = (probability_text(float(details[name]), ".2f") for name in names)
        if details["sum"] in _FALSE:
            model = _FALSE[details["sum"]]
        elif float(details["alternative_probability"]) <= float(details["probability"]):
            model = f"expected too ({own})"
        else:
            model = f"expected {details['alternative']!r} ({best})"
        if score >= DOUBTFUL:
            return f"looks right ({probability_text(score, '.2f')}); {model}"
        return f"looks like {details['kind']} ({kind}); {model}"
