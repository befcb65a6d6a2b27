"""TALR: a weight for every token that falls with its loss, the slower the harder the data are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveInt

from xtf.attribute import Attribute, AttributeParams, FitContext, LogProb, Signals

if TYPE_CHECKING:
    import torch

_LEAST_TEMPERATURE = 1e-3  # nats; a model that predicts every token would divide by zero


class TALRParams(AttributeParams):
    """Parameters of :class:`TALR`."""

    temperature: float | None = Field(
        None, gt=0.0, description="τ in nats. Default: the median, over examples, of an example's mean loss."
    )
    floor: float = Field(0.01, ge=0.0, lt=1.0, description="Least weight of a token.")
    examples: PositiveInt = Field(256, description="First examples that the median is taken over.")


class TALR(Attribute[TALRParams]):
    """A weight in (0, 1], ``max(exp(-loss / τ), floor)`` (token-adaptive loss reweighting, arXiv 2509.20758).

    The closed form of weights that minimise the weighted loss less τ times their entropy. Hard tokens pull less,
    measured by how hard the data are as a whole: τ is the median of the examples' mean losses.
    For ``combine.weight_by: talr`` with ``training.objective: weight``; the loss is divided by all response tokens.
    The paper takes weights and τ anew for each batch: ``training.rescore_steps: 1``.
    """

    name: ClassVar[str] = "talr"
    normalise: ClassVar[Literal["response"]] = "response"
    rescores: ClassVar[bool] = True
    Params = TALRParams

    _temperature: float

    def requires(self) -> set[LogProb]:
        return {LogProb()}

    def fit(self, context: FitContext) -> None:
        if self.params.temperature is not None:
            self._temperature = self.params.temperature
            return
        import torch

        sample = context.examples[: self.params.examples]
        means = [signals[LogProb()].nanmean(dim=1) for _, signals in context.signals(sample, {LogProb()})]
        losses = -torch.cat(means).cpu()
        self._temperature = max(float(losses[losses.isfinite()].quantile(0.5)), _LEAST_TEMPERATURE)

    def state(self) -> dict[str, torch.Tensor]:
        import torch

        return {"temperature": torch.tensor(self._temperature, dtype=torch.float64)}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        self._temperature = float(state["temperature"])

    def score(self, signals: Signals) -> torch.Tensor:
        return (signals[LogProb()] / self._temperature).exp().clamp_min(self.params.floor)

    def describe(self, score: float) -> str:
        return f"its loss gives it weight {score:.3g}"
