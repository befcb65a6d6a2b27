"""What a person sees in a terminal: examples with their noise marked, tables, next steps."""

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
