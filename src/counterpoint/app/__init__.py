"""What the command line and `import counterpoint` do: sources, recipes, engine, evaluation and report, joined."""

from counterpoint.app.assess import embed, evaluate, show_table, write_report
from counterpoint.app.describe import describe
from counterpoint.app.train import train

__all__ = ["describe", "embed", "evaluate", "show_table", "train", "write_report"]
