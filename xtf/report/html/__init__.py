"""A finished run as one page: figures, cuts to try out, and every token's reasons. Recomputes no score and no label.

``report.html`` needs no server and no network. Larger runs embed a sample of their examples and say so. Begin reading
in ``data`` (what the page is told) and ``js/app.js`` (what it does with it).
"""

from xtf.report.html.figures import overview
from xtf.report.html.study import write_study
from xtf.report.html.write import Report, renew_report, write_report

__all__ = ["Report", "overview", "renew_report", "write_report", "write_study"]
