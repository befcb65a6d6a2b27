"""How trained arms are compared on held-out examples, and scores with what is known to be wrong.

Begin reading in ``comparison`` (arms), ``metric`` (what a metric is) or ``detection`` (truth files).
"""

from typing import TYPE_CHECKING

from xtf.lazy import on_demand

if TYPE_CHECKING:
    from xtf.evaluation.arm_result import ArmResult, merge_results
    from xtf.evaluation.comparison import Comparison, Leg
    from xtf.evaluation.held_out_rows import HeldOut
    from xtf.evaluation.judging import MetricResult, load_metric
    from xtf.evaluation.metric import Metric, Task, Verdict

__all__ = [
    "ArmResult",
    "Comparison",
    "HeldOut",
    "Leg",
    "Metric",
    "MetricResult",
    "Task",
    "Verdict",
    "load_metric",
    "merge_results",
]
__getattr__ = on_demand(
    __name__,
    {
        "xtf.evaluation.arm_result": "ArmResult merge_results",
        "xtf.evaluation.comparison": "Comparison Leg",
        "xtf.evaluation.held_out_rows": "HeldOut",
        "xtf.evaluation.judging": "MetricResult load_metric",
        "xtf.evaluation.metric": "Metric Task Verdict",
    },
)
