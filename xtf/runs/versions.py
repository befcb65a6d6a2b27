"""Versions of what decides a result."""

from __future__ import annotations

import platform
from importlib.metadata import version

_PACKAGES = ("xtf-tokens", "torch", "transformers", "peft", "accelerate", "pyarrow", "numpy")


def versions() -> dict[str, str]:
    """Python's and each deciding package's version."""
    return {"python": platform.python_version(), **{package: version(package) for package in _PACKAGES}}
