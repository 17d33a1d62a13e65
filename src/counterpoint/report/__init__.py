"""One self-contained page for each run: what was done, what came out, and what it looks like."""

from counterpoint.report.page import write

__all__ = ["write"]
