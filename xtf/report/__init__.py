"""Everything that people see of a run: ``html`` (one page for a browser) and ``terminal`` (tables and listings)."""

from xtf.report.html import Report, overview, renew_report, write_report, write_study

__all__ = ["Report", "overview", "renew_report", "write_report", "write_study"]
