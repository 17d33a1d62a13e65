"""Self-contained pages: of a run, what was done, what came out and what it looks like; of several, what differs."""

from counterpoint.report.comparison import Gap, Together, apart, check_target, gaps, gather_runs, write_comparison
from counterpoint.report.page import write

__all__ = ["Gap", "Together", "apart", "check_target", "gaps", "gather_runs", "write", "write_comparison"]
