"""The command line: arguments in, one call of the API, its result shown. No logic lives here.

One file a group of commands, listed here in the order of ``xtf --help``; ``app`` holds what they share.
"""

from __future__ import annotations

import logging
import os

from xtf.cli import finding, steps, studies, reading, status, data, exports, trainers, settings  # isort: skip
from xtf.cli.app import app, escape_what_cannot_be_shown

__all__ = ["app", "data", "exports", "finding", "main", "reading", "settings", "status", "steps", "studies", "trainers"]


def main(arguments: list[str] | None = None) -> None:
    """Entry point of the ``xtf`` command."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # PEFT imports it where it is installed, and it warns of kernels that nothing asks for.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    escape_what_cannot_be_shown()
    app(args=arguments)
