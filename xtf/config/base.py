"""What every section of a configuration shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from xtf.config.lists import with_lists

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Scope = Literal["example", "dataset"]


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values are frozen, lists may be written as people write them."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, value: Any) -> Any:
        return with_lists(cls.model_fields, value) if isinstance(value, Mapping) else value
