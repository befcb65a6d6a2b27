"""Gradient-masked and weighted fine-tuning, and the arms it is compared with."""

from xtf.training.arms import ARMS, ArmRows, Labelling, labelled_rows
from xtf.training.compare import ArmResult, Comparison, Leg, compare_arms, joined
from xtf.training.rows import TrainingRow
from xtf.training.trainer import TrainResult, train_model
from xtf.training.weights import settled

__all__ = [
    "ARMS",
    "ArmResult",
    "ArmRows",
    "Comparison",
    "Labelling",
    "Leg",
    "TrainResult",
    "TrainingRow",
    "compare_arms",
    "joined",
    "labelled_rows",
    "settled",
    "train_model",
]
