"""What is asked of the runs beside accuracy: spectra of h and z, the toy models, the cue, and the doctor's lead."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from counterpoint.evaluation import effective_rank, linear_probe, spectrum
from counterpoint.studies.dimensional_collapse.grid import USUAL
from counterpoint.studies.dimensional_collapse.lead import ABLATIONS, fallen, followed, spoken
from counterpoint.studies.dimensional_collapse.toy import Course, collapse_by_augmentation, collapse_by_depth
from counterpoint.studies.negatives.grid import PART
from counterpoint.studies.planted import Planted
from counterpoint.studies.study import Cell, Trained
from counterpoint.types import Dataset, Source

__all__ = ["BINS", "NOISES", "TOY_DEPTHS", "CueKept", "Lead", "Spectra", "Toys", "as_one", "lead_of"]

CLIFF = 1e-4  # of the largest singular value of the covariance, below which a dimension is not used
BINS = 8  # of the hue
NOISES = (0.01, 0.5, 1.0, 1.5)  # of the first toy model; the ends are the authors'


def as_one(layers: int) -> str:
    """Of the second toy model: the control, in which the product of the layers is one layer."""
    return f"{layers} as one"


TOY_DEPTHS = {"1": (1, False), **{name: (n, one) for n in (2, 3) for name, one in ((str(n), False), (as_one(n), True))}}


@dataclass(frozen=True)
class Spectra:
    """Singular values of the covariance of unit rows, of h and of z, on test images.

    `values` are shares of the largest, `used` are those above 1e-4 of it, `rank` is their effective rank, `share` this
    as a share of the `width`, and `rows` are the images, fewer than one more than the width of which cannot use all of
    it. Without a projector z is h; what DirectCLR compares is z.

    Source: Jing et al. 2022, section 3.
    """

    name = "spectra"

    def wanted(self, cell: Cell) -> bool:
        """Every cell."""
        return cell.place.get("part") == PART

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """By representation."""
        test = trained.test
        z = trained.model.towers.projector(test.h) if test.z is None else test.z
        return {"h": _read(test.h), "z": _read(z)}


def _read(rows: Tensor) -> dict[str, Any]:
    values = spectrum(rows.detach())
    share = values / values[0] if float(values[0]) > 0 else values
    rank = effective_rank(values) if float(values[0]) > 0 else 0.0
    count, width = rows.shape
    return {
        "values": [float(f"{v:.4g}") for v in share.tolist()],
        "used": int((share > CLIFF).sum()),
        "rank": rank,
        "share": rank / width,
        "width": width,
        "rows": count,
    }


@dataclass(frozen=True)
class Toys:
    """Both linear networks of Jing et al. 2022, once for each seed: no encoder has a part in them.

    `augmentation` is by the noise of the views, `depth` by the number of layers, and whether their product was one:
    `start` and `collapsed`, directions of sixteen with less than a tenth of the largest variance at the start and at
    the end, `values` their variances as shares of the largest, `course` how many they were at each look. Of two layers
    and more `aligned` is how much of the subspace of the eight weakest directions the last two layers share, at the
    start and at the end, in [0, 1].

    Args:
        steps: of each; the authors' code has 10,000.
    """

    steps: int = 10_000

    name = "toys"

    def wanted(self, cell: Cell) -> bool:
        """One cell of each seed."""
        return cell.place.get("setting") == USUAL

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """All settings, with the run's seed."""
        seed, steps = trained.cell.seed, self.steps
        return {
            "augmentation": {f"{n:g}": _told(collapse_by_augmentation(n, steps=steps, seed=seed)) for n in NOISES},
            "depth": {
                name: _told(collapse_by_depth(n, as_one=one, steps=steps, seed=seed))
                for name, (n, one) in TOY_DEPTHS.items()
            },
        }


def _told(course: Course) -> dict[str, Any]:
    collapsed = course.collapsed()
    last = course.embedding[-1]
    found: dict[str, Any] = {
        "start": int(collapsed[0]),
        "collapsed": int(collapsed[-1]),
        "values": (last / last[0]).tolist(),
        "course": collapsed.tolist(),
        "steps": course.step.tolist(),
    }
    if course.overlap is not None:
        weak = course.overlap.shape[-1] // 2
        shared = course.overlap[:, -weak:, -weak:].square().sum((1, 2)) / weak
        found["aligned"] = {"start": float(shared[0]), "end": float(shared[-1])}
    return found


@dataclass(frozen=True)
class CueKept:
    """Whether the hue of the cue can be read from h: a linear probe for which eighth of the circle it lies in."""

    c: float | None = None

    name = "cue-kept"

    def wanted(self, cell: Cell) -> bool:
        """Cells with a cue to be seen that tells images apart."""
        return isinstance(cell.source, Planted) and cell.source.strength > 0 and (cell.source.values or 0) > 1

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """On test images."""
        source = trained.cell.source
        dataset: Dataset = trained.dataset
        assert isinstance(source, Planted)
        assert source.values is not None
        train = source.of(dataset.train, source.values, "train") * BINS // source.values
        test = source.of(dataset.test, source.values, "test") * BINS // source.values
        probe = linear_probe(trained.train.h, trained.test.h, train, test, c=self.c, seed=trained.cell.seed)
        return {"cue": probe.accuracy, "chance": 1 / BINS}


@dataclass(frozen=True)
class Lead:
    """How many steps the doctor speaks before the accuracy falls, of a method that collapses by construction.

    It is trained whole and with a part left out, with a tenth of the images held out; it has fallen for good where its
    kNN accuracy stays below the whole method's by more than two standard errors. That is known to lie between two
    readings: `fell` has both, null where it has not fallen. `said` is the step of the first finding that has the
    ablation's name, `other` the first one before it that has another. `lead` is the steps from `said` to the earlier
    end of the fall, so that the doctor has spoken first where it is above 0, and `at most` to the later end; a doctor
    who does not say it is as late as the end of the run. `false alarms` are findings in the whole method.

    Args:
        ablation: by name.
        source: of the images.
        encoder: by name.
        batch: images of a step.
        epochs: passes.
    """

    ablation: str
    source: Source
    encoder: str
    batch: int
    epochs: int

    @property
    def name(self) -> str:
        """One for each ablation, so that each is kept by itself."""
        return lead_of(self.ablation)

    def wanted(self, cell: Cell) -> bool:
        """One cell of each seed, which has no other part in it than its seed."""
        return cell.place.get("setting") == USUAL

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Two runs."""
        count, ablation = len(self.source.load().train) // 10, ABLATIONS[self.ablation]
        without, whole = (
            followed(
                ablation,
                self.source,
                whole=which,
                encoder=self.encoder,
                batch=self.batch,
                epochs=self.epochs,
                seed=trained.cell.seed,
            )
            for which in (False, True)
        )
        fell = fallen(without, whole, count)
        said, other = spoken(without, ablation.finding)
        known = without.steps if said is None else said
        return {
            "expected": ablation.finding,
            "said": said,
            "other": other,
            "fell": None if fell is None else [fell.after, fell.by],
            "lead": None if fell is None else fell.after - known,
            "at most": None if fell is None else fell.by - known,
            "diverged": without.diverged,
            "false alarms": len(whole.findings),
            "accuracy": [list(pair) for pair in without.accuracy],
            "whole": [list(pair) for pair in whole.accuracy],
        }


def lead_of(ablation: str) -> str:
    """The name of an ablation's answer."""
    return f"lead-{ablation.lower().replace(' ', '-')}"
