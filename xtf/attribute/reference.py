"""What influence is measured against: a second model, or a set of trusted examples. Re-exported by xtf.attribute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator

from xtf.errors import listed

ProperShare = Annotated[float, Field(gt=0.0, lt=1.0)]


class Reference(BaseModel):
    """A second model to compare the base model with: exactly one of the first five fields.

    ``train_on``, ``share`` and ``without_fold`` ask the run to make it: the base is fine-tuned on a warm-up set, all
    response tokens included, and the adapter is kept in the run folder. Equal references are one model, trained once.
    In YAML a bare string means ``path``. ``in_training`` is none of these: the model that ``training.rescore_steps``
    scores with, and the base until training begins.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | None = Field(None, description="Hub id, folder, GGUF file or package: path of the reference model.")
    adapter: str | None = Field(None, description="Folder of a LoRA adapter on the base; no second set of weights.")
    train_on: str | None = Field(None, description="Train it on this file, in any schema that data.path accepts.")
    share: Annotated[float, Field(gt=0.0, le=1.0)] | None = Field(
        None, description="Train it on the first share of the run's own examples."
    )
    without_fold: tuple[NonNegativeInt, PositiveInt] | None = Field(
        None, description="[k, n]: train it on the run's own examples but fold k of n, which ids decide."
    )
    in_training: bool = Field(
        False, description="It is the model in training (training.rescore_steps); until then, the base."
    )
    epochs: float = Field(1.0, gt=0.0, description="Passes over the warm-up set.")
    steps: PositiveInt | None = Field(None, description="Updates, instead of epochs.")
    learning_rate: float = Field(2e-4, gt=0.0)
    schedule: Literal["linear", "constant"] = Field("linear", description="Of the rate: it falls to 0, or stays.")
    r: PositiveInt = Field(8, description="Rank of the adapter.")
    alpha: PositiveInt = Field(32, description="The adapter is scaled by alpha / r.")
    dropout: float = Field(0.0, ge=0.0, lt=1.0, description="Of the adapter's input, in training.")
    target_modules: str | tuple[str, ...] = Field("all-linear", description="Names of layers, as PEFT takes them.")
    warmup_ratio: float = Field(0.0, ge=0.0, le=1.0, description="Share of updates over which the rate rises from 0.")
    batch_size: PositiveInt = 8
    seed: int = 0

    @model_validator(mode="before")
    @classmethod
    def _text_is_a_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_source(self) -> Reference:
        sources = ("path", "adapter", "train_on", "share", "without_fold")
        given = [name for name in sources if getattr(self, name) is not None]
        if self.in_training and not given:
            given = ["in_training"]
        elif len(given) != 1 or self.in_training:
            raise ValueError(
                f"give exactly one of path, adapter, train_on, share and without_fold, got "
                f"{' and '.join(given) or 'none of them'}{' with in_training' if self.in_training else ''}"
            )
        if self.without_fold is not None and not self.without_fold[0] < self.without_fold[1] > 1:
            raise ValueError("without_fold: give [k, n], a fold from 0 to n - 1 and at least two folds")
        naming = (*sources, "in_training")
        fields = {name: field for name, field in type(self).model_fields.items() if name not in naming}
        set_ = [name for name, field in fields.items() if getattr(self, name) != field.default]
        if set_ and not self.is_trained_here:
            raise ValueError(f"{listed(set_)}: for a reference that the run trains; {given[0]} names one that exists")
        if self.steps == 1 and self.warmup_ratio > 0.0:
            raise ValueError(
                "warmup_ratio: with steps: 1 every learning rate would be 0; give warmup_ratio: 0 or more steps"
            )
        return self

    @property
    def is_trained_here(self) -> bool:
        """Whether the run makes this reference."""
        return any(source is not None for source in (self.train_on, self.share, self.without_fold))

    @property
    def shown(self) -> str:
        """How messages name it."""
        if self.in_training:
            return "the model in training"
        if self.share is not None:
            return f"the reference trained on the first {self.share:.0%} of the data"
        if self.without_fold is not None:
            return f"the reference trained without fold {self.without_fold[0]} of {self.without_fold[1]}"
        return self.path or self.adapter or f"the reference trained on {self.train_on}"


@dataclass(frozen=True, slots=True)
class Roles:
    """Which parameters of a scorer, each a :class:`Reference`, name the two models whose progress it measures.

    A token that the newest model predicts better than the earlier one must not score lower for it; the public suite
    checks that. A self-evolving run gives the newest model to each scorer that has roles.

    Attributes:
        newest: The parameter that takes the newest model.
        earlier: The parameter of the model it is compared with; None if that is always the base.
    """

    newest: str
    earlier: str | None = None


class Target(BaseModel):
    """Trusted examples whose loss should fall: exactly one of ``path`` and ``share``. A bare string means ``path``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str | None = Field(None, description="A file of trusted examples, in any schema that data.path accepts.")
    share: ProperShare | None = Field(None, description="The last share of the run's own examples.")

    @model_validator(mode="before")
    @classmethod
    def _text_is_a_path(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_source(self) -> Target:
        if (self.path is None) == (self.share is None):
            raise ValueError("give exactly one of path and share")
        return self

    @property
    def shown(self) -> str:
        """How messages name it."""
        return self.path if self.path is not None else f"the last {self.share or 0:.0%} of the data"
