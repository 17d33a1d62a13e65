"""What the command line and `import counterpoint` do: sources, recipes, engine, evaluation and report, joined."""

from counterpoint.app.assess import embed, evaluate, show_table, write_report
from counterpoint.app.associate import answer, associate, show_associations, show_attributes
from counterpoint.app.compare import compare, show_comparison
from counterpoint.app.describe import describe
from counterpoint.app.doctor import Checkup, doctor, show_checkup
from counterpoint.app.gates import gate_of, similarity
from counterpoint.app.saliency import Saliency, saliency
from counterpoint.app.saliency_page import show_saliency, write_saliency
from counterpoint.app.train import train

__all__ = [
    "Checkup",
    "Saliency",
    "answer",
    "associate",
    "compare",
    "describe",
    "doctor",
    "embed",
    "evaluate",
    "gate_of",
    "saliency",
    "show_associations",
    "show_attributes",
    "show_checkup",
    "show_comparison",
    "show_saliency",
    "show_table",
    "similarity",
    "train",
    "write_report",
    "write_saliency",
]
