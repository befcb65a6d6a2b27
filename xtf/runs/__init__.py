"""Runs: the steps as calls (``api``), the steps themselves, and reading what they wrote (``opened``)."""

from xtf.runs.api import evaluate, inspect, label, load_config, run, score, train
from xtf.runs.opened import Run, open_run

__all__ = ["Run", "evaluate", "inspect", "label", "load_config", "open_run", "run", "score", "train"]
