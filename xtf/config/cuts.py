"""Cuts: when a score lacks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from xtf.config.base import Scope, Section, Share


class Below(Section):
    """Lacking when score < cut."""

    kind: Literal["below"] = "below"
    cut: float = Field(description="In units of the score.")


class Above(Section):
    """Lacking when score > cut."""

    kind: Literal["above"] = "above"
    cut: float = Field(description="In units of the score.")


class Outside(Section):
    """Lacking when score < low or score > high."""

    kind: Literal["outside"] = "outside"
    low: float = Field(description="In units of the score.")
    high: float = Field(description="In units of the score; not below low.")

    @model_validator(mode="after")
    def _ordered(self) -> Outside:
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) must not exceed high ({self.high})")
        return self


class Iqr(Section):
    """Lacking when score < Q1 - k (Q3 - Q1) (side low), > Q3 + k (Q3 - Q1) (side high), or either (both)."""

    kind: Literal["iqr"] = "iqr"
    k: Annotated[float, Field(ge=0.0)] = Field(1.0, description="Interquartile ranges beyond the quartile.")
    side: Literal["low", "high", "both"] = Field("low", description="Which outliers lack.")
    scope: Scope = Field("example", description="Whose quartiles: of each example, or of the whole data set.")


class MultiOtsu(Section):
    """Multi-Otsu clusters of the score, numbered from 0 by rising mean; lacking when in one of ``lacking``."""

    kind: Literal["multi_otsu"] = "multi_otsu"
    classes: Annotated[int, Field(ge=2, le=5)] = Field(5, description="Clusters, 2 to 5.")
    lacking: tuple[int, ...] = Field((1,), description="Clusters whose tokens lack; 0 scores lowest.")
    scope: Scope = Field("dataset", description="Clusters of each example, or of the whole data set.")

    @model_validator(mode="after")
    def _clusters_exist(self) -> MultiOtsu:
        if any(not 0 <= cluster < self.classes for cluster in self.lacking):
            raise ValueError(f"lacking must name clusters from 0 to {self.classes - 1}, got {list(self.lacking)}")
        return self


class BottomShare(Section):
    """The lowest-scoring ``share`` of tokens lacks; a tie at the boundary is kept."""

    kind: Literal["bottom_share"] = "bottom_share"
    share: Share = Field(description="Share of tokens that lack, 0 to 1.")
    scope: Scope = Field("dataset", description="Ranked within each example, or over the whole data set.")


class TopShare(Section):
    """The highest-scoring ``keep`` of tokens is kept and the rest lacks; a tie at the boundary is kept."""

    kind: Literal["top_share"] = "top_share"
    keep: Share = Field(description="Share of tokens that are kept, 0 to 1.")
    scope: Scope = Field("dataset", description="Ranked within each example, or over the whole data set.")


class Never(Section):
    """No token lacks: the attribute is scored and shown but decides nothing."""

    kind: Literal["never"] = "never"


Threshold = Annotated[
    Below | Above | Outside | Iqr | MultiOtsu | BottomShare | TopShare | Never, Field(discriminator="kind")
]
