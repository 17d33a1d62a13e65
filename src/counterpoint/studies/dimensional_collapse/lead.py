"""Methods with a part left out, which collapse by construction: when the doctor speaks, and when the accuracy falls."""

import json
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from counterpoint.app.train import train
from counterpoint.errors import DivergenceError
from counterpoint.signature import find
from counterpoint.types import Source

__all__ = ["ABLATIONS", "Ablation", "Fall", "Followed", "fallen", "followed", "spoken"]

EVERY = 0.5  # epochs between two readings of the accuracy


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
        accuracy: step and kNN accuracy on a tenth of the training images, held out, twice an epoch.
        findings: step and name of each finding of the doctor.
        steps: of the run, as far as it came.
        diverged: whether it ended there because the loss was no longer a number.
    """

    accuracy: tuple[tuple[int, float], ...]
    findings: tuple[tuple[int, str], ...]
    steps: int
    diverged: bool = False


@dataclass(frozen=True)
class Fall:
    """When an accuracy fell for good: in between two readings.

    Args:
        after: the last step at which it had not; 0, where it had at the first reading.
        by: the first step at which it had.
    """

    after: int
    by: int


def followed(
    ablation: Ablation, source: Source, *, whole: bool, encoder: str, batch: int, epochs: int, seed: int
) -> Followed:
    """Train once, in a folder that is thrown away, and look twice an epoch.

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
                evaluate_every=EVERY,
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
        any(line["event"] == "end" and line["reason"] == "diverged" for line in lines),
    )


def fallen(without: Followed, whole: Followed, count: int) -> Fall | None:
    """When a run's accuracy fell for good below the other's by more than two standard errors of their difference.

    A run that diverges has fallen by that step.

    Args:
        without: a part.
        whole: nothing left out, read at the same steps; what its readings do not reach is not compared.
        count: images that either was measured on.

    Returns:
        None: it has not fallen.

    Example:
        >>> whole = Followed(((10, 0.5), (20, 0.6)), (), 20)
        >>> fallen(Followed(((10, 0.5), (20, 0.1)), (), 20), whole, 100)
        Fall(after=10, by=20)
    """
    after, by = 0, None
    for (step, a), (_, b) in zip(without.accuracy, whole.accuracy, strict=False):
        error = ((a * (1 - a) + b * (1 - b)) / count) ** 0.5
        if a >= b - 2 * error:
            after, by = step, None
        elif by is None:
            by = step
    if by is None and without.diverged:
        by = without.steps
    return None if by is None else Fall(after, by)


def spoken(run: Followed, name: str) -> tuple[int | None, tuple[int, str] | None]:
    """The step at which the doctor first said what was expected, and the first other finding before that.

    Args:
        run: that was followed.
        name: of the finding that is expected.

    Returns:
        None each where there is none; of a run in which the expected one was never said, the other is the first of all.
    """
    said = next((step for step, told in run.findings if told == name), None)
    other = next(((step, told) for step, told in run.findings if told != name and (said is None or step < said)), None)
    return said, other
