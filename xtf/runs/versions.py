"""Versions of what decides a result."""

from __future__ import annotations

import json
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, distribution, version
from urllib.parse import unquote, urlsplit

_PACKAGES = ("xtf-tokens", "torch", "transformers", "peft", "accelerate", "pyarrow", "numpy")
__version__ = version("xtf-tokens")


def versions() -> dict[str, str]:
    """Python's and each deciding package's version."""
    return {"python": platform.python_version(), **{package: version(package) for package in _PACKAGES}}


def source_commit() -> str:
    """The commit that this package was installed from, or is checked out at; empty where nobody can tell."""
    try:
        origin = json.loads(distribution("xtf-tokens").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        return ""
    known = str(origin.get("vcs_info", {}).get("commit_id", ""))
    place = urlsplit(str(origin.get("url", "")))
    if known or place.scheme != "file":
        return known
    command = ["git", "-C", unquote(place.path), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()
