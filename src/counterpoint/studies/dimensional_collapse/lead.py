"""Methods with a part left out, which collapse by construction: when the doctor speaks, and when the accuracy falls."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from counterpoint.app.train import train
from counterpoint.errors import DivergenceError
from counterpoint.signature import find
from counterpoint.types import Source

__all__ = ["ABLATIONS", "Ablation", "Followed", "fallen", "followed"]


@dataclass(frozen=True)
class Ablation:
    """A method, and what is left out of it.

    Args:
        recipe: of the method.
        left_out: dials and settings that take the part away.
        finding: the doctor's name of what follows.
        dials: of the whole method too, where the recipe's own would hide the effect.
    """

    recipe: str
    left_out: Mapping[str, Any]
    finding: str
    dials: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def asked(self, *, whole: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
        """Dials and settings of a run, of the whole method or without its part."""
        own = {dial.name for dial in find(self.recipe).dials}
        given = {**self.dials, **({} if whole else self.left_out)}
        return {k: v for k, v in given.items() if k in own}, {k: v for k, v in given.items() if k not in own}


ABLATIONS: Mapping[str, Ablation] = {
    "NT-Xent without negatives": Ablation(
        "simclr",
        {
            "objective": "counterpoint.objectives:CosineRegression",
            "negatives": "counterpoint.negatives:OtherViews",
        },
        "complete-collapse",
    ),
    "BYOL without predictor": Ablation("byol", {"heads.predictor": "none"}, "complete-collapse"),
    "SimSiam without stop-gradient": Ablation("simsiam", {"target": "counterpoint.targets:Same"}, "complete-collapse"),
    "SwAV without Sinkhorn": Ablation("swav", {"negatives.iterations": 0}, "one-prototype"),
    "DINO without centring": Ablation("dino", {"negatives.momentum": 1.0}, "one-prototype", {"target_warmup": 30.0}),
    "DINO without sharpening": Ablation("dino", {"negatives.temperature": 0.1}, "uniform-assignments"),
    "alignment without uniformity": Ablation("align_uniform", {"uniform": 0.0}, "complete-collapse"),
}


@dataclass(frozen=True)
class Followed:
    """A run, followed.

    Args:
        accuracy: step and kNN accuracy on a tenth of the training images, held out, after every epoch.
        findings: step and name of each finding of the doctor.
        steps: of the run, as far as it came.
    """

    accuracy: tuple[tuple[int, float], ...]
    findings: tuple[tuple[int, str], ...]
    steps: int


def followed(
    ablation: Ablation, source: Source, *, whole: bool, encoder: str, batch: int, epochs: int, seed: int
) -> Followed:
    """Train once, in a folder that is thrown away, with a look after every epoch.

    Args:
        ablation: what is trained.
        source: of labelled images, of which a tenth is held out.
        whole: the method as it is, rather than without its part.
        encoder: by name.
        batch: images of a step.
        epochs: passes over the rest.
        seed: of the run.
    """
    dials, settings = ablation.asked(whole=whole)
    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "run"
        with suppress(DivergenceError):  # the log says so
            train(
                ablation.recipe,
                source=source,
                encoder=encoder,
                out=out,
                seed=seed,
                dials={"batch_size": batch, "epochs": epochs, **dials},
                settings=settings,
                precision="32-true",
                evaluate_every=1,
                checkpoint_every=1000,
                evaluate=False,
                report=False,
                quiet=True,
            )
        lines = [json.loads(text) for text in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    return Followed(
        tuple((line["step"], line["knn_accuracy"]) for line in lines if line["event"] == "validate"),
        tuple((line["step"], line["name"]) for line in lines if line["event"] == "finding"),
        max((int(line["step"]) for line in lines if "step" in line), default=0),
    )


def fallen(accuracy: Sequence[tuple[int, float]], whole: Sequence[tuple[int, float]], count: int) -> int | None:
    """The first step from which on the first accuracy stays below the other by more than two standard errors.

    Args:
        accuracy: by step.
        whole: of the method with nothing left out, at the same steps.
        count: images that either was measured on.

    Returns:
        None: it has not fallen.

    Example:
        >>> fallen([(10, 0.5), (20, 0.1)], [(10, 0.5), (20, 0.6)], 100)
        20
    """
    since: int | None = None
    for (step, a), (_, b) in zip(accuracy, whole, strict=False):
        error = ((a * (1 - a) + b * (1 - b)) / count) ** 0.5
        since = (step if since is None else since) if a < b - 2 * error else None
    return since
