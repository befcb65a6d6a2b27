"""Files of settings that trainers read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml


def settings_file(head: str, settings: Mapping[str, Any]) -> str:
    """A YAML file that begins with ``head``, each line of it as a comment."""
    comments = "".join(f"# {line}\n" for line in head.splitlines())
    return comments + yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
