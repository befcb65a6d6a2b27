"""Gradient-masked and weighted fine-tuning: loss, loop, what each arm learns. Begin reading in ``trainer``."""

from xtf.training.arms import ARMS, ArmRows, Labelling, labelled_rows
from xtf.training.rows import TrainingRow
from xtf.training.trainer import TrainingJob, TrainResult, train_model
from xtf.training.weights import resolve_auto

__all__ = [
    "ARMS",
    "ArmRows",
    "Labelling",
    "TrainResult",
    "TrainingJob",
    "TrainingRow",
    "labelled_rows",
    "resolve_auto",
    "train_model",
]
