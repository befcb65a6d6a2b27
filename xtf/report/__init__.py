"""A finished run as one page: figures, cuts to try out, and every token's reasons. Recomputes no score and no label.

``report.html`` needs no server and no network. Larger runs embed a sample of their examples and say so.
"""

from xtf.report.figures import overview
from xtf.report.write import Report, write_report

__all__ = ["Report", "overview", "write_report"]
