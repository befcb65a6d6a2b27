"""What a person sees in a terminal: examples with their noise marked, tables, next steps."""

from typing import TYPE_CHECKING

from xtf.lazy import on_demand

if TYPE_CHECKING:
    from xtf.explain.terminal import print_explanation
    from xtf.report.terminal.attributes import print_attributes
    from xtf.report.terminal.comparison import print_comparison
    from xtf.report.terminal.detection import print_detection
    from xtf.report.terminal.forecast import print_forecast
    from xtf.report.terminal.inspection import print_inspection
    from xtf.report.terminal.issues import print_issues, print_written_rows
    from xtf.report.terminal.planting import print_planted
    from xtf.report.terminal.runs import (
        print_example,
        print_expected_wrong,
        print_metrics,
        print_next_steps,
        print_run_head,
        print_scored,
        print_stale,
        print_summary,
    )
    from xtf.report.terminal.status import print_renewed, print_report_path, print_status, print_training_begins
    from xtf.report.terminal.studies import print_plan, print_study

__all__ = [
    "print_attributes",
    "print_comparison",
    "print_detection",
    "print_example",
    "print_expected_wrong",
    "print_explanation",
    "print_forecast",
    "print_inspection",
    "print_issues",
    "print_metrics",
    "print_next_steps",
    "print_plan",
    "print_planted",
    "print_renewed",
    "print_report_path",
    "print_run_head",
    "print_scored",
    "print_stale",
    "print_status",
    "print_study",
    "print_summary",
    "print_training_begins",
    "print_written_rows",
]
__getattr__ = on_demand(
    __name__,
    {
        "xtf.explain.terminal": "print_explanation",
        "xtf.report.terminal.attributes": "print_attributes",
        "xtf.report.terminal.comparison": "print_comparison",
        "xtf.report.terminal.detection": "print_detection",
        "xtf.report.terminal.forecast": "print_forecast",
        "xtf.report.terminal.inspection": "print_inspection",
        "xtf.report.terminal.issues": "print_issues print_written_rows",
        "xtf.report.terminal.planting": "print_planted",
        "xtf.report.terminal.runs": (
            "print_example print_expected_wrong print_metrics "
            "print_next_steps print_run_head print_scored print_stale print_summary"
        ),
        "xtf.report.terminal.status": "print_renewed print_report_path print_status print_training_begins",
        "xtf.report.terminal.studies": "print_plan print_study",
    },
)
