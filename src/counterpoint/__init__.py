"""Counterpoint: learn representations by contrast, and know what they know.

import counterpoint as cp

run = cp.train("simclr", source="digits", out="runs/first")
model = cp.load("runs/first")
z = model.embed(images)
cp.evaluate(run).table()
"""

from typing import TYPE_CHECKING, Any

from counterpoint._version import __version__

if TYPE_CHECKING:
    from counterpoint.app import associate, evaluate, gate_of, saliency, similarity, train, write_report
    from counterpoint.recipe import Recipe, preset, recipe
    from counterpoint.run import Run
    from counterpoint.serving import Associator, Loaded, load, load_attributes
    from counterpoint.studies.conduct import study

__all__ = [
    "Associator",
    "Loaded",
    "Recipe",
    "Run",
    "__version__",
    "associate",
    "evaluate",
    "gate_of",
    "load",
    "load_attributes",
    "preset",
    "recipe",
    "saliency",
    "similarity",
    "study",
    "train",
    "write_report",
]

_HOMES = {
    "Associator": "counterpoint.serving",
    "Loaded": "counterpoint.serving",
    "Recipe": "counterpoint.recipe",
    "Run": "counterpoint.run",
    "associate": "counterpoint.app",
    "evaluate": "counterpoint.app",
    "gate_of": "counterpoint.app",
    "load": "counterpoint.serving",
    "load_attributes": "counterpoint.serving",
    "preset": "counterpoint.recipe",
    "recipe": "counterpoint.recipe",
    "saliency": "counterpoint.app",
    "similarity": "counterpoint.app",
    "study": "counterpoint.studies.conduct",
    "train": "counterpoint.app",
    "write_report": "counterpoint.app",
}


def __getattr__(name: str) -> Any:
    # The command line imports this package before it has said its first line: torch must wait.
    if name not in _HOMES:
        raise AttributeError(f"module 'counterpoint' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
