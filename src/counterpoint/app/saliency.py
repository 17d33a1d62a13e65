"""Where two images are alike to a run, and where an image says what a probe reads: maps and numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from counterpoint.app.assess import dataset_of
from counterpoint.app.associate import represented
from counterpoint.app.gates import Classes, gate_of, model_of, names_of
from counterpoint.errors import RecipeError, RunError, ShapeError, SourceError, nearest
from counterpoint.evaluation.linear_heads import Converged, fit_heads
from counterpoint.evaluation.saliency import (
    enlarged,
    pair_maps,
    placed,
    scaled,
    score_maps,
    similarity_maps,
    under_gate,
)
from counterpoint.evaluation.watched import Watched, map_layer
from counterpoint.model import Model
from counterpoint.random import Streams
from counterpoint.run import Run
from counterpoint.serving import Loaded, load, load_attributes
from counterpoint.types import Dataset, Images
from counterpoint.views import Box, Brightness, Chain, HFlip, ResizedCrop, as_float
from counterpoint.views.op import rows

__all__ = ["Looker", "Saliency", "crops_of", "saliency"]

SMALLEST = 0.5  # area of a crop, as a share of the image
MOST = 512  # crops
NUMBERS, ROWS = 1 << 22, 256  # of the images of a pass, at most; a network's first maps are often 20 times as large


@dataclass(frozen=True, eq=False)
class Saliency:
    """Where a number about images comes from.

    Args:
        of: which number, in words: `similarity`, `similarity under cat`, `logit of "has a closed loop"`.
        feature: that it is of, `h` or `z`.
        value: of the whole images: the cosine of each pair, or each image's logit.
        score: what the maps explain: the cosine, its mean over the crops; the logit itself.
        first, second: the images; a probe has no second.
        first_map, second_map: at the size of the images, a pair's divided by the largest value of both, so that one
            of them may be faint; None where there is none, of the anchor of a detached pair or beside a probe.
        layer: whose output the maps are of.
        grid: its height and width: as fine as a map can be.
    """

    of: str
    feature: str
    value: Float[Tensor, " pair"]
    score: Float[Tensor, " pair"]
    first: UInt8[Tensor, "pair plane side side"]
    first_map: Float[Tensor, "pair side side"] | None
    second: UInt8[Tensor, "pair plane side side"] | None
    second_map: Float[Tensor, "pair side side"] | None
    layer: str
    grid: tuple[int, int]


def saliency(
    run: Run | str | Path,
    first: Any,
    second: Any = None,
    *,
    gate: Classes | Tensor | None = None,
    probe: str | None = None,
    feature: str | None = None,
    crops: int = 16,
    detach: bool = False,
    seed: int = 0,
) -> Saliency:
    """Where two images are alike to a run's encoder; with a probe, where an image says what the probe reads.

    The number is the mean cosine of the second image and crops of the first (CLAM), its gradient taken through both.

    Args:
        run: a finished run, or its folder.
        first: one image or several: whatever `Loaded.embed` takes, or positions in the test split.
        second: the partners, as many.
        gate: a class or a pair of classes of a run with gates, whose gate both features are multiplied by first; or the
            gate itself, one number for each dimension.
        probe: in place of a partner, what a linear probe on h reads: an attribute of the run, a class, its index, a
            super-class, or several of these with commas between.
        feature: `h`, the representation, or `z`, the projection; z where there is a gate, else h.
        crops: of each first image, 1 to 512.
        detach: the first image is only what the second is compared with, and has no map.
        seed: of the crops, which are the same for all pairs.

    Raises:
        RunError: no finished run, no such gate or probe.
        RecipeError: the encoder has no map, or settings that do not go together.
        SourceError: an image that cannot be used.

    Example:
        counterpoint.saliency("runs/simlap", "tom.jpg", "rex.jpg", gate="cat").second_map
    """
    return Looker(run if isinstance(run, Run) else Run.open(run)).see(
        first, second, gate=gate, probe=probe, feature=feature, crops=crops, detach=detach, seed=seed
    )


class Looker:
    """A run, of which what is asked for is loaded once."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.loaded: Loaded = load(run.folder)
        self._dataset: Dataset | None = None
        self._model: Model | None = None

    @property
    def dataset(self) -> Dataset:
        """Of the run."""
        if self._dataset is None:
            self._dataset = dataset_of(self.run.recipe())
        return self._dataset

    @property
    def model(self) -> Model:
        """With its projector and gates."""
        if self._model is None:
            self._model = model_of(self.run)
        return self._model

    def images(self, given: Any) -> UInt8[Tensor, "pair plane side side"]:
        """Pixels of files, arrays and positions in the test split, as the encoder takes them."""
        if isinstance(given, np.ndarray | Tensor) and given.ndim == 1:  # no image: positions, as argsort gives them
            given = cast(Any, given).tolist()
        items = cast(list[Any], list(given)) if isinstance(given, list | tuple) else [given]
        if any(isinstance(item, Integral) for item in items):
            each = (self._at(int(item)) if isinstance(item, Integral) else self.images(item) for item in items)
            return torch.cat(list(each))
        images = self.loaded.prepare(given)
        return images if images.dtype == torch.uint8 else images.mul(255).round().to(torch.uint8)

    def _at(self, position: int) -> Tensor:
        images: Tensor | Images = self.dataset.test.images
        if not 0 <= position < len(images):
            raise SourceError(
                f"there is no test image {position}: {self.dataset.name} has {len(images)}, 0 to {len(images) - 1}; "
                "give one of these, or the path of a file"
            )
        return self.loaded.prepare(images[position : position + 1])

    def watched(self, feature: str, example: Tensor) -> Watched:
        """The network up to h or z, and the layer whose map is read.

        Args:
            feature: `h` or `z`.
            example: images as the encoder takes them, by which the layer is found.

        Raises:
            RecipeError: z of a run without a projector, or no layer has a map.
        """
        if feature == "h":
            encoder, before, after = self.loaded.encoder, self.loaded.normalise, nn.Identity()
        else:
            model = self.model
            encoder, before, after = model.towers.encoder, model.normalise, model.towers.projector
            if not any(True for _ in after.parameters()):
                raise RecipeError(f"{str(self.run.folder)!r} has no projector, so that there is no z; compare h")
        return Watched(encoder, map_layer(encoder, before(example)), before, after)

    def see(
        self,
        first: Any,
        second: Any,
        *,
        gate: Classes | Tensor | None,
        probe: str | None,
        feature: str | None,
        crops: int,
        detach: bool,
        seed: int,
    ) -> Saliency:
        """As `saliency`, which says what each argument is and what is raised."""
        feature = feature or ("h" if gate is None else "z")
        if feature not in ("h", "z"):
            raise RecipeError(f"the feature {feature!r} is not known; take h, the representation, or z, the projection")
        if (second is None) == (probe is None):
            raise RecipeError("give two images to be compared, or one image and what a probe reads, not both")
        images = self.images(first)
        if probe is not None:
            if gate is not None or feature != "h":
                raise RecipeError("a probe reads h without a gate; leave out the gate and the feature")
            return self._probed(images, probe)
        if not 1 <= crops <= MOST:
            raise RecipeError(f"{crops} crops were asked for; take 1 to {MOST}, 8 to 32 for a steady map")
        others = self.images(second)
        if len(others) != len(images):
            raise SourceError(f"{len(images)} first images and {len(others)} second ones arrived; give as many of both")
        watched = self.watched(feature, as_float(images[:1]))
        chosen, of = self._gate(gate)
        return self._paired(images, others, watched, feature, chosen, of, crops=crops, detach=detach, seed=seed)

    def _gate(self, gate: Classes | Tensor | None) -> tuple[Tensor | None, str]:
        if gate is None:
            return None, "similarity"
        if isinstance(gate, Tensor):
            if gate.ndim != 1:
                raise ShapeError(f"the gate has shape {list(gate.shape)}; give one number for each dimension")
            return gate, "similarity under a gate"
        chosen = gate_of(self.run, gate, model=self.model)
        return chosen, f"similarity under {' and '.join(names_of(self.run, gate))}"

    def _paired(
        self,
        images: Tensor,
        others: Tensor,
        watched: Watched,
        feature: str,
        gate: Tensor | None,
        of: str,
        *,
        crops: int,
        detach: bool,
        seed: int,
    ) -> Saliency:
        side = images.shape[-1]
        chain = crops_of(side, self.loaded.facts.kind)
        drawn = chain.draw(images[:1].expand(crops, -1, -1, -1), Streams(seed).at("saliency"))
        frames = _frames(drawn, side)
        values: list[Tensor] = []
        scores: list[Tensor] = []
        maps: list[Tensor] = []
        first_maps: list[Tensor] = []
        grid = (0, 0)
        batch = _rows_at_once(images)
        step = max(1, batch // (crops + 1))
        for start in range(0, len(images), step):
            one, two = as_float(images[start : start + step]), as_float(others[start : start + step])
            which = torch.arange(crops).repeat(len(one))
            anchors = chain.apply(one.repeat_interleave(crops, 0), rows(drawn, which)).unflatten(0, (-1, crops))
            with torch.no_grad():
                sides = (under_gate(watched.features(part), gate) for part in (one, two))
                values.append(torch.linalg.vecdot(*sides))
            if detach:
                found = similarity_maps(watched, two, anchors, gate=gate, batch=batch)
                maps.append(scaled(enlarged(found.maps, (side, side))))
            else:
                found = pair_maps(watched, two, anchors, gate=gate, batch=batch)
                back = placed(found.anchor_maps, frames.expand(len(one), -1, -1), (side, side))
                # Side by side they are one map, and scaled as one.
                both = scaled(torch.cat((back, enlarged(found.maps, (side, side))), 2))
                first_maps.append(both[:, :, :side])
                maps.append(both[:, :, side:])
            scores.append(found.score)
            grid = (found.maps.shape[1], found.maps.shape[2])
        return Saliency(
            of=of,
            feature=feature,
            value=torch.cat(values),
            score=torch.cat(scores),
            first=images,
            first_map=None if detach else torch.cat(first_maps),
            second=others,
            second_map=torch.cat(maps),
            layer=watched.layer,
            grid=grid,
        )

    def _probed(self, images: Tensor, probe: str) -> Saliency:
        watched = self.watched("h", as_float(images[:1]))
        score, of = self._probe(probe)
        found = [score_maps(watched, as_float(part), score) for part in images.split(_rows_at_once(images))]
        value, maps = torch.cat([one.score for one in found]), torch.cat([one.maps for one in found])
        return Saliency(
            of=of,
            feature="h",
            value=value,
            score=value,
            first=images,
            first_map=scaled(enlarged(maps, images.shape[-2:])),
            second=None,
            second_map=None,
            layer=watched.layer,
            grid=(maps.shape[1], maps.shape[2]),
        )

    def _probe(self, text: str) -> tuple[Callable[[Tensor], Tensor], str]:
        """What reads a logit off h: a stored attribute, or a head for a set of classes, trained now."""
        of = f'logit of "{text}"'
        try:
            stored = load_attributes(self.run.folder)
        except RunError:
            stored = None
        if stored is not None and text in stored.names:
            which = stored.names.index(text)
            weight, bias = stored.weight[which], stored.bias[which]
            return lambda h: h @ weight + bias, of
        dataset = self.dataset
        members = self._members(text, () if stored is None else stored.names)
        train = dataset.train
        assert train.labels is not None
        h = represented(self.run, self.loaded, dataset, own=self.run.embeddings.is_file())[: len(train)]
        known = train.labels >= 0
        heads = fit_heads(h[known], train.labels[known], members[:, None], Converged())
        return lambda h: heads.logits(h)[:, 0], of

    def _members(self, text: str, attributes: Sequence[str]) -> Tensor:
        """Whether each class belongs to what is named."""
        data = self.dataset
        if not data.classes or data.train.labels is None:
            raise RunError(f"{data.name} has no classes to be probed for, and the run has no attribute {text!r}")
        members = torch.zeros(len(data.classes), dtype=torch.bool)
        known = (*data.classes, *data.super_classes)
        for name in _listed(text, known):
            if name in data.classes:
                members[data.classes.index(name)] = True
            elif name in data.super_classes and data.super_of is not None:
                members |= data.super_of == data.super_classes.index(name)
            elif name.isdecimal() and int(name) < len(members):
                members[int(name)] = True
            else:
                close = nearest(name, (*attributes, *known))
                raise RunError(f"{str(self.run.folder)!r} has no attribute or class {name!r}; {close}")
        if bool(members.all()):
            raise RunError(f"every class is among {text!r}, so that there is nothing to tell apart; name some of them")
        return members


def _listed(text: str, known: Sequence[str]) -> list[str]:
    """The names that a text lists with commas between, of which some hold commas themselves: the longest that fit."""
    words = text.split(",")
    found: list[str] = []
    while words:
        names = [",".join(words[:length]).strip() for length in range(1, len(words) + 1)]
        length = max((i for i, name in enumerate(names, 1) if name in known), default=1)
        found.append(names[length - 1])
        words = words[length:]
    return found


def crops_of(side: int, kind: str) -> Chain:
    """The views whose mean similarity a map explains.

    Args:
        side: of the images, in pixels.
        kind: of the data; characters are not mirrored.
    """
    flips = () if kind == "glyphs" else (HFlip(),)  # a mirrored character is another one
    return Chain((ResizedCrop(side, (SMALLEST, 1.0)), *flips, Brightness()))


def _rows_at_once(images: Tensor) -> int:
    return max(1, min(ROWS, NUMBERS // images[0].numel()))


def _frames(drawn: tuple[Any, ...], side: int) -> Float[Tensor, "crop 4"]:
    """Left, top, width and height of each crop in shares of the image; mirrored ones from their right edge."""
    box = drawn[0]
    assert isinstance(box, Box)
    left, top, wide, tall = (part.float() / side for part in (box.left, box.top, box.width, box.height))
    mirrored = drawn[1] if len(drawn) == 3 else torch.zeros(len(left), dtype=torch.bool)
    return torch.stack((torch.where(mirrored, left + wide, left), top, torch.where(mirrored, -wide, wide), tall), 1)
