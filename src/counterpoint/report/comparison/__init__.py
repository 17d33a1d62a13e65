"""Several runs on one page: what differs between them, and what that changed."""

from counterpoint.report.comparison.page import check_target, write_comparison
from counterpoint.report.comparison.together import Gap, Together, apart, gaps, gather_runs

__all__ = ["Gap", "Together", "apart", "check_target", "gaps", "gather_runs", "write_comparison"]
