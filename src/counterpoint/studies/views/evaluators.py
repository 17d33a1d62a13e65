"""What is asked of the runs beside accuracy: what their views share, what is ignored, and which bits survive."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from counterpoint.app.theory import changes
from counterpoint.embed import encode
from counterpoint.evaluation import Invariance, class_partners, invariance, linear_probe, shared_information
from counterpoint.random import Streams
from counterpoint.recipe import Recipe
from counterpoint.studies.negatives.grid import PART
from counterpoint.studies.study import Cell, Trained
from counterpoint.studies.views.bits import NOISE, Bits, bits_of
from counterpoint.studies.views.grid import BITS
from counterpoint.types import Dataset, Tempered
from counterpoint.views import Noise, as_float

__all__ = ["KINDS", "Invariances", "Shared", "Survival"]

KINDS = ("occlusion", "rotation", "illumination", "instance")
MOST = 4096  # test images of which two views are drawn
CHANGED = 2048  # test images that are changed
_BEST = 10  # units whose scores are kept, for each kind of change


@dataclass(frozen=True)
class Shared:
    """What two views of a test image share, as far as InfoNCE on the run's own projection can tell: in nats.

    Views are those that the run was trained with.

    Args:
        batch: K; no more than log K nats can be told.
    """

    batch: int = 512

    name = "shared"

    def wanted(self, cell: Cell) -> bool:
        """Every cell."""
        return True

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """`nats`, and its interval over images."""
        dataset: Dataset = trained.dataset
        recipe: Recipe = trained.recipe
        images = dataset.test.images[: min(MOST, len(dataset.test))]
        first, second = recipe.views(images, Streams(trained.cell.seed).at("evaluation"))[:2]
        one, other = (encode(trained.model, view) for view in (first, second))
        x, y = ((h if z is None else z) for h, z in (one, other))
        own = recipe.objective.temperature if isinstance(recipe.objective, Tempered) else None
        found = shared_information(x, y, batch=self.batch, seed=trained.cell.seed)
        return {
            "nats": found.nats.value,
            "low": found.nats.low,
            "high": found.nats.high,
            "ceiling": found.ceiling,
            "temperature": found.temperature,
            "trained at": own if isinstance(own, float) else None,
            "pairs": found.rows,
        }


@dataclass(frozen=True)
class Invariances:
    """How far h moves when test images are occluded, turned, lit otherwise, or exchanged for another of their class.

    For each kind of change, means over its strengths: `moved` (0 unmoved, 1 as far as another image), `kept` (share of
    the images that a unit goes on firing for), `score` (invariance of the best fifth of the units; 1 is chance), and
    `units`, the scores of the ten best. Occlusion, turns and light are those of `counterpoint evaluate --theory`.

    Args:
        most: images that are changed.
    """

    most: int = CHANGED

    name = "invariances"

    def wanted(self, cell: Cell) -> bool:
        """Every cell of images."""
        return cell.place.get("part") == PART

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """By the kind of change."""
        dataset: Dataset = trained.dataset
        seed = trained.cell.seed
        images = dataset.test.images[: min(self.most, len(dataset.test))]
        still = trained.test.h[: len(images)]
        found: dict[str, list[Invariance]] = {}
        for change, pixels in changes(images, seed):
            found.setdefault(change.kind, []).append(invariance(still, encode(trained.model, pixels)[0], seed=seed))
        if dataset.test.labels is not None:
            row, partner = class_partners(dataset.test.labels[: len(images)], seed=seed)
            if len(row) > 1:
                found["instance"] = [invariance(still[row], still[partner], seed=seed)]
        return {kind: _mean(each) for kind, each in found.items()}


def _mean(each: list[Invariance]) -> dict[str, Any]:
    def over(values: list[float]) -> float | None:
        known = [v for v in values if v == v]
        return sum(known) / len(known) if known else None

    units = torch.stack([one.unit_score for one in each]).nan_to_num(0.0).mean(0)
    return {
        "moved": over([one.moved.value for one in each]),
        "kept": over([one.kept.value for one in each]),
        "score": over([one.score.value for one in each]),
        "units": units.topk(min(_BEST, len(units))).values.tolist(),
    }


@dataclass(frozen=True)
class Survival:
    """Which bits can be read from h of a noisy image: share of test images on which a linear probe of each is right.

    `relevant` and `irrelevant` are means over such bits (0.5: by chance), `class` is the probe for the class, all of
    whose bits must be right; under `untrained` the same of the random encoder.

    Args:
        c: inverse penalty of the probes.
    """

    c: float = 0.01

    name = "survival"

    def wanted(self, cell: Cell) -> bool:
        """Cells of bits."""
        return cell.place.get("part") == BITS

    def __call__(self, trained: Trained) -> Mapping[str, Any]:
        """Noise is that of the views."""
        source = trained.cell.source
        assert isinstance(source, Bits)
        found = self._read(trained, trained.model, source)
        return {**found, "untrained": self._read(trained, trained.untrained, source)}

    def _read(self, trained: Trained, model: Any, source: Bits) -> dict[str, float]:
        dataset: Dataset = trained.dataset
        count, noise = source.relevant + source.irrelevant, Noise((NOISE, NOISE))
        sides: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        for name, split in (("train", dataset.train), ("test", dataset.test)):
            images = as_float(split.images[:])
            stream = Streams(trained.cell.seed).at(f"noise {name}")
            h, _ = encode(model, noise.apply(images, noise.draw(images, stream)))
            assert split.labels is not None
            sides.append((h, bits_of(split.images, count), split.labels))
        (h, bits, label), (other, asked, truth) = sides
        each = [linear_probe(h, other, bits[:, i].long(), asked[:, i].long(), c=self.c).accuracy for i in range(count)]
        relevant, irrelevant = each[: source.relevant], each[source.relevant :]
        return {
            "relevant": sum(relevant) / len(relevant),
            "irrelevant": sum(irrelevant) / len(irrelevant),
            "class": linear_probe(h, other, label, truth, c=self.c).accuracy,
        }
