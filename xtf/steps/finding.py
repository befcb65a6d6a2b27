"""Data and a model -> a labelled run in the user's cache: what ``xtf find`` looks at."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xtf.config import RunConfig, apply_overrides
from xtf.errors import ConfigError
from xtf.files import digest
from xtf.steps.preparing import Given, inputs_of

SETTINGS: dict[str, Any] = {
    "attributes": {"label_quality": {}, "knowledge_novelty": {}},
    "thresholds": {
        "label_quality": {"kind": "below", "cut": 0.75},
        "knowledge_novelty": {"kind": "below", "cut": 0.05},
    },
}
"""What looks wrong, and what the model predicts already with 95 % or more."""


def settings_of(sections: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A configuration yet to be checked: :data:`SETTINGS`, these sections and overrides.

    Cuts of attributes that an override has replaced go with them.
    """
    merged = apply_overrides({**SETTINGS, **sections}, overrides)
    named = merged["attributes"]
    cuts = merged["thresholds"]
    if isinstance(cuts, Mapping) and isinstance(named, Mapping | list):
        merged["thresholds"] = {n: cut for n, cut in cuts.items() if n in named or n not in SETTINGS["thresholds"]}
    return merged


def in_cache(config: RunConfig, given: Given) -> RunConfig:
    """The configuration, with a folder of the cache that belongs to it, to its data and to its model alone.

    Raises:
        ConfigError: an output of one's own, or rounds, which do not rank.
        XTFError: data or model cannot be read.
    """
    if config.strategy.kind == "self_evolving":
        raise ConfigError("strategy: xtf find scores once; for rounds, use xtf run CONFIG")
    settings = config.model_dump(mode="json", exclude={"output", "training", "evaluation", "arms", "truth"})
    name = digest(settings, inputs_of(config, given))[:16]
    return config.model_copy(update={"output": str(cache() / name)})


def cache() -> Path:
    """Where runs lie that nobody has named: ``xtf/find`` in ``XDG_CACHE_HOME``, or in ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "xtf" / "find"
