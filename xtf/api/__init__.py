"""The typed calls, one file a group, as in ``cli/``: find, score, label, train, or all of them."""

from xtf.api.configs import ConfigLike, Rows, load_config
from xtf.api.data import estimate, inspect, inspected_config, plant
from xtf.api.exports import apply_spans, export
from xtf.api.finding import find
from xtf.api.reading import Run, open_run
from xtf.api.steps import detect, evaluate, label, run, score, train
from xtf.api.studies import load_study, plan_study, study

__all__ = [
    "ConfigLike",
    "Rows",
    "Run",
    "apply_spans",
    "detect",
    "estimate",
    "evaluate",
    "export",
    "find",
    "inspect",
    "inspected_config",
    "label",
    "load_config",
    "load_study",
    "open_run",
    "plan_study",
    "plant",
    "run",
    "score",
    "study",
    "train",
]
