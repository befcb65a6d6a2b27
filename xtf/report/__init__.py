"""Everything that people see of a run: ``html`` (one page for a browser) and ``terminal`` (tables and listings)."""

from typing import TYPE_CHECKING

from xtf.lazy import on_demand

if TYPE_CHECKING:
    from xtf.report.html import Report, overview, renew_report, write_report, write_study

__all__ = ["Report", "overview", "renew_report", "write_report", "write_study"]
__getattr__ = on_demand(__name__, {"xtf.report.html": "Report overview renew_report write_report write_study"})
