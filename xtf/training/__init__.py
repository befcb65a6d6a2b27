"""Gradient-masked and weighted fine-tuning: loss, loop, what each arm learns. Begin reading in ``trainer``."""

from typing import TYPE_CHECKING

from xtf.lazy import on_demand

if TYPE_CHECKING:
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
__getattr__ = on_demand(
    __name__,
    {
        "xtf.training.arms": "ARMS ArmRows Labelling labelled_rows",
        "xtf.training.rows": "TrainingRow",
        "xtf.training.trainer": "TrainResult TrainingJob train_model",
        "xtf.training.weights": "resolve_auto",
    },
)
