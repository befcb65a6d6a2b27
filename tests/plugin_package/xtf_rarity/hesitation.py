"""Hesitation: a scorer by a signal of the same package."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from xtf.attribute import Attribute, NoParams, SignalRequest, Signals

from .margin import Margin

if TYPE_CHECKING:
    import torch


class Hesitation(Attribute[NoParams]):
    """exp(-margin): near 1 where the two likeliest tokens are about equally likely."""

    name: ClassVar[str] = "hesitation"

    def requires(self) -> set[SignalRequest]:
        return {Margin()}

    def score(self, signals: Signals) -> torch.Tensor:
        return (-signals[Margin()]).exp()
