"""Gradient-masked and weighted fine-tuning: loss, loop, what each arm learns. Begin reading in ``trainer``."""

from xtf.training.arms import ARMS, ArmRows, Labelling, labelled_rows
from xtf.training.rows import TrainingRow
from xtf.training.trainer import TrainResult, train_model
from xtf.training.weights import settled

__all__ = [
    "ARMS",
    "ArmRows",
    "Labelling",
    "TrainResult",
    "TrainingRow",
    "labelled_rows",
    "settled",
    "train_model",
]
