"""Gradient-masked and weighted fine-tuning, and the arms it is compared with."""

from xtf.training.arms import ARMS, arm_rows
from xtf.training.compare import ArmResult, Spread, compare_arms, mean_and_spread
from xtf.training.rows import TrainingRow
from xtf.training.trainer import TrainResult, train_model

__all__ = [
    "ARMS",
    "ArmResult",
    "Spread",
    "TrainResult",
    "TrainingRow",
    "arm_rows",
    "compare_arms",
    "mean_and_spread",
    "train_model",
]
