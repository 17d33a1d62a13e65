"""Where two images are alike to a run, and where an image says what a probe reads: maps, pictures, numbers."""

import shlex
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
from counterpoint.report.exhibits import Table
from counterpoint.report.saliency import COLUMNS, FORMATS, tiles, write_panel, write_saliency_page
from counterpoint.run import Run
from counterpoint.serving import Loaded, load, load_attributes
from counterpoint.types import Dataset, Images
from counterpoint.views import Box, Brightness, Chain, HFlip, ResizedCrop, as_float
from counterpoint.views.op import rows

__all__ = ["Saliency", "saliency", "show_saliency", "write_saliency"]

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
    return _Looker(run if isinstance(run, Run) else Run.open(run)).see(
        first, second, gate=gate, probe=probe, feature=feature, crops=crops, detach=detach, seed=seed
    )


class _Looker:
    """A run, of which what is asked for is loaded once."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.loaded: Loaded = load(run.folder)
        self._dataset: Dataset | None = None
        self._model: Model | None = None

    @property
    def dataset(self) -> Dataset:
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
        chain = Chain((ResizedCrop(side, (SMALLEST, 1.0)), *self._flips(), Brightness()))
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

    def _flips(self) -> tuple[HFlip, ...]:
        return () if self.loaded.facts.kind == "glyphs" else (HFlip(),)  # a mirrored character is another one

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


def _rows_at_once(images: Tensor) -> int:
    return max(1, min(ROWS, NUMBERS // images[0].numel()))


def _frames(drawn: tuple[Any, ...], side: int) -> Float[Tensor, "crop 4"]:
    """Left, top, width and height of each crop in shares of the image; mirrored ones from their right edge."""
    box = drawn[0]
    assert isinstance(box, Box)
    left, top, wide, tall = (part.float() / side for part in (box.left, box.top, box.width, box.height))
    mirrored = drawn[1] if len(drawn) == 3 else torch.zeros(len(left), dtype=torch.bool)
    return torch.stack((torch.where(mirrored, left + wide, left), top, torch.where(mirrored, -wide, wide), tall), 1)


# ---------------------------------------------------------------- to be looked at


def write_saliency(
    run: Run | str | Path,
    inputs: Sequence[str],
    out: str | Path,
    *,
    gates: Sequence[Classes] = (),
    probe: str | None = None,
    feature: str | None = None,
    crops: int = 16,
    detach: bool = False,
    seed: int = 0,
) -> list[Saliency]:
    """Maps of pairs of images, without a gate and under each that is named, as an image file or a page.

    Args:
        run: a finished run, or its folder.
        inputs: image files and positions in the test split: pairs one after the other; with a probe, single ones.
        out: the file: .png, .jpg, .webp or .html.
        gates: classes and pairs of classes.
        probe: as in `saliency`, like all that follow.
        feature: that is compared.
        crops: of each first image.
        detach: gradient through the second image alone.
        seed: of the crops.

    Returns:
        What was seen, without a gate first.

    Raises:
        RunError: another ending, no finished run, no such gate or probe.
        SourceError: images that are no pairs, or cannot be used.
    """
    target = Path(out)
    if target.suffix.lower() not in (*FORMATS, ".html"):
        raise RunError(f"--out {target}: the ending says what is written; expected {', '.join((*FORMATS, '.html'))}")
    if not inputs or (probe is None and len(inputs) % 2):
        raise SourceError(
            f"{len(inputs)} image{'' if len(inputs) == 1 else 's'} arrived, which make no pairs; give an even number, "
            "or what a probe reads in one image"
        )
    run = run if isinstance(run, Run) else Run.open(run)
    looker = _Looker(run)
    given = [int(word) if word.isdecimal() else word for word in inputs]
    first, second = (given, None) if probe is not None else (given[::2], given[1::2])
    asked = None if probe is not None else feature or ("z" if gates else "h")
    seen = [
        looker.see(first, second, gate=gate, probe=probe, feature=asked, crops=crops, detach=detach, seed=seed)
        for gate in (None, *gates)
    ]
    pairs = _called(inputs, probe)
    pictures = torch.stack([_tiles(one) for one in seen], 1).flatten(0, 1)
    captions = [f"{name}: {_told(one, i)}" for i, name in enumerate(pairs) for one in seen]
    columns = _columns(seen[0])
    if target.suffix.lower() != ".html":
        write_panel(target, pictures, captions, columns)
        return seen
    numbers = Table(
        "saliency",
        "Every number",
        ("images", "number", "whole images", "mean over crops"),
        tuple((name, one.of, float(one.value[i]), float(one.score[i])) for i, name in enumerate(pairs) for one in seen),
    )
    words = ["counterpoint", "saliency", str(run.folder), *inputs]
    for gate in gates:
        words += ["--gate", ",".join(names_of(run, gate))]
    words += [] if probe is None else ["--probe", probe]
    words += [] if feature is None else ["--feature", feature]
    words += ["--detach"] if detach else []
    words += ["--crops", str(crops), "--seed", str(seed), "--out", str(target)]
    high, wide = seen[0].grid
    write_saliency_page(
        target,
        pictures,
        captions,
        columns,
        title=f"Saliency of {run.folder.name}",
        about=(_explained(seen[0], detach=detach),),
        numbers=numbers,
        command=shlex.join(words),
        facts={
            "feature": seen[0].feature,
            "layer": f"{seen[0].layer}, a map of {high} x {wide}",
            **({"crops": str(crops), "seed": str(seed)} if probe is None else {}),
        },
    )
    return seen


def _explained(one: Saliency, *, detach: bool) -> str:
    if one.second is None:
        return f"Which part of each image raises the {one.of}: Grad-CAM at the encoder's last map."
    through = "the second image alone" if detach else "both images"
    return (
        "Which part of two images makes them alike to the encoder: Grad-CAM of the mean cosine between the second "
        f"image and crops of the first, with gradient through {through}."
    )


def _called(inputs: Sequence[str], probe: str | None) -> list[str]:
    names = [f"test image {word}" if word.isdecimal() else Path(word).name for word in inputs]
    return names if probe is not None else [f"{a}, {b}" for a, b in zip(names[::2], names[1::2], strict=True)]


def _told(one: Saliency, row: int) -> str:
    if one.second is None:
        return f"{one.of} {float(one.value[row]):+.2f}"
    return f"{one.of} {float(one.value[row]):.3f} ({float(one.score[row]):.3f} over crops)"


def _tiles(one: Saliency) -> UInt8[Tensor, "pair column 3 high broad"]:
    shown = tiles(one.first, one.first_map)
    return shown if one.second is None else torch.cat((shown, tiles(one.second, one.second_map)), 1)


def _columns(one: Saliency) -> tuple[str, ...]:
    if one.second is None:
        return COLUMNS
    first = COLUMNS if one.first_map is not None else COLUMNS[:1]
    return (*(f"first {word}" for word in first), *(f"second {word}" for word in COLUMNS))


def show_saliency(seen: Sequence[Saliency], inputs: Sequence[str]) -> None:
    """Print what was measured: each pair's similarity, or each image's logit."""
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    for i, name in enumerate(_called(inputs, None if seen[0].second is not None else "")):
        console.print(Text(name))
        for one in seen:
            console.print(Text(f"  {_told(one, i)}"))
    high, wide = seen[0].grid
    console.print(Text(f"{seen[0].feature}, map of {high} x {wide} at layer {seen[0].layer}", "dim"))
