"""Loss trajectory: how a token's loss goes over a short fine-tune."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PositiveInt, field_validator

from xtf.attribute import Attribute, AttributeParams, LogProb, Reference, SignalRequest, Signals

if TYPE_CHECKING:
    import torch


class LossTrajectoryParams(AttributeParams):
    """Parameters of :class:`LossTrajectory`."""

    steps: tuple[PositiveInt, ...] = Field(
        (8, 16, 24), min_length=1, description="Updates after which losses are taken, rising; the base is the first."
    )
    share: float = Field(1.0, gt=0.0, le=1.0, description="First share of the run's examples that the fine-tune sees.")
    learning_rate: float = Field(2e-4, gt=0.0, description="Constant.")
    batch_size: PositiveInt = Field(8, description="Examples an update.")

    @field_validator("steps")
    @classmethod
    def _rise(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        if list(steps) != sorted(set(steps)):
            raise ValueError("steps must rise")
        return steps


class LossTrajectory(Attribute[LossTrajectoryParams]):
    """How much the token's loss falls over a short fine-tune, in nats, by a fitted line (Rho-1, arXiv 2404.07965).

    A line ``a x + b`` is fitted by least squares to the losses at the base and after each of ``steps`` updates, ``x``
    0, 1, … n; the score is minus its change from the first to the last, ``-a n``. Rho-1's appendix sorts the tokens of
    a pre-training so: a fall by more than 0.2 nats is learnt (H→L), a rise by more forgotten (L→H), and what stays is
    known already or never learnt; its selection itself is ``influence``. The models are one training stopped at several
    points: same order, constant rate. Each is trained from the start, and costs one pass. Tokens that the fine-tune
    sees fall further than others.
    """

    name: ClassVar[str] = "loss_trajectory"
    evidence: ClassVar[str] = (
        "does not find planted mistakes on GSM8K (AUROC 0.45, 0.5 is chance); its best 60 % lose 0.249 nats a token "
        "[0.180, 0.318] to a random mask of the same size, with a small model (docs/evidence.md)"
    )
    base_stays: ClassVar[bool] = True
    Params = LossTrajectoryParams

    def default_cut(self) -> Mapping[str, Any]:
        return {"kind": "top_share", "keep": 0.6, "scope": "dataset"}

    @property
    def _stops(self) -> list[LogProb]:
        params = self.params
        after = [
            Reference(
                share=params.share,
                steps=steps,
                schedule="constant",
                learning_rate=params.learning_rate,
                batch_size=params.batch_size,
            )
            for steps in params.steps
        ]
        return [LogProb(), *(LogProb(reference) for reference in after)]

    def requires(self) -> set[SignalRequest]:
        return set(self._stops)

    def score(self, signals: Signals) -> torch.Tensor:
        import torch

        gains = torch.stack([signals[stop] for stop in self._stops])
        x = torch.arange(len(gains), dtype=gains.dtype, device=gains.device)
        x = (x - x.mean())[:, None, None]
        slope = (x * gains).sum(dim=0) / (x * x).sum()
        return slope * (len(gains) - 1)

    def describe(self, score: float) -> str:
        if score == 0:
            return "over a short fine-tune its loss stays as it is"
        return f"over a short fine-tune its loss {'falls' if score > 0 else 'rises'} by {abs(score):.3g} nats"
