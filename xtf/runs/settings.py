"""The resolved configuration of a run, as its folder keeps it."""

from __future__ import annotations

import yaml

from xtf.config import RunConfig
from xtf.files import write_text
from xtf.runs.folder import RunFolder


def write_config(folder: RunFolder, config: RunConfig) -> None:
    """Write the resolved configuration into the run folder."""
    write_text(folder.config_path, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True))
