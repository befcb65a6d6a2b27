"""Random scores: the control without which no other result means anything."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from xtf.attribute import Attribute, AttributeParams, SignalRequest, Signals

if TYPE_CHECKING:
    import torch


class RandomParams(AttributeParams):
    """Parameters of :class:`Random`."""

    seed: int = Field(0, ge=0, description="Another seed gives another, equally meaningless, ranking.")


class Random(Attribute[RandomParams]):
    """Uniform random numbers in [0, 1), fixed by seed, example id and position; a control, not an attribute."""

    name: ClassVar[str] = "random"
    Params = RandomParams

    def default_cut(self) -> dict[str, object]:
        return {"kind": "bottom_share", "share": 0.3}

    def requires(self) -> set[SignalRequest]:
        return set()

    def score(self, signals: Signals) -> torch.Tensor:
        import torch

        scores = torch.full(signals.tokens.input_ids.shape, torch.nan, device=signals.tokens.input_ids.device)
        for row, example_id in enumerate(signals.tokens.example_ids):
            length = int(signals.tokens.lengths[row])
            generator = np.random.default_rng([self.params.seed, zlib.crc32(example_id.encode())])
            scores[row, :length] = torch.from_numpy(generator.random(length, dtype=np.float32)).to(scores)
        return scores

    def describe(self, score: float) -> str:
        return f"the die showed {score:.2f}"
