"""Errors a person can act on: what was wrong, where, what is allowed, what to do next.

Every error that a user's own input can cause derives from :class:`XTFError`; the command line prints its text and
exits with :attr:`XTFError.exit_code`, never with a traceback. A traceback therefore always means a defect of XTF.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any


class XTFError(Exception):
    """Base of every error that names something the user can change."""

    exit_code = 2


class ConfigError(XTFError):
    """One or several mistakes in a configuration; ``problems`` holds one line for each."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class DataError(XTFError):
    """A data file or row that cannot be used; the text names the file and the line."""


class ModelError(XTFError):
    """A model or tokenizer that cannot be loaded or does not fit the rest of the run."""


class PluginError(XTFError):
    """A scorer that cannot be found, imported or trusted; the text names its package."""


class DegenerateAttributeError(XTFError):
    """An attribute whose scores do not tell tokens apart, so that any cut would select rounding noise."""


class RunError(XTFError):
    """A run folder that is missing, damaged, locked, or belongs to another configuration."""


class ClusterError(XTFError):
    """A Ray cluster that is not there, has no room, or has failed."""


class OutOfSpaceError(RunError):
    """The disk is full; everything written so far is complete and the run can go on."""


class TrainerError(XTFError):
    """A trainer that learns something else than the labels of a run; the text says what, and what to do."""

    exit_code = 1


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest known word, or an empty string when none is close.

    >>> did_you_mean("lr", ["lora", "learning_rate"]), did_you_mean("SEED", ["seeds"]), did_you_mean("x", ["seeds"])
    (" Did you mean 'learning_rate'?", " Did you mean 'seeds'?", '')
    """
    plain = {_plain(name): name for name in known}
    initials = {"".join(part[0] for part in name.split("_") if part): name for name in plain if "_" in name}
    asked = _plain(word)
    close = [initials[asked]] if asked in initials else difflib.get_close_matches(asked, plain, n=1, cutoff=0.6)
    return f" Did you mean {plain[close[0]]!r}?" if close else ""


def _plain(word: str) -> str:
    return word.lower().replace("-", "_").replace(" ", "_")


def listed(names: Iterable[str]) -> str:
    """Return names sorted and joined for a sentence such as ``Known: a, b, c.``"""
    return ", ".join(sorted(names)) or "none"


def kind_of(value: Any) -> str:
    """Return what a JSON value is, in words."""
    names = {dict: "an object", list: "a list", str: "a string", type(None): "null", int: "a number", float: "a number"}
    return names.get(type(value), f"a value of type {type(value).__name__}")


def first_line(error: BaseException) -> str:
    """What an error says first, or its kind if it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def raise_if_forbidden(error: BaseException) -> None:
    """Raise as it is what says which file or folder wants a permission: then nothing is damaged."""
    if isinstance(error, PermissionError) and error.filename is not None:
        raise error
