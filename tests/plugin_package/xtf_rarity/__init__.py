"""Rarity: how seldom a token occurs in the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from xtf.attribute import Attribute, AttributeParams, FitContext, SignalRequest, Signals

if TYPE_CHECKING:
    import torch


class RarityParams(AttributeParams):
    """Parameters of :class:`Rarity`."""

    smoothing: float = Field(1.0, gt=0.0, description="Added to every token's count.")


class Rarity(Attribute[RarityParams]):
    """-log of the token's share of the fitting sample, in nats."""

    name: ClassVar[str] = "rarity"
    Params = RarityParams

    def default_cut(self) -> Mapping[str, object]:
        return {"kind": "bottom_share", "share": 0.2}

    def requires(self) -> set[SignalRequest]:
        return set()

    def fit(self, context: FitContext) -> None:
        ids = np.concatenate([example.input_ids[example.is_response] for example in context.examples])
        import torch

        self._counts = torch.from_numpy(np.bincount(ids)).float()

    def state(self) -> dict[str, torch.Tensor]:
        return {"counts": self._counts}

    def load_state(self, state: Mapping[str, torch.Tensor]) -> None:
        self._counts = state["counts"]

    def score(self, signals: Signals) -> torch.Tensor:
        import torch

        ids = signals.tokens.input_ids
        counts = self._counts.to(ids.device)
        seen = torch.where(ids < len(counts), counts[ids.clamp_max(len(counts) - 1)], 0.0)
        return -((seen + self.params.smoothing) / (counts.sum() + self.params.smoothing * len(counts))).log()

    def describe(self, score: float) -> str:
        return f"about one token in {np.exp(score):,.0f} is this one"
