"""What was learned, whole: from windows to the probability that each token is wrong, and of what kind it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .calibration import Answers, Calibration
from .committee import Committee
from .false_sums import blame_false_sums
from .networks import Networks
from .scaling import Scaling
from .spelling import Spelling
from .trees import Trees
from .window import Window

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Detector:
    """What was learned.

    Attributes:
        spelling: Of token ids.
        kinds: ``(classes - 1,)`` int64: the kind of mistake of each class but the first, which is *right*.
        scaling, committee, calibration: In the order in which they are applied.
    """

    spelling: Spelling
    kinds: torch.Tensor
    scaling: Scaling
    committee: Committee
    calibration: Calibration

    def judge(self, window: Window, fold: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """For ``n`` tokens, each of an example of ``fold``: three of ``(n,)``.

        Returns:
            The probability that it is wrong, the likeliest kind of mistake, and the probability that it is one.
        """
        opinion = self.committee.judge(self.scaling.apply(window.surprise, window.states), fold)
        wrong = blame_false_sums(self.calibration.wrong(Answers(opinion.log_odds, window.step)), window)
        share, best = opinion.kinds.max(dim=1)
        return wrong, self.kinds.to(best.device)[best], wrong * share

    def state(self) -> dict[str, torch.Tensor]:
        """Everything, as tensors of any shape."""
        return {
            "kinds": self.kinds,
            **{f"spelling.{name}": value for name, value in self.spelling.state().items()},
            **{f"scaling.{name}": value for name, value in vars(self.scaling).items()},
            **{f"networks.{name}": value for name, value in vars(self.committee.networks).items()},
            **{f"trees.{name}": value for name, value in vars(self.committee.trees).items()},
            **{f"calibration.{name}": value for name, value in vars(self.calibration).items()},
        }

    @classmethod
    def of_state(cls, state: Mapping[str, torch.Tensor]) -> Detector:
        """Restore what :meth:`state` returned, in its shapes."""

        def part(of: str) -> dict[str, torch.Tensor]:
            return {name.removeprefix(f"{of}."): value for name, value in state.items() if name.startswith(f"{of}.")}

        return cls(
            Spelling.of_state(part("spelling")),
            state["kinds"],
            Scaling(**part("scaling")),
            Committee(Networks(**part("networks")), Trees(**part("trees"))),
            Calibration(**part("calibration")),
        )
