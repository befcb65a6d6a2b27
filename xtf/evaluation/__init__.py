"""How trained arms are compared on held-out examples. Begin reading in ``comparison``."""

from xtf.evaluation.comparison import ArmResult, Comparison, Leg, compare_arms, joined

__all__ = ["ArmResult", "Comparison", "Leg", "compare_arms", "joined"]
