"""Runs: the steps as calls (``api``), each step (``scoring``, ``labelling``, ``training``), and reading (``opened``)."""

from xtf.run.api import label, load_config, run, score, train
from xtf.run.opened import Run, open_run

__all__ = ["Run", "label", "load_config", "open_run", "run", "score", "train"]
